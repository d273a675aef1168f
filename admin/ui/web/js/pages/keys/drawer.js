import { html, useState } from '../../vendor/preact.mjs';
import { api } from '../../lib/api.js';
import { useEvent } from '../../lib/events.js';
import { full, ms, pct, short, stamp, usd } from '../../lib/format.js';
import { has, t } from '../../lib/i18n.js';
import { useLoad } from '../../lib/load.js';
import { href } from '../../lib/route.js';
import { said } from '../../lib/servertext.js';
import { isAdmin } from '../../lib/session.js';
import { Drawer } from '../../ui/drawer.js';
import { MenuButton } from '../../ui/menu.js';
import { Ago, Button, Countdown, Copy, ErrorNote, Facts, LinkButton, Meter, Note, Skeleton, Spark, Status } from '../../ui/parts.js';
import { keyName } from './columns.js';
import { rowMenu } from './actions.js';
import { Edit } from './edit.js';
import { readKey } from './key.js';

const word = (prefix, value) => (has(prefix + value) ? t(prefix + value) : value);

// Why: the state in plain words, and what to do about it.
const Why = ({ k }) => {
  const bad = k.status === 'invalid';
  if (!k.reason && !k.advice && !bad) return null;
  return html`<${Note} kind=${bad ? 'bad' : 'warn'}>
    ${k.reason && html`<b>${k.reason}</b> `}${k.advice || (has('keys.advice.' + k.status) && t('keys.advice.' + k.status))}
    ${k.until && html`<small>${t('keys.backIn')} <${Countdown} until=${k.until} /></small>`}<//>`;
};

function Actions({ k, context }) {
  const items = rowMenu(k, context);
  if (!isAdmin.value) return html`<div class="actions">
    ${items.map((x) => html`<${Button} key=${x.text} icon=${x.icon} onClick=${x.act}>${x.text}<//>`)}</div>`;
  const [first, second, ...rest] = items;
  return html`
    <div class="actions">
      ${[first, second].map((x) => html`<${Button} key=${x.icon} icon=${x.icon} onClick=${x.act}>${x.text}<//>`)}
      <${MenuButton} icon="more" kind="" label=${t('keys.more')} items=${rest} />
    </div>`;
}

const share = (q) => (q.limit ? q.used / q.limit : 0);

const QuotaRow = ({ q }) => html`
  <tr><th scope="row"><span class="mono">${q.model}</span></th><td><abbr title=${word('keys.window.', q.window)}>${q.window}</abbr></td>
    <td>${q.limit > 0 && html`<${Meter} value=${share(q)} label=${`${q.model} ${q.window}`} />`}</td>
    <td class="n" title=${word('keys.source.', q.source)}>${short(q.used)}${q.limit > 0 && html` / ${short(q.limit)}`}
      ${q.source !== 'set' && q.limit > 0 && html`<small> ≈</small>`}</td></tr>`;

function Quotas({ quotas }) {
  const [all, setAll] = useState(false);
  if (quotas.every((q) => !q.used && !q.limit)) return html`<p class="dim">${t('keys.noQuota')}</p>`;
  const sorted = quotas.filter((q) => q.used > 0 || q.limit > 0).toSorted((a, b) => share(b) - share(a));
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label=${t('keys.quotas')}><table class="plain">
      <thead class="sr"><tr><th scope="col">${t('keys.model')}</th><th scope="col">${t('keys.window')}</th><th scope="col">
        ${t('keys.share')}</th><th scope="col">${t('keys.used')}</th></tr></thead>
      <tbody>${(all ? sorted : sorted.slice(0, 6)).map((q) => html`<${QuotaRow} key=${q.model + q.window} q=${q} />`)}</tbody></table></div>
    ${sorted.length > 6 && !all && html`<${LinkButton} onClick=${() => setAll(true)}>${t('keys.showAll', { n: sorted.length })}<//>`}`;
}

const Rests = ({ rests }) => rests.length > 0 && html`
  <h3>${t('keys.rests')}</h3>
  <ul class="lines">${rests.map((r) => html`<li key=${r.model} title=${said(r.advice) || undefined}><span class="mono">${r.model}</span> <span class="dim">
    ${said(r.why)}</span>
    <span class="grow"></span>
    ${r.until && html`<${Countdown} until=${r.until} />`}</li>`)}</ul>`;

const moods = { ok: 'oktext', retried: 'warn', client_error: 'dim', failed: 'badtext' };

