import { html, useEffect, useState } from '../../vendor/preact.mjs';
import { idempotencyKey, post } from '../../lib/api.js';
import { bytes, full } from '../../lib/format.js';
import { has, t } from '../../lib/i18n.js';
import { track, whenOver } from '../../lib/jobs.js';
import { countKeys } from '../../lib/keytext.js';
import { said } from '../../lib/servertext.js';
import { Dialog } from '../../ui/dialog.js';
import { Area, Checkbox, FileDrop, Num, TagInput, Text } from '../../ui/form.js';
import { Button, ErrorNote } from '../../ui/parts.js';
import { attempt, toast } from '../../ui/toast.js';
import { useTags } from './bulk.js';

const largest = 5 << 20;
const kinds = '.txt,.csv,.json,.ndjson,.env,.yaml,.yml,text/*,application/json';

const today = () => new Date().toISOString().slice(0, 10);
// batchName marks the keys of one import, so that it can be undone as a whole.
const batchName = () => 'import-' + new Date().toISOString().slice(0, 19).replaceAll(':', '');

// usePreview asks the server what it would make of the text, a moment after typing stops.
function usePreview(text) {
  const [state, setState] = useState({});
  useEffect(() => {
    if (!text.trim()) { setState({}); return undefined; }
    const abort = new AbortController();
    setState((s) => ({ ...s, waiting: true }));
    const timer = setTimeout(() => post('keys/gemini/import', { text, dry_run: true }, { signal: abort.signal }).then(
      (preview) => setState({ preview }),
      (error) => error.name !== 'AbortError' && setState({ error }),
    ), 350);
    return () => { clearTimeout(timer); abort.abort(); };
  }, [text]);
  return state;
}

const counted = [['new', 'ok'], ['in_pool'], ['duplicates_in_text'], ['malformed', 'bad']];

function Preview({ text, state }) {
  if (!text.trim()) return html`<p class="dim small">${t('keys.import.any')}</p>`;
  if (state.error) return html`<${ErrorNote} error=${state.error} />`;
  const p = state.preview;
  if (!p) {
    const { found, duplicates } = countKeys(text);
    return html`<p role="status">${t('keys.import.found', { n: found })}${duplicates > 0
      && ` · ${t('keys.import.duplicates_in_text', { n: duplicates })}`}</p>`;
  }
  return html`
    <div class="preview">
      <p role="status"><b>${t('keys.import.found', { n: p.found })}</b>
        ${counted.map(([name, mood]) => p[name] > 0 && html` · <span class=${mood && mood + 'text'}>
          ${t('keys.import.' + name, { n: p[name] })}</span>`)}</p>
      ${p.sample?.length > 0 && html`
        <details><summary>${t('keys.import.lines')}</summary>
          <div class="scroll" tabindex="0" role="region" aria-label=${t('keys.import.lines')}><table class="plain">
            <thead><tr><th scope="col" class="n">${t('keys.import.line')}</th><th scope="col">${t('keys.col.key')}</th><th scope="col">
              ${t('keys.import.verdict')}</th></tr></thead>
            <tbody>${p.sample.map((s) => html`<tr key=${s.line + s.hint}><td class="n">${full(s.line)}</td><td><code>${s.hint}</code></td>
              <td>${verdict(s.verdict)}${s.error && html`<br /><small class="dim">${said(s.error)}</small>`}</td></tr>`)}</tbody>
          </table></div></details>`}
    </div>`;
}

const verdict = (v) => (has('keys.verdict.' + v) ? t('keys.verdict.' + v) : v);

async function readFile(file) {
  if (file.size > largest) {
    toast({ kind: 'bad', text: t('keys.import.large', { size: bytes(file.size), most: bytes(largest) }) });
    return null;
  }
  return attempt(() => file.text());
}

// Import: paste, drop or choose; a preview; then a job that the dock follows.
export function Import({ onClose, changed }) {
  const [form, setForm] = useState({ text: '', tags: [today()], prefix: '', weight: 1, enabled: true, validate: true });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const known = useTags().map((x) => x.tag);
  const state = usePreview(form.text);
  const set = (patch) => setForm((f) => ({ ...f, ...patch }));
  const fresh = state.preview ? state.preview.new : countKeys(form.text).found;

  const submit = async () => {
    if (busy || fresh === 0) return;
    setBusy(true);
    setError(null);
    const batch = batchName();
    try {
      const job = await post('keys/gemini/import', {
        text: form.text, tags: form.tags, name_prefix: form.prefix.trim() || undefined, weight: form.weight,
        enabled: form.enabled, validate: form.validate, batch,
      }, { headers: idempotencyKey() });
      track(job);
      onClose();
      finish(job, batch, changed);
    } catch (e) {
      setError(e);
      setBusy(false);
    }
  };
  const files = async ([file]) => {
    const text = await readFile(file);
    if (text) set({ text: form.text.trim() ? `${form.text}\n${text}` : text });
  };
  const footer = html`<${Button} onClick=${onClose}>${t('cancel')}<//>
    <${Button} type="submit" kind="primary" icon="upload" busy=${busy} disabled=${fresh === 0}>
      ${t(form.validate ? 'keys.import.addValidate' : 'keys.import.add')}<//>`;
  return html`
    <${Dialog} title=${t('keys.import')} size="wide" footer=${footer} onClose=${onClose} onSubmit=${submit}>
      <${FileDrop} accept=${kinds} onFiles=${files}>
        <${Area} label=${t('keys.import.text')} rows=${8} value=${form.text} spellcheck="false" autocomplete="off" class="input mono"
          placeholder=${t('keys.import.placeholder')} onInput=${(text) => set({ text })} /><//>
      <${Preview} text=${form.text} state=${state} />
      <div class="row2">
        <${TagInput} label=${t('keys.col.tags')} tags=${form.tags} known=${known} onChange=${(tags) => set({ tags })} />
        <${Text} label=${t('keys.import.prefix')} help=${t('keys.import.prefixHelp')} optional=${true} maxlength="48" value=${form.prefix}
          onInput=${(prefix) => set({ prefix })} />
      </div>
      <${Num} label=${t('keys.col.weight')} help=${t('keys.weight.help')} value=${form.weight} onInput=${(weight) => set({ weight })}
        class="short" />
      <${Checkbox} label=${t('keys.import.enabled')} checked=${form.enabled} onChange=${(enabled) => set({ enabled })} />
      <${Checkbox} label=${t('keys.import.validate')} help=${t('keys.import.validateHelp')} checked=${form.validate}
        onChange=${(validate) => set({ validate })} />
      ${error && html`<${ErrorNote} error=${error} />`}
    <//>`;
}

// finish waits for the job, then offers to take the import back.
async function finish(job, batch, changed) {
  const { counts, state } = await whenOver(job.id);
  changed();
  const added = counts.added ?? 0;
  const text = t(state === 'cancelled' ? 'keys.import.cancelled' : 'keys.import.done', { n: added });
  if (added === 0) { toast({ text }); return; }
  toast({ text, action: { text: t('keys.import.undo'), act: () => attempt(async () => {
    const undoing = await post('keys/gemini/import/undo', { batch });
    track(undoing);
    await whenOver(undoing.id);
    changed();
  }) } });
}
