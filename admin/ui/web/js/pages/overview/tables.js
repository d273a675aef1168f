import { html } from '../../vendor/preact.mjs';
import { full, ms, pct, short, usd } from '../../lib/format.js';
import { has, t } from '../../lib/i18n.js';
import { href } from '../../lib/route.js';
import { Card, Meter, cls } from '../../ui/parts.js';

const All = ({ to, query }) => html`<a class="link" href=${href(to, query)}>${t('all')}</a>`;
const reason = (word) => (has('verdict.' + word) ? t('verdict.' + word) : word);
const fates = ['retried', 'client', 'failed'];

// became is the fates of an error in words, most frequent first; below 1 % they are only in the bar.
const became = ({ fate, count }) => fates.filter((f) => fate[f] > 0 && fate[f] >= count / 100)
  .sort((a, b) => fate[b] - fate[a]).map((f) => t('overview.fate.' + f)).join(', ');

// A code is Google's status; what never got one says so in its reason.
const ErrorRow = ({ row, most, window }) => html`
  <li><a href=${href('/requests', { code: row.code, reason: row.reason, window })}>
    <span class="code">${/^\d+$/.test(row.code) ? row.code : '–'}</span><span class="reason" title=${row.reason}>${reason(row.reason)}</span>
    <b title=${full(row.count)}>${short(row.count)}</b>
    <span class="sub"><span class="share" title=${pct(row.share)}>
      ${fates.map((f) => row.fate[f] > 0 && html`<i key=${f} class=${'f-' + f} style=${{ width: (row.fate[f] / most) * 100 + '%' }}></i>`)}
        </span>
      <small>${became(row)}${row.keys > 0 && ` · ${t('overview.errorKeys', { n: row.keys })}`}</small></span></a></li>`;

export function Errors({ rows, window, stale }) {
  const most = Math.max(1, ...rows.map((r) => r.count));
  return html`
    <${Card} title=${t('overview.errors')} class="errors" stale=${stale}
      actions=${html`<${All} to="/requests" query=${{ class: 'failed', window }} />`}>
      ${rows.length === 0 ? html`<p class="quiet">${t('overview.noErrors')}</p>`
        : html`<ol>${rows.map((row) => html`<${ErrorRow} key=${row.code + row.reason} row=${row} most=${most} window=${window} />`)}</ol>`}
    <//>`;
}

const Table = ({ title, children }) => html`<div class="scroll" tabindex="0" role="region" aria-label=${title}><table class="plain">
  ${children}</table></div>`;
const Heads = ({ first, names }) => html`
  <thead><tr><th scope="col">${first}</th>${names.map((name) => html`<th key=${name} scope="col" class="n">${t('overview.' + name)}</th>`)}
    </tr></thead>`;

const ModelRow = ({ m }) => html`
  <tr><th scope="row" class="mono"><a href=${href('/models', { id: m.id ?? m.model })}>${m.id ?? m.model}</a></th>
    <td class="n" title=${full(m.requests)}>${short(m.requests)}</td>
    <td class=${cls('n', m.success !== null && m.success < 0.97 && 'warn')}>${pct(m.success, 2)}</td>
    <td class="n">${ms(m.ttft_p50_ms)}</td><td class="n">${ms(m.p95_ms)}</td>
    <td class="n" title=${full(m.tokens)}>${short(m.tokens)}</td>
    <td class="n">${m.tokens_out_per_s ? short(m.tokens_out_per_s) : '–'}</td>
    <td class="n">${full(m.keys_usable)}</td></tr>`;

export const Models = ({ rows, stale }) => html`
  <${Card} title=${t('overview.models')} stale=${stale} actions=${html`<${All} to="/models" />`}>
    <${Table} title=${t('overview.models')}>
      <${Heads} first=${t('overview.model')} names=${['requests', 'successRate', 'ttft', 'p95', 'tokens', 'speed', 'keys']} />
      <tbody>${rows.map((m) => html`<${ModelRow} key=${m.id ?? m.model} m=${m} />`)}</tbody>
    <//>
  <//>`;

const UserRow = ({ u }) => html`
  <tr><th scope="row" class="name"><a href=${href('/users', { id: u.id })}>${u.name || u.id}</a></th>
    <td class="n" title=${full(u.requests)}>${short(u.requests)}</td><td class="n" title=${full(u.tokens)}>${short(u.tokens)}</td>
    <td class="n">${usd(u.cost_nano)}</td>
    <td class="n">${u.limit_used === null || u.limit_used === undefined ? html`<span class="dim">–</span>`
      : html`<${Meter} value=${u.limit_used} label=${u.name} /> <small class="num share">${pct(u.limit_used, 0)}</small>`}</td></tr>`;

export const Users = ({ rows, cost, stale }) => html`
  <${Card} title=${t('overview.users')} note=${cost !== null && cost !== undefined && t('overview.cost', { usd: usd(cost) })} stale=${stale}
    actions=${html`<${All} to="/users" />`}>
    ${rows.length === 0 ? html`<p class="quiet">${t('overview.noUsers')}</p>` : html`
    <${Table} title=${t('overview.users')}>
      <${Heads} first=${t('overview.name')} names=${['requests', 'tokens', 'costs', 'limit']} />
      <tbody>${rows.map((u) => html`<${UserRow} key=${u.id} u=${u} />`)}</tbody>
    <//>`}
  <//>`;
