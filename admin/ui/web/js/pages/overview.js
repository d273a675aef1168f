import { html, useEffect, useMemo } from '../vendor/preact.mjs';
import { api } from '../lib/api.js';
import { useEvent } from '../lib/events.js';
import { moment, ms, short, step } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { useLoad } from '../lib/load.js';
import { route, setQuery } from '../lib/route.js';
import { TimeChart } from '../ui/chart.js';
import { Button, Copy, Empty, ErrorNote, Go, PageHead, Segmented, Skeleton } from '../ui/parts.js';
import { Figures } from './overview/figures.js';
import { Pool } from './overview/pool.js';
import { isEmpty, slice } from './overview/series.js';
import { Errors, Models, Users } from './overview/tables.js';

const ranges = ['1h', '6h', '24h', '7d'];

const outcomes = () => [
  { key: 'failed', color: 'c-fail', label: t('class.failed') },
  { key: 'client_error', color: 'c-client', label: t('class.client_error') },
  { key: 'retried', color: 'c-retry', label: t('class.retried') },
  { key: 'ok', color: 'c-ok', soft: true, label: t('class.ok') },
];
const latencies = () => [
  { key: 'p95_ms', color: 'c-a', label: 'p95' },
  { key: 'p50_ms', color: 'c-b', label: 'p50' },
  { key: 'ttft_p50_ms', color: 'c-c', label: t('overview.ttftP50') },
];
const tokenKinds = () => [
  { key: 'tokens_in', color: 'c-b', fill: true, label: t('overview.input') },
  { key: 'tokens_out', color: 'c-c', fill: true, label: t('overview.output') },
];

export const title = () => t('nav.overview');

// useFresh reads again when a bucket of the series has ended, by the server's
// clock in the stats events: nothing is polled.
function useFresh(series, reload) {
  const stepMs = series?.step_ms ?? 60_000;
  const last = series?.t.at(-1);
  useEvent('stats', (s) => {
    if (last && Date.parse(s.at) - Date.parse(last) >= stepMs + 1500) reload();
  }, [last, stepMs]);
}

function useZoom() {
  const { q } = route.value;
  const from = q.has('from') ? Number(q.get('from')) : null;
  const to = q.has('to') ? Number(q.get('to')) : null;
  return { from, to, set: (a, b) => setQuery({ from: a && Math.round(a), to: b && Math.round(b) }) };
}

const curl = () => `curl ${location.origin}/v1/chat/completions -H 'Authorization: Bearer <user key>' `
  + `-H 'Content-Type: application/json' -d '{"model": "gemini-flash-latest", "messages": [{"role": "user", "content": "Hello"}]}'`;

const NoRequests = ({ keys }) => html`
  <section class="card"><${Empty} icon="zap" title=${t('overview.none')} text=${t(keys > 0 ? 'overview.noneText' : 'overview.noKeys')}>
    ${keys > 0 ? html`<code class="curl">${curl()}</code><${Copy} kind="" text=${curl()}>${t('copy')}<//>`
      : html`<${Go} to="/keys" query=${{ import: 1 }} kind="primary" icon="upload">${t('overview.import')}<//>`}
  <//></section>`;

function Charts({ series, zoom, stale, children }) {
  const shown = useMemo(() => series && slice(series, zoom.from, zoom.to), [series, zoom.from, zoom.to]);
  const unit = series ? t('overview.per', { t: step(series.step_ms) }) : '';
  const shared = { data: shown, stale, onRange: zoom.set };
  return html`
    <div class="cols c21">
      <${TimeChart} ...${shared} title=${t('overview.outcomes')} unit=${unit} stack fmt=${short} series=${outcomes()} height=${262} />
      ${children}
    </div>
    <div class="cols c11">
      <${TimeChart} ...${shared} title=${t('overview.latency')} fmt=${ms} ranges series=${latencies()} height=${180} />
      <${TimeChart} ...${shared} title=${t('overview.tokenUse')} unit=${unit} fmt=${short} series=${tokenKinds()} height=${180} />
    </div>`;
}

export function Page() {
  const asked = route.value.q.get('range');
  const window = ranges.includes(asked) ? asked : '24h';
  const zoom = useZoom();
  const overview = useLoad((signal) => api('overview', { query: { window }, signal }), [window]);
  const series = useLoad((signal) => api('stats/series', { query: { window }, signal }), [window]);
  const reload = () => { overview.reload(); series.reload(); };
  useFresh(series.data, reload);
  useEvent('keys', ({ counts }) => overview.set((o) => o && counts && {
    ...o, pool: { ...o.pool, status: counts, total: counts.all ?? o.pool.total, attention: counts.attention ?? o.pool.attention,
      usable: (counts.active ?? 0) + (counts.untested ?? 0) },
  }), []);
  useEffect(() => { if (zoom.from !== null) zoom.set(undefined, undefined); }, [window]);
  const o = overview.data;
  const quiet = series.data && o && isEmpty(series.data) && !o.figures.requests;
  return html`
    <div class="page">
      <${PageHead} title=${title()}>
        ${zoom.from !== null && html`<${Button} icon="x" kind="quiet" onClick=${() => zoom.set(undefined, undefined)}>
          ${moment(zoom.from)} – ${moment(zoom.to)}<//>`}
        <${Segmented} label=${t('range')} value=${window} options=${ranges.map((r) => [r, t('range.' + r)])}
          onChange=${(r) => setQuery({ range: r })} />
      <//>
      ${overview.error && html`<${ErrorNote} error=${overview.error} title=${t('overview.failed')} onRetry=${overview.reload} />`}
      <${Figures} overview=${o} series=${series.data} span=${t('range.' + window)} />
      ${o ? html`<${Pool} pool=${o.pool} />` : !overview.error && html`<${Skeleton} height=${126} />`}
      ${series.error && html`<${ErrorNote} error=${series.error} title=${t('overview.seriesFailed')} onRetry=${series.reload} />`}
      ${quiet ? html`<${NoRequests} keys=${o.pool.total} />` : html`
        <${Charts} series=${series.data} zoom=${zoom} stale=${false}>
          ${o ? html`<${Errors} rows=${o.errors} window=${window} />` : !overview.error && html`<${Skeleton} />`}
        <//>
        ${o && html`<div class="cols c32"><${Models} rows=${o.models} /><${Users} rows=${o.users} cost=${o.figures.cost_nano} /></div>`}`}
    </div>`;
}
