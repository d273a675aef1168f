import { html } from '../../vendor/preact.mjs';
import { del, post } from '../../lib/api.js';
import { full } from '../../lib/format.js';
import { t } from '../../lib/i18n.js';
import { href } from '../../lib/route.js';
import { confirm } from '../../ui/dialog.js';
import { attempt, toast, undoable } from '../../ui/toast.js';
import { graces } from './spec.js';

const path = (id, act) => `keys/user/${encodeURIComponent(id)}${act ? '/' + act : ''}`;

// setEnabled acts at once and offers Undo. tools.changed takes the newest key.
export const setEnabled = (user, yes, tools) => attempt(async () => {
  tools.changed(await post(path(user.id, yes ? 'enable' : 'disable')));
  undoable(t(yes ? 'users.enabled' : 'users.disabled', { name: user.name }), async () => tools.changed(await post(path(user.id, yes
    ? 'disable' : 'enable'))));
});

// remove asks with the name and the day's traffic, then deletes; for 24 h it can be restored.
export async function remove(user, tools) {
  const gone = await confirm({
    title: t('users.delete.title', { name: user.name }), danger: true, confirm: t('users.delete'),
    text: t('users.delete.text', { n: user.requests_24h ?? 0 }), act: () => del(path(user.id)),
  });
  if (!gone) return false;
  tools.refresh();
  undoable(t('users.deleted', { name: user.name }), async () => { await post(path(user.id, 'restore')); tools.refresh(); });
  return true;
}

// rotate asks how long the old value still works; the new one is shown once.
export async function rotate(user, tools) {
  let grace = 3600, made = null;
  const done = await confirm({
    title: t('users.rotate.title', { name: user.name }), text: t('users.rotate.text'), confirm: t('users.rotate'),
    children: html`<fieldset class="radios"><legend>${t('users.rotate.grace')}</legend>
      ${graces.map((s) => html`<label key=${s} class="check">
      <input type="radio" name="grace" value=${s} defaultChecked=${s === grace} onChange=${() => (grace = s)} />
        <span>${t('users.grace.' + s)}</span></label>`)}</fieldset>`,
    act: async () => { made = await post(path(user.id, 'rotate'), { grace_s: grace }); },
  });
  if (!done || !made) return;
  tools.refresh();
  tools.shown(made);
}

// rowActions are the items of a row's menu.
export const rowActions = (user, tools) => [
  { text: t('users.open'), icon: 'eye', act: () => tools.open(user.id) },
  { text: t('users.viewRequests'), icon: 'requests', href: href('/requests', { user: user.id }) },
  { text: t('users.edit'), icon: 'edit', act: () => tools.edit(user) },
  { text: t('users.rotate'), icon: 'rotate', act: () => rotate(user, tools) },
  { text: t(user.enabled ? 'users.disable' : 'users.enable'), icon: 'power', act: () => setEnabled(user, !user.enabled, tools) },
  null,
  { text: t('users.delete'), icon: 'trash', danger: true, act: () => remove(user, tools) },
];

// bulk sends one action for a selection; progress of many is a job in the dock.
export async function bulk(action, request, more = {}) {
  const answer = await post('keys/user/bulk', { action, ...request, ...more });
  if (answer && 'state' in answer) toast({ text: t('users.bulk.started', { n: answer.total ?? 0 }) });
  return answer;
}

export const changedText = (answer) => t('users.bulk.changed', { n: answer?.changed ?? answer?.total ?? 0 })
  + (answer?.skipped ? ` ${t('users.bulk.skipped', { n: full(answer.skipped) })}` : '');
