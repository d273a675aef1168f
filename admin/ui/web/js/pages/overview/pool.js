import { html } from '../../vendor/preact.mjs';
import { now, skew } from '../../lib/clock.js';
import { full, left, pct } from '../../lib/format.js';
import { t } from '../../lib/i18n.js';
import { href } from '../../lib/route.js';
import { Icon, Meter, SegBar } from '../../ui/parts.js';

export const statuses = ['active', 'cooling', 'exhausted', 'invalid', 'disabled', 'untested'];

const Resets = ({ at }) => html`<small>${t('overview.resets', { t: left(Date.parse(at) - now.value - skew.value) })}</small>`;

const Quota = ({ pool }) => html`
  <div class="quota"><span>${t('overview.quota')}</span>
    ${pool.quota_limit > 0 ? html`
      <${Meter} value=${pool.quota_used / pool.quota_limit} label=${t('overview.quota')} />
      <b title=${t('overview.quotaOf', { n: pool.quota_used, m: pool.quota_limit })}>${pct(pool.quota_used / pool.quota_limit)}</b>`
    : html`<b>${t('overview.quotaUsed', { n: pool.quota_used ?? 0 })}</b><small>${t('overview.quotaUnknown')}</small>`}
    ${pool.quota_resets_at && html`<${Resets} at=${pool.quota_resets_at} />`}</div>`;

// Pool: how many keys can serve now, the six states, what needs somebody, today's quota.
export const Pool = ({ pool, stale }) => html`
  <section class="card pool" aria-busy=${stale ? 'true' : undefined}>
    <header><h2>${t('overview.pool')}</h2><p>${t('overview.usable', { n: pool.usable, m: pool.total })}</p><span class="grow"></span>
      ${pool.attention > 0 && html`<a class="attention" href=${href('/keys', { status: 'attention' })}>
        <${Icon} name="alert" size=${14} />${t('overview.attention', { n: pool.attention })}</a>`}</header>
    <${SegBar} parts=${statuses.map((s) => [s, pool.status[s] ?? 0])} />
    <ul class="poollegend">${statuses.map((s) => html`
      <li key=${s}><a href=${href('/keys', { status: s })}><i class=${'b-' + s}></i>${t('st.' + s)} <b>${full(pool.status[s] ?? 0)}</b>
        <small>${pool.total ? pct((pool.status[s] ?? 0) / pool.total) : ''}</small></a></li>`)}</ul>
    <${Quota} pool=${pool} />
  </section>`;
