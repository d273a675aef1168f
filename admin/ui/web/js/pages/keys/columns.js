import { html } from '../../vendor/preact.mjs';
import { full, pct, short, stamp, usd } from '../../lib/format.js';
import { t } from '../../lib/i18n.js';
import { Ago, Icon, Meter, Spark, Status, Tags, cls } from '../../ui/parts.js';

const Zero = ({ n, text }) => (n ? text : html`<span class="dim">0</span>`);

export const keyName = (k) => k.name || k.hint;

function Errors({ k }) {
  if (!k.errors_24h) return html`<span class="dim">0</span>`;
  const rate = k.requests_24h ? k.errors_24h / k.requests_24h : 1;
  return html`${full(k.errors_24h)} <small class=${cls(rate > 0.05 && 'badtext')}>${pct(rate)}</small>`;
}

const Name = ({ k }) => html`
  <span class="keyname"><button type="button" class="rowlink" tabindex="-1">${keyName(k)}</button>
    ${k.declared && html`<span class="locked" title=${t('keys.declared')}><${Icon} name="lock" size=${12} /></span>`}
    ${k.name && html`<code>${k.hint}</code>`}</span>`;

const Quota = ({ quota }) => (quota?.limit
  ? html`<${Meter} value=${quota.used / quota.limit} label=${t('keys.col.quota')} />${' '}
    <small>${full(quota.used)} / ${full(quota.limit)}</small>`
  : html`<span class="dim">–</span>`);

// The columns of the table; `extra` ones are off until chosen. sort names are the API's.
export const columns = () => [
  { id: 'name', label: t('keys.col.key'), area: 'a', fixed: true, cell: (k) => html`<${Name} k=${k} />`,
    title: (k) => k.note || undefined },
  { id: 'status', label: t('keys.col.status'), width: 158, area: 'c',
    cell: (k) => html`<${Status} status=${k.status} until=${k.until} reason=${k.reason} />` },
  { id: 'hours', label: t('keys.col.hours'), width: 112, area: 'b', sort: false, cell: (k) => html`<${Spark} values=${k.hours} />` },
  { id: 'requests_24h', label: t('keys.col.requests'), width: 84, num: true, area: 'd',
    cell: (k) => html`<${Zero} n=${k.requests_24h} text=${full(k.requests_24h)} />` },
  { id: 'errors_24h', label: t('keys.col.errors'), width: 92, num: true, cell: (k) => html`<${Errors} k=${k} />`,
    title: (k) => k.reason || undefined },
  { id: 'tokens_24h', label: t('keys.col.tokens'), width: 76, num: true,
    cell: (k) => html`<${Zero} n=${k.tokens_24h} text=${short(k.tokens_24h)} />`,
    title: (k) => full(k.tokens_24h) },
  { id: 'last_used', label: t('keys.col.lastUsed'), width: 90, num: true, cell: (k) => html`<${Ago} at=${k.last_used} />` },
  { id: 'tags', label: t('keys.col.tags'), width: 124, sort: false, cell: (k) => html`<${Tags} tags=${k.tags} />`,
    title: (k) => k.tags.join(', ') },
  { id: 'quota', label: t('keys.col.quota'), width: 150, num: true, extra: true, cell: (k) => html`<${Quota} quota=${k.quota} />` },
  { id: 'cost_24h', label: t('keys.col.cost'), width: 90, num: true, extra: true, cell: (k) => usd(k.cost_24h_nano) },
  { id: 'reason', label: t('keys.col.reason'), width: 220, sort: false, extra: true, cell: (k) => k.reason, title: (k) => k.reason },
  { id: 'weight', label: t('keys.col.weight'), width: 84, num: true, extra: true, cell: (k) => k.weight },
  { id: 'in_flight', label: t('keys.col.inFlight'), width: 84, num: true, sort: false, extra: true, cell: (k) => full(k.in_flight) },
  { id: 'project', label: t('keys.col.project'), width: 130, extra: true, cell: (k) => k.project, title: (k) => k.project },
  { id: 'created', label: t('keys.col.created'), width: 100, num: true, extra: true, cell: (k) => html`<${Ago} at=${k.created} />`,
    title: (k) => stamp(k.created) },
  { id: 'batch', label: t('keys.col.batch'), width: 150, sort: false, extra: true, cell: (k) => k.batch ?? '', title: (k) => k.batch },
  { id: 'id', label: 'ID', width: 120, sort: false, extra: true, cell: (k) => html`<code>${k.id}</code>` },
];
