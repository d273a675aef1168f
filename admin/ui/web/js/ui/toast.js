import { createPortal, html, signal } from '../vendor/preact.mjs';
import { t } from '../lib/i18n.js';
import { modals } from './dialog.js';
import { Button, Icon, LinkButton, explain } from './parts.js';

const list = signal([]);
const most = 3;
let last = 0;

const drop = (id) => (list.value = list.value.filter((x) => x.id !== id));

// toast says something at the bottom. kind 'ok' (goes after 4 s, 8 s with an
// action) or 'bad' (stays). action: { text, act }.
/** @param {{ text: string, kind?: 'ok' | 'bad', action?: { text: string, act: () => any }, key?: string }} what */
export function toast({ text, kind = 'ok', action, key }) {
  const id = ++last;
  const rest = key ? list.value.filter((x) => x.key !== key) : list.value;
  list.value = [...rest, { id, text, kind, action, key }].slice(-most);
  if (kind !== 'bad') setTimeout(() => drop(id), action ? 8000 : 4000);
  return () => drop(id);
}

// failed says that an action did not work.
export const failed = (error, text) => {
  if (error.name === 'AbortError' || error.code === 'sudo_required') return; // given up by the user, who was asked
  toast({ kind: 'bad', text: text ? `${text} ${explain(error)}` : explain(error), key: 'failed' });
};

// attempt runs an action and says when it fails; it answers undefined then.
export async function attempt(act) {
  try { return await act(); } catch (error) { failed(error); return undefined; }
}

// undoable says what was done and offers Undo for 8 s.
export function undoable(text, undo) {
  toast({ text, action: { text: t('undo'), act: () => attempt(undo) } });
}

// Toasts stand in the newest open dialog, because all outside of it is inert.
export function Toasts() {
  return createPortal(html`
    <div class="toasts" role="status" aria-live="polite">
      ${list.value.map((x) => html`
        <div class=${'toast ' + x.kind} key=${x.id}>
          <${Icon} name=${x.kind === 'bad' ? 'circleAlert' : 'circleCheck'} /><span>${x.text}</span>
          ${x.action && html`<${LinkButton} onClick=${() => { drop(x.id); x.action.act(); }}>${x.action.text}<//>`}
          <${Button} icon="x" kind="ghost" label=${t('toast.close')} onClick=${() => drop(x.id)} />
        </div>`)}
    </div>`, modals.value.at(-1) ?? document.body);
}
