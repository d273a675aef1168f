import { html, useState } from '../../vendor/preact.mjs';
import { api, post } from '../../lib/api.js';
import { t } from '../../lib/i18n.js';
import { track, whenOver } from '../../lib/jobs.js';
import { useLoad } from '../../lib/load.js';
import { setQuery } from '../../lib/route.js';
import { Dialog } from '../../ui/dialog.js';
import { Checkbox, Num, Text } from '../../ui/form.js';
import { Button, ErrorNote } from '../../ui/parts.js';
import { toast } from '../../ui/toast.js';
import { Scope, scopes } from './scope.js';

// Validate: which keys, with which model, how many at once. One such job runs at
// a time; a second start offers to attach to it.
export function Validate({ about, onClose, changed }) {
  const list = scopes(about);
  const [form, setForm] = useState({ scope: list[0].id, model: '', concurrency: 16, disable: false });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const models = useLoad((signal) => api('models', { signal, plain: true }).then((r) => r.items), []).data ?? [];
  const set = (patch) => setForm((f) => ({ ...f, ...patch }));
  const fits = Number.isInteger(form.concurrency) && form.concurrency >= 1 && form.concurrency <= 64;

  const follow = async (job) => {
    track(job);
    onClose();
    const last = await whenOver(job.id);
    changed();
    const bad = last.counts.invalid ?? 0;
    toast({
      text: t('keys.validate.done', { n: last.done, m: bad }), kind: 'ok',
      action: bad > 0 ? { text: t('keys.validate.show'), act: () => setQuery({ status: 'invalid', q: '', tag: '' }) } : undefined,
    });
  };
  const submit = async () => {
    if (busy || !fits) return;
    setBusy(true);
    try {
      const { request } = list.find((s) => s.id === form.scope);
      await follow(await post('keys/gemini/validate', {
        ...request, model: form.model.trim() || undefined, concurrency: form.concurrency, disable_invalid: form.disable,
      }));
    } catch (e) {
      setError(e);
      setBusy(false);
    }
  };
  const attach = async () => {
    try { await follow(await api('jobs/' + error.data.job)); } catch (e) { setError(e); }
  };
  const footer = html`<${Button} onClick=${onClose}>${t('cancel')}<//>
    ${error?.code === 'job_running' && error.data.job ? html`<${Button} kind="primary" onClick=${attach}>${t('keys.validate.attach')}<//>`
      : html`<${Button} type="submit" kind="primary" icon="shield" busy=${busy} disabled=${!fits}>${t('keys.validate')}<//>`}`;
  return html`
    <${Dialog} title=${t('keys.validate.title')} footer=${footer} onClose=${onClose} onSubmit=${submit}>
      <${Scope} list=${list} value=${form.scope} onChange=${(scope) => set({ scope })} />
      <div class="row2">
        <${Text} label=${t('keys.validate.model')} help=${t('keys.validate.modelHelp')} optional=${true} list="validate-models"
          autocomplete="off"
          value=${form.model} onInput=${(model) => set({ model })} />
        <${Num} label=${t('keys.validate.concurrency')} help=${t('keys.validate.concurrencyHelp')} value=${form.concurrency}
          onInput=${(concurrency) => set({ concurrency })} error=${fits ? undefined : t('keys.validate.wrong')} />
      </div>
      <datalist id="validate-models">${models.map((m) => html`<option key=${m.id} value=${m.id} />`)}</datalist>
      <${Checkbox} label=${t('keys.validate.disable')} checked=${form.disable} onChange=${(disable) => set({ disable })} />
      ${error && html`<${ErrorNote} error=${error} />`}
    <//>`;
}
