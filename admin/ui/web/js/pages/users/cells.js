import { html } from '../../vendor/preact.mjs';
import { day, full, short, stamp, usd } from '../../lib/format.js';
import { has, t } from '../../lib/i18n.js';
import { Ago, Meter, Tags } from '../../ui/parts.js';

// UserStatus: shape, colour and word of a user key's state.
export const UserStatus = ({ status }) => html`<span class=${'status us-' + status}><i></i>${has('users.status.' + status)
  ? t('users.status.' + status) : status}</span>`;

const list = (items) => (items?.length ? items.join(', ') : '');

export const scopeText = (u) => [list(u.models) || t('users.allModels'), u.dialects?.length
  ? u.dialects.map((d) => t('users.dialect.' + d)).join(', ') : t('users.allApis')].join(' · ');

// limitName is a limit in words, for names this version does not know too.
export const limitName = (name) => (has('users.limit.' + name) ? t('users.limit.' + name) : name);

const limitShort = (name) => (has('users.short.' + name) ? t('users.short.' + name) : limitName(name));

const numbers = ['rpm', 'tpm', 'rpd', 'tpd', 'monthly_tokens', 'concurrency'];
export function limitsText(limits) {
  const parts = numbers.filter((n) => limits?.[n]).map((n) => `${limitName(n)} ${full(limits[n])}`);
  for (const [span, amount] of Object.entries(limits?.budget ?? {})) if (amount) parts.push(`${limitName('budget.' + span)} $${amount}`);
  return parts.join(', ') || t('users.unlimited');
}

function Limits({ u }) {
  if (!u.fullest) return html`<span class="dim">${u.limits && Object.keys(u.limits).length ? limitsShort(u.limits)
    : t('users.unlimited')}</span>`;
  const share = u.fullest.max ? u.fullest.used / u.fullest.max : 0;
  return html`<span class="fullest"><${Meter} value=${share} label=${`${u.name}: ${limitName(u.fullest.limit)}`} /> <small>
    ${limitShort(u.fullest.limit)}</small></span>`;
}
const limitsShort = (limits) => numbers.slice(0, 3).map((n) => (limits[n] ? short(limits[n]) : '–')).join(' / ');

const NameCell = ({ u }) => html`<button type="button" class="rowlink">${u.name}</button> <code>${u.hint}</code>`;

// columnsFor gives the list's columns for VTable.
export const columnsFor = () => [
  { id: 'name', fixed: true, area: 'a', cell: (u) => html`<${NameCell} u=${u} />`, title: (u) => `${u.name} ${u.hint}` },
  { id: 'status', width: 104, sort: false, area: 'c', cell: (u) => html`<${UserStatus} status=${u.status} />
    ${u.rotating && html` <small>${t('users.rotating')}</small>`}` },
  { id: 'scope', width: 190, sort: false, cell: scopeText, title: scopeText },
  { id: 'limits', width: 158, sort: false, area: 'b', cell: (u) => html`<${Limits} u=${u} />`, title: (u) => limitsText(u.limits) },
  { id: 'requests_24h', width: 86, num: true, area: 'd', cell: (u) => full(u.requests_24h) },
  { id: 'tokens_24h', width: 76, num: true, cell: (u) => short(u.tokens_24h), title: (u) => full(u.tokens_24h) },
  { id: 'cost_24h_nano', width: 88, num: true, cell: (u) => usd(u.cost_24h_nano) },
  { id: 'last_used', width: 92, num: true, cell: (u) => html`<${Ago} at=${u.last_used} />`, title: (u) => (u.last_used
    ? `${stamp(u.last_used)} ${u.last_ip ?? ''}` : '') },
  { id: 'expires_at', width: 84, num: true, cell: (u) => (u.expires_at ? html`<${Ago} at=${u.expires_at} />` : html`<span class="dim">
    ${t('users.never')}</span>`) },
  { id: 'created', width: 110, num: true, cell: (u) => html`<span title=${stamp(u.created)}>${day(u.created)}</span>` },
  { id: 'labels', width: 112, sort: false, cell: (u) => html`<${Tags} tags=${u.labels ?? []} />` },
].map((c) => ({ ...c, label: t('users.col.' + c.id) }));

export const defaults = ['name', 'status', 'limits', 'requests_24h', 'tokens_24h', 'last_used', 'expires_at', 'labels'];
