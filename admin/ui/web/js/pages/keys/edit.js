import { html, useEffect, useState } from '../../vendor/preact.mjs';
import { patch } from '../../lib/api.js';
import { t } from '../../lib/i18n.js';
import { isAdmin } from '../../lib/session.js';
import { Area, Checkbox, Num, TagInput, Text, problemsByField } from '../../ui/form.js';
import { explain } from '../../ui/parts.js';
import { undoable } from '../../ui/toast.js';
import { useTags } from './bulk.js';

const words = (text) => text.split(/[\s,，;；]+/).filter(Boolean);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// Edit: the key's own fields. A field is saved when it is left, with Undo.
export function Edit({ k, changed }) {
  const [draft, setDraft] = useState(k);
  const [wrong, setWrong] = useState({});
  const known = useTags().map((x) => x.tag);
  useEffect(() => setDraft(k), [k.id]);
  const locked = (field) => !isAdmin.value || k.locked.includes(field);
  const set = (part) => setDraft((d) => ({ ...d, ...part }));

  const save = async (part) => {
    const [[field, value]] = Object.entries(part);
    set(part);
    if (same(k[field], value)) { setWrong((w) => ({ ...w, [field]: undefined })); return; }
    const before = { [field]: k[field] };
    try {
      changed(await patch('keys/gemini/' + k.id, part));
      setWrong((w) => ({ ...w, [field]: undefined }));
      undoable(t('keys.saved', { field: t('keys.field.' + field) }), async () => {
        changed(await patch('keys/gemini/' + k.id, before));
        set(before);
      });
    } catch (error) {
      setWrong((w) => ({ ...w, [field]: problemsByField(error)[field] ?? explain(error) }));
    }
  };
  const saveWeight = (n) => {
    if (Number.isInteger(n) && n >= 1 && n <= 100) save({ weight: n });
    else setWrong((w) => ({ ...w, weight: t('keys.weight.wrong') }));
  };
  return html`
    <div class="edit">
      <${Text} label=${t('keys.field.name')} maxlength="64" value=${draft.name} disabled=${locked('name')} error=${wrong.name}
        onInput=${(name) => set({ name })} onChange=${(name) => save({ name: name.trim() })} />
      <${TagInput} label=${t('keys.field.tags')} tags=${draft.tags} known=${known} disabled=${locked('tags')} error=${wrong.tags}
        onChange=${(tags) => save({ tags })} />
      <div class="row2">
        <${Num} label=${t('keys.field.weight')} help=${t('keys.weight.help')} value=${draft.weight} disabled=${locked('weight')}
          error=${wrong.weight} onChange=${saveWeight} />
        <${Text} label=${t('keys.field.project')} help=${t('keys.projectHelp')} value=${draft.project} disabled=${locked('project')}
          error=${wrong.project} onInput=${(project) => set({ project })}
          onChange=${(project) => save({ project: project.trim() })} />
      </div>
      <${Text} label=${t('keys.field.models')} help=${t('keys.modelsHelp')} value=${draft.models.join(', ')} disabled=${locked('models')}
        error=${wrong.models} onChange=${(text) => save({ models: words(text) })} />
      <${Area} label=${t('keys.field.note')} maxlength="500" rows=${2} value=${draft.note} disabled=${locked('note')} error=${wrong.note}
        onInput=${(note) => set({ note })} onChange=${(note) => save({ note: note.trim() })} />
      <${Checkbox} label=${t('keys.field.paid')} help=${t('keys.paidHelp')} checked=${draft.paid} disabled=${locked('paid')}
        onChange=${(paid) => save({ paid })} />
    </div>`;
}
