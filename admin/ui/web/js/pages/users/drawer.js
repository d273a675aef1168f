import { html, useEffect, useState } from '../../vendor/preact.mjs';
import { api } from '../../lib/api.js';
import { day, full, short, stamp, usd } from '../../lib/format.js';
import { t } from '../../lib/i18n.js';
import { href } from '../../lib/route.js';
import { isAdmin } from '../../lib/session.js';
import { Drawer } from '../../ui/drawer.js';
import { Button, Copy, Countdown, ErrorNote, Facts, Go, Meter, Note, Skeleton, Spark, Tags } from '../../ui/parts.js';
import { useLoad } from '../../lib/load.js';
import { Outcome, modelText } from '../requests/cells.js';
import { byDay } from './days.js';
import { remove, rotate, setEnabled } from './actions.js';
import { UserStatus, limitName, limitsText, scopeText } from './cells.js';

function Windows({ windows }) {
  if (!windows?.length) return html`<p class="dim">${t('users.noWindows')}</p>`;
  const amount = (w, n) => (w.limit.startsWith('budget') ? usd(n) : full(n));
  return html`<ul class="windows">${windows.map((w) => html`<li key=${w.limit}><span>${limitName(w.limit)}</span>
    <${Meter} value=${w.max ? w.used / w.max : 0} label=${limitName(w.limit)} />
    <b class="num">${t('users.ofMax', { used: amount(w, w.used), max: amount(w, w.max) })}</b>
    <small>${w.resets_at ? html`${t('users.resets')} <${Countdown} until=${w.resets_at} />` : ''}</small></li>`)}</ul>`;
}

function ByModel({ rows }) {
  if (!rows?.length) return html`<p class="dim">${t('users.noTraffic')}</p>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t('users.byModel')}><table class="plain"><thead><tr>
    <th scope="col">${t('users.model')}</th>
    ${['requests', 'tokens', 'cost'].map((c) => html`<th scope="col" class="n" key=${c}>${t('users.col.' + c)}</th>`)}</tr></thead>
    <tbody>${rows.map((m) => html`<tr key=${m.model}><th scope="row" class="mono">${m.model}</th><td class="n">${full(m.requests)}</td>
      <td class="n" title=${full(m.tokens)}>${short(m.tokens)}</td><td class="n">${usd(m.cost_nano)}</td></tr>`)}</tbody></table></div>`;
}

// ByDay: requests of each of the last 30 days, and the days' figures for those who do not see the bars.
function ByDay({ id }) {
  const { data } = useLoad((signal) => api('stats/series', { query: { user: id, window: '30d' }, signal }), [id]);
  if (!data) return html`<${Skeleton} height=${60} />`;
  const days = byDay(data), used = days.filter((d) => d.requests > 0);
  if (!used.length) return html`<p class="dim">${t('users.noDays')}</p>`;
  return html`<${Spark} values=${days.map((d) => d.requests)} width=${480} height=${56} />
    <details class="more"><summary>${t('users.daysTable')}</summary>
      <div class="scroll" tabindex="0" role="region" aria-label=${t('users.byDay')}><table class="plain"><thead><tr>
        <th scope="col">${t('users.day')}</th>
        ${['requests', 'tokens', 'cost'].map((c) => html`<th scope="col" class="n" key=${c}>${t('users.col.' + c)}</th>`)}</tr></thead>
        <tbody>${used.toReversed().map((d) => html`<tr key=${d.day}><th scope="row">${day(d.at)}</th><td class="n">${full(d.requests)}</td>
          <td class="n" title=${full(d.tokens)}>${short(d.tokens)}</td><td class="n">${usd(d.cost)}</td></tr>`)}</tbody></table></div>
    </details>`;
}

function LastErrors({ id }) {
  const [rows, setRows] = useState(null);
  useEffect(() => {
    const abort = new AbortController();
    const read = (cls) => api('requests', { query: { user: id, class: cls, limit: 5 }, signal: abort.signal }).then((x) => x.items);
    Promise.all([read('failed'), read('client_error')])
      .then((lists) => setRows(lists.flat().sort((a, b) => (a.at < b.at ? 1 : -1)).slice(0, 5)), () => setRows((r) => r ?? []));
    return () => abort.abort();
  }, [id]);
  if (!rows) return html`<${Skeleton} height=${60} />`;
  if (!rows.length) return html`<p class="dim">${t('users.noErrors')}</p>`;
  return html`<ul class="errlist">${rows.map((r) => html`<li key=${r.id}><a href=${href('/requests', { user: id, id: r.id })}>
    <${Outcome} request=${r} />
    <span class="mono">${modelText(r)}</span><small>${stamp(r.at)}</small></a></li>`)}</ul>`;
}

