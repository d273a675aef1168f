import { html, signal } from '../../vendor/preact.mjs';
import { live, on } from '../../lib/events.js';
import { full, ms, pct, short } from '../../lib/format.js';
import { t } from '../../lib/i18n.js';
import { Delta, Line } from '../../ui/parts.js';
import { closed, means, requests, success, tokens } from './series.js';

// In flight has no history on the server: its line is what this tab has seen, a
// value a second for five minutes.
const seen = signal([]);
on('stats', (s) => (seen.value = [...seen.value.slice(-299), s.in_flight]));

// id, text, whether more is better (null: neither), the line of it.
const figures = [
  { id: 'requests_per_min', text: short, up: true, line: requests },
  { id: 'success', text: (v) => pct(v, 2), up: true, line: success, share: true },
  { id: 'ttft_p50_ms', text: ms, up: false, line: (s) => s.ttft_p50_ms },
  { id: 'p95_ms', text: ms, up: false, line: (s) => s.p95_ms },
  { id: 'tokens_per_min', text: short, up: true, line: tokens },
  { id: 'in_flight', text: short, up: null, line: null },
];

function Figure({ figure, now, mean, before, series, span }) {
  const { id, text, up, line, share } = figure;
  const values = line ? series && means(closed(series, line(series))) : means(seen.value, 60);
  const exact = share || id.endsWith('_ms') ? undefined : full(now);
  return html`
    <div class="kpi"><dt>${t('overview.' + id)}</dt>
      <dd><b title=${exact}>${text(now)}</b><${Delta} value=${mean} before=${before} share=${share} up=${up}
        title=${t('overview.before', { t: span })} /></dd>
      <${Line} values=${values} min=${share ? 0.95 : 0} /></div>`;
}

// Figures: the newest value of each (live), and how the whole span compares with the one before.
export const Figures = ({ overview, series, span }) => html`
  <dl class="kpis">
    ${figures.map((figure) => html`<${Figure} key=${figure.id} figure=${figure} series=${series} span=${span}
      now=${(live.value ?? overview?.now)?.[figure.id]} mean=${overview?.figures[figure.id]} before=${overview?.before?.[figure.id]} />`)}
  </dl>`;