function Requests({ id }) {
  const { data, error, reload } = useLoad((signal) => api('requests', { query: { key: id, limit: 20 }, signal }), [id]);
  if (error) return html`<${ErrorNote} error=${error} onRetry=${reload} />`;
  if (!data) return html`<${Skeleton} height=${60} />`;
  if (data.items.length === 0) return html`<p class="dim">${t('keys.noRequests')}</p>`;
  return html`
    <ul class="lines">${data.items.map((r) => html`
      <li key=${r.id}><a href=${href('/requests', { id: r.id })}><code class=${moods[r.class]}>${r.status}</code> <span class="mono">
        ${r.model || r.asked}</span>
        <span class="grow"></span><span class="dim">${ms(r.duration_ms)}</span> <${Ago} at=${r.at} /></a></li>`)}</ul>
    <p><a class="link" href=${href('/requests', { key: id })}>${t('keys.requests')}</a></p>`;
}

const happened = (what) => (has('keys.history.' + what) ? t('keys.history.' + what) : word('st.', what));

const History = ({ history }) => html`
  <ul class="lines">${history.map((h) => html`
    <li key=${h.at + h.what}><span>${happened(h.what)}</span><span class="dim">${said(h.detail)}</span>
      <span class="grow"></span><${Ago} at=${h.at} /></li>`)}</ul>`;

const errors = (k) => t('keys.errorsOf', { n: k.errors_24h, p: pct(k.errors_24h / Math.max(1, k.requests_24h)) });

const facts = (k) => [
  ['ID', html`<code>${k.id}</code> <${Copy} text=${k.id} />`],
  [t('keys.col.requests'), html`${full(k.requests_24h)} ${k.errors_24h > 0 && html`<small class="badtext">${errors(k)}</small>`}`],
  [t('keys.col.tokens'), full(k.tokens_24h)],
  [t('keys.col.cost'), usd(k.cost_24h_nano)],
  [t('keys.col.inFlight'), full(k.in_flight)],
  [t('keys.col.lastUsed'), html`<${Ago} at=${k.last_used} />`],
  [t('keys.validatedAt'), html`<${Ago} at=${k.validated_at} />`],
  [t('keys.col.created'), stamp(k.created)],
  k.batch && [t('keys.col.batch'), html`<a href=${href('/keys', { batch: k.batch })}>${k.batch}</a>`],
  k.proxy && [t('keys.proxy'), html`<code>${k.proxy}</code>`],
];

// KeyDrawer: one key whole. Its id stands in the address.
export function KeyDrawer({ id, onClose, changed }) {
  const { data: k, error, reload, set } = useLoad((signal) => api('keys/gemini/' + id, { signal }).then(readKey), [id]);
  useEvent('keys', (e) => { if (Array.isArray(e.changed) && e.changed.includes(id)) reload(); }, [id]);
  const update = (key) => {
    if (key) set((old) => readKey({ ...old, ...key }));
    changed(key);
  };
  if (error && !k) {
    return html`<${Drawer} title=${t('keys.col.key')} onClose=${onClose}>
      ${error.status === 404 ? html`<${Note} kind="warn">${t('keys.gone')}<//>` : html`<${ErrorNote} error=${error} onRetry=${reload} />`}
        <//>`;
  }
  if (!k) return html`<${Drawer} title="…" onClose=${onClose}><${Skeleton} height=${300} /><//>`;
  const context = { changed: update, closed: onClose };
  return html`
    <${Drawer} title=${keyName(k)} subtitle=${k.name && html`<code>${k.hint}</code>`} onClose=${onClose}>
      <p><${Status} status=${k.status} until=${k.until} /> ${k.state !== k.status && k.state !== 'active' && html`<span class="dim">
        ${word('st.', k.state)}</span>`}</p>
      <${Why} k=${k} />
      ${k.declared && html`<${Note}>${t('keys.declaredText')}<//>`}
      <${Actions} k=${k} context=${context} />
      <h3>${t('keys.perHour')}</h3><${Spark} values=${k.hours} width=${396} height=${64} />
      <h3>${t('keys.quotas')}</h3><${Quotas} quotas=${k.quotas ?? []} />
      <${Rests} rests=${k.rests ?? []} />
      <h3>${t('edit')}</h3><${Edit} k=${k} changed=${update} />
      <h3>${t('keys.details')}</h3><${Facts} rows=${facts(k)} />
      <h3>${t('keys.lastRequests')}</h3><${Requests} id=${id} />
      ${k.history?.length > 0 && html`<h3>${t('keys.history')}</h3><${History} history=${k.history} />`}
    <//>`;
}
