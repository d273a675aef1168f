import { html, useState } from '../../vendor/preact.mjs';
import { download } from '../../lib/api.js';
import { t } from '../../lib/i18n.js';
import { Dialog } from '../../ui/dialog.js';
import { Checkbox } from '../../ui/form.js';
import { Button, ErrorNote, Note, Segmented } from '../../ui/parts.js';
import { toast } from '../../ui/toast.js';
import { Scope, scopes } from './scope.js';

// Export: a file with or without the keys' values; with them the admin key is asked for.
export function Export({ about, onClose }) {
  const list = scopes(about);
  const [form, setForm] = useState({ scope: list[0].id, format: 'csv', secrets: false });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const set = (patch) => setForm((f) => ({ ...f, ...patch }));
  const submit = async () => {
    if (busy) return;
    setBusy(true);
    setError(null);
    const { request } = list.find((s) => s.id === form.scope);
    const { all: _, ...body } = request; // no ids and no filter: all
    try {
      await download('keys/gemini/export', { method: 'POST', body: { ...body, format: form.format, secrets: form.secrets } },
        `gemini-keys.${form.format}`);
      onClose();
      toast({ text: t('keys.export.done') });
    } catch (e) {
      setError(e);
      setBusy(false);
    }
  };
  const footer = html`<${Button} onClick=${onClose}>${t('cancel')}<//>
    <${Button} type="submit" kind="primary" icon="download" busy=${busy}>${t('keys.export')}<//>`;
  return html`
    <${Dialog} title=${t('keys.export.title')} footer=${footer} onClose=${onClose} onSubmit=${submit}>
      <${Scope} list=${list} value=${form.scope} onChange=${(scope) => set({ scope })} />
      <fieldset class="field"><legend>${t('keys.export.format')}</legend>
        <${Segmented} label=${t('keys.export.format')} value=${form.format} onChange=${(format) => set({ format })}
          options=${[['csv', 'CSV'], ['txt', t('keys.export.txt')], ['json', 'JSON']]} /></fieldset>
      <${Checkbox} label=${t('keys.export.secrets')} help=${t('keys.export.secretsHelp')} checked=${form.secrets}
        onChange=${(secrets) => set({ secrets })} />
      ${form.secrets && html`<${Note} kind="warn">${t('keys.export.warn')}<//>`}
      ${error && html`<${ErrorNote} error=${error} />`}
    <//>`;
}