function Actions({ user, tools, onClose }) {
  return html`<div class="actions wrap"><${Go} to="/requests" query=${{ user: user.id }} icon="requests">${t('users.viewRequests')}<//>
    ${isAdmin.value && html`<${Button} icon="edit" onClick=${() => tools.edit(user)}>${t('users.edit')}<//>
      <${Button} icon="rotate" onClick=${() => rotate(user, tools)}>${t('users.rotate')}<//>
      <${Button} icon="power" onClick=${() => setEnabled(user, !user.enabled, tools)}>
        ${t(user.enabled ? 'users.disable' : 'users.enable')}<//>
      <${Button} icon="trash" kind="danger" onClick=${async () => { if (await remove(user, tools)) onClose(); }}>
        ${t('users.delete')}<//>`}</div>`;
}

function Details({ u }) {
  return html`<${Facts} rows=${[
    [t('users.id'), html`<code>${u.id}</code> <${Copy} text=${u.id} label=${t('users.copyId')} />`],
    [t('users.created'), stamp(u.created)],
    [t('users.expiry'), u.expires_at ? stamp(u.expires_at) : t('users.never')],
    [t('users.lastUsed'), u.last_used ? html`${stamp(u.last_used)} <small>${u.last_ip}</small>` : t('never')],
    [t('users.scope'), scopeText(u)],
    [t('users.limits'), limitsText(u.limits)],
    u.cidrs?.length > 0 && [t('users.cidrs'), html`<span class="mono">${u.cidrs.join(', ')}</span>`],
    u.tags?.length > 0 && [t('users.poolTags'), html`<${Tags} tags=${u.tags} />`],
    u.labels?.length > 0 && [t('users.labels'), html`<${Tags} tags=${u.labels} />`],
    u.paid_only && [t('users.paidOnly'), t('requests.yes')],
    u.note && [t('users.note'), html`<span class="break">${u.note}</span>`],
  ]} />`;
}

// UserDrawer shows one user key. tools are the page's (see users/actions.js).
export function UserDrawer({ id, tools, onClose }) {
  const [user, setUser] = useState(null), [error, setError] = useState(null), [version, setVersion] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    api('keys/user/' + encodeURIComponent(id), { signal: abort.signal })
      .then((u) => { setUser(u); setError(null); }, (e) => e.name === 'AbortError' || setError(e));
    return () => abort.abort();
  }, [id, version]);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || setVersion((v) => v + 1), 5000);
    return () => clearInterval(timer);
  }, []);
  const again = () => setVersion((v) => v + 1);
  const own = { ...tools, changed: (u) => { tools.changed(u); again(); }, refresh: () => { tools.refresh(); again(); } };
  return html`<${Drawer} wide title=${user?.name ?? t('users.one')} subtitle=${html`<code>${user?.hint}</code>`} onClose=${onClose}>
    ${error && html`<${ErrorNote} error=${error} onRetry=${again} />`}
    ${!user && !error && html`<${Skeleton} height=${320} />`}
    ${user && html`<p class="statusline"><${UserStatus} status=${user.status} /></p>
      ${user.rotating && html`<${Note} kind="info">${t('users.oldUntil', { at: stamp(user.rotating.old_until) })}<//>`}
      <${Actions} user=${user} tools=${own} onClose=${onClose} />
      <h3>${t('users.now')}</h3><${Windows} windows=${user.windows} />
      ${user.spent && html`<dl class="figures">${['day', 'month', 'total'].map((span) => html`<div key=${span}>
        <dt>${t('users.spent.' + span)}</dt>
        <dd>${usd(user.spent[span + '_nano'])}</dd></div>`)}</dl>`}
      <h3>${t('users.byModel')}</h3><${ByModel} rows=${user.by_model} />
      <h3>${t('users.byDay')}</h3><${ByDay} id=${id} />
      <h3>${t('users.lastErrors')}</h3><${LastErrors} id=${id} />
      <h3>${t('users.details')}</h3><${Details} u=${user} />`}<//>`;
}
