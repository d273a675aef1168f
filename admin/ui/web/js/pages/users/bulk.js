import { html, useState } from '../../vendor/preact.mjs';
import { api, saveFile } from '../../lib/api.js';
import { t } from '../../lib/i18n.js';
import { track } from '../../lib/jobs.js';
import * as selection from '../../lib/selection.js';
import { Dialog, confirm } from '../../ui/dialog.js';
import { Num, Select, Text, splitTags } from '../../ui/form.js';
import { Button, ErrorNote, LinkButton } from '../../ui/parts.js';
import { attempt, toast, undoable } from '../../ui/toast.js';
import { bulk, changedText } from './actions.js';
import { limitNames, listCsv } from './spec.js';

const extensions = [['7', 'users.expiry.7'], ['30', 'users.expiry.30'], ['90', 'users.expiry.90'], ['365', 'users.expiry.365'],
  ['never', 'users.expiry.never']];

// What the dialogs send beside the action.
const extendBody = (days, now) => (days === 'never' ? { expires_at: null } : { expires_at: new Date(now + Number(days) * 86400e3)
  .toISOString() });

function ExtendDialog({ onClose, onSend }) {
  const [days, setDays] = useState('30');
  return html`<${Ask} title=${t('users.bulk.extend')} onClose=${onClose} onSend=${() => onSend('extend', extendBody(days, Date.now()))}>
    <${Select} label=${t('users.expiry')} value=${days} onChange=${setDays} options=${extensions.map(([v, key]) => [v, t(key)])} /><//>`;
}

function LimitsDialog({ onClose, onSend }) {
  const [limits, setLimits] = useState({});
  const set = Object.fromEntries(Object.entries(limits).filter(([, v]) => v !== null));
  const wrong = Object.values(set).some((v) => !Number.isInteger(v) || v < 1) || !Object.keys(set).length;
  return html`<${Ask} title=${t('users.bulk.limits')} disabled=${wrong} onClose=${onClose}
    onSend=${() => onSend('limits', { limits: set })}>
    <p class="dim">${t('users.bulk.limitsHelp')}</p><div class="formgrid">
      ${limitNames.map((name) => html`<${Num} key=${name} label=${t('users.limit.' + name)}
      value=${limits[name] ?? null} onInput=${(n) => setLimits({ ...limits, [name]: n })} />`)}</div><//>`;
}

function LabelDialog({ onClose, onSend }) {
  const [text, setText] = useState(''), [action, setAction] = useState('label'), labels = splitTags(text);
  return html`<${Ask} title=${t('users.bulk.label')} disabled=${!labels.length} onClose=${onClose}
    onSend=${() => onSend(action, { labels })}>
    <${Select} label=${t('users.bulk.what')} value=${action} onChange=${setAction}
      options=${['label', 'unlabel'].map((a) => [a, t('users.bulk.' + a + 'Do')])} />
    <${Text} label=${t('users.labels')} value=${text} onInput=${setText} help=${t('users.listHelp')} /><//>`;
}

function Ask({ title, children, disabled, onClose, onSend }) {
  const [busy, setBusy] = useState(false), [error, setError] = useState(null);
  const send = async () => {
    if (disabled || busy) return;
    setBusy(true);
    setError(null);
    try { await onSend(); } catch (e) { setError(e); setBusy(false); }
  };
  return html`<${Dialog} title=${title} size="small" onClose=${onClose} onSubmit=${send}
    footer=${html`<${Button} onClick=${onClose}>${t('cancel')}<//><${Button} kind="primary" type="submit" disabled=${disabled}
      busy=${busy}>${t('users.apply')}<//>`}>
    ${children}${error && html`<${ErrorNote} error=${error} />`}<//>`;
}

const dialogs = { extend: ExtendDialog, limits: LimitsDialog, label: LabelDialog };

// exportSelected reads the selected keys' rows (never their values) page by page.
async function exportSelected(sel, filter) {
  const items = [];
  for (let offset = 0; ; offset += 500) {
    const page = await api('keys/user', { query: { ...filter, offset, limit: 500 } });
    items.push(...page.items.filter((u) => selection.isSelected(sel, u.id)));
    if (offset + 500 >= page.total || !page.items.length) break;
  }
  saveFile(listCsv(items), 'user-keys.csv', 'text/csv');
}

// BulkBar acts on the selection; onDone clears it and reads the list anew.
export function BulkBar({ sel, n, total, filter, onSelect, onDone }) {
  const [dialog, setDialog] = useState(null), [busy, setBusy] = useState(false);
  const clean = Object.fromEntries(Object.entries(filter).filter(([, v]) => v));
  const request = selection.toRequest(sel, clean, total);
  const send = async (action, more) => {
    const answer = await bulk(action, request, more);
    if (answer?.state) track(answer);
    setDialog(null);
    return answer;
  };
  const flip = (action, back) => attempt(async () => {
    const answer = await send(action);
    if (!sel.all && !answer?.state) undoable(changedText(answer), async () => { await bulk(back, request); onDone(); });
    else toast({ text: changedText(answer) });
    onDone();
  });
  const remove = async () => {
    const done = await confirm({
      title: t('users.bulk.deleteTitle', { n }), text: t('users.bulk.deleteText'), danger: true, confirm: t('users.delete'),
      count: n > 20 || sel.all ? n : undefined, act: () => send('delete'),
    });
    if (!done) return;
    if (!sel.all) undoable(t('users.bulk.deleted', { n }), async () => { await bulk('restore', { ids: request.ids }); onDone(); });
    onDone();
  };
  const save = () => attempt(async () => { setBusy(true); try { await exportSelected(sel, clean); } finally { setBusy(false); } });
  const Asked = dialogs[dialog];
  return html`<div class="bulk" role="region" aria-label=${t('users.selected', { n })}><b role="status">${t('users.selected', { n })}</b>
    ${!sel.all && total > n && html`<${LinkButton} onClick=${() => onSelect(selection.everything())}>
      ${t('users.selectAll', { n: total })}<//>`}
    <span class="grow"></span>
    <${Button} icon="power" onClick=${() => flip('enable', 'disable')}>${t('users.enable')}<//>
    <${Button} icon="ban" onClick=${() => flip('disable', 'enable')}>${t('users.disable')}<//>
    <${Button} icon="clock" onClick=${() => setDialog('extend')}>${t('users.bulk.extendShort')}<//>
    <${Button} icon="settings" onClick=${() => setDialog('limits')}>${t('users.bulk.limitsShort')}<//>
    <${Button} icon="tag" onClick=${() => setDialog('label')}>${t('users.bulk.labelShort')}<//>
    <${Button} icon="download" busy=${busy} onClick=${save}>${t('users.export')}<//>
    <${Button} icon="trash" kind="danger" onClick=${remove}>${t('users.delete')}<//>
    <${Button} icon="x" kind="ghost" label=${t('users.clearSelection')} onClick=${() => onSelect(selection.none())} />
    ${Asked && html`<${Asked} onClose=${() => setDialog(null)} onSend=${async (action, more) =>
      { toast({ text: changedText(await send(action, more)) }); onDone(); }} />`}</div>`;
}
