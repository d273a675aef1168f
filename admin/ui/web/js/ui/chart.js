import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from '../vendor/preact.mjs';
import uPlot from '../vendor/uplot.mjs';
import { moment, stamp, tick, utc, wholeSteps } from '../lib/format.js';
import { lang, t } from '../lib/i18n.js';
import { theme } from '../lib/theme.js';
import { LinkButton, cls } from './parts.js';

// color resolves a custom property to the colour that the canvas needs.
function color(name, soft) {
  const probe = document.createElement('i');
  probe.style.forcedColorAdjust = 'none'; // a canvas is not adjusted: its series would all be alike
  probe.style.color = soft ? `color-mix(in srgb, var(--${name}) 45%, var(--surface))` : `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
const faint = (c) => c.replace(/rgba?\(([^)]+)\)/, (_, v) => `rgba(${v.split(',').slice(0, 3)}, .1)`);

// stacked sums the series upwards; null counts as nothing.
const stacked = (rows) => rows.map((_, i) => rows[0].map((_, x) => rows.slice(0, i + 1).reduce((sum, r) => sum + (r[x] ?? 0), 0)));

// The last bucket is unfinished: its piece of a line is dashed, without a fill,
// and ends in a dot.
const openEnd = (u, i, points, last, stroke) => {
  if (last === null || last === undefined) return;
  const before = u.data[i][points - 2] ?? last;
  const { ctx } = u;
  const [x0, x1] = [points - 2, points - 1].map((at) => u.valToPos(u.data[0][at], 'x', true));
  const [y0, y1] = [before, last].map((v) => u.valToPos(v, 'y', true));
  ctx.save();
  ctx.strokeStyle = stroke;
  ctx.fillStyle = stroke;
  ctx.lineWidth = 1.4 * devicePixelRatio;
  ctx.beginPath();
  ctx.arc(x1, y1, 2 * devicePixelRatio, 0, 2 * Math.PI);
  ctx.fill();
  ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.stroke();
  ctx.restore();
};

// lonely are the points that no line would show, because their neighbours are unknown.
const lonely = (u, i) => {
  const ys = u.data[i];
  return ys.flatMap((y, x) => (y !== null && (ys[x - 1] ?? null) === null && (ys[x + 1] ?? null) === null ? [x] : []));
};

function options({ data, series, order, stack, height, width, fmt, onHover, onRange }) {
  const font = '11px ' + getComputedStyle(document.body).fontFamily;
  const axis = { stroke: color('text-3'), font, ticks: { show: false }, gap: 6 };
  const span = (data.x.at(-1) - data.x[0]) * 1000;
  const surface = color('surface');
  const points = data.x.length;
  const line = (s) => {
    const c = color(s.color);
    const base = { label: s.key, points: stack ? { show: false } : { show: true, size: 4, width: 0, fill: c, filter: lonely } };
    if (!stack) return { ...base, stroke: c, width: 1.6, fill: s.fill ? faint(c) : undefined };
    return s.soft ? { ...base, stroke: c, fill: color(s.color, true), width: 1.4 } : { ...base, stroke: surface, fill: c, width: 1 };
  };
  return {
    width, height, padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: {
      y: false, points: { show: !stack, size: 7 }, focus: { prox: -1 },
      sync: { key: 'overview', setSeries: false }, drag: { x: Boolean(onRange), y: false, setScale: false },
    },
    select: { show: Boolean(onRange) },
    scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(high, ...(data.ends ?? [])) * 1.08 || 1] } },
    axes: [
      { ...axis, grid: { show: false }, size: 24, space: 64, values: (_, v) => v.map((x) => tick(x * 1000, span)) },
      { ...axis, grid: { stroke: color('grid'), width: 1 }, size: 48, space: 36, incrs: wholeSteps,
        values: (_, v) => v.map((x) => fmt(x)) },
    ],
    series: [{}, ...order.map((i) => line(series[i]))],
    hooks: {
      setCursor: [(u) => onHover(u.cursor.idx ?? null)],
      setSelect: [(u) => {
        if (u.select.width > 8) onRange?.(u.posToVal(u.select.left, 'x') * 1000, u.posToVal(u.select.left + u.select.width, 'x') * 1000);
        u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      }],
      draw: data.ends ? [(u) => order.forEach((s, i) => openEnd(u, i + 1, points, data.ends[i], color(series[s].color)))] : [],
    },
  };
}

// useColumns makes uPlot's columns. The value of an open bucket is kept out of
// the solid line and goes to ends; draw adds it dashed.
function useColumns(data, series, stack) {
  return useMemo(() => {
    if (!data) return null;
    const raw = series.map((s) => data[s.key]);
    const ys = stack ? stacked(raw) : raw;
    // In a stack the tallest is drawn first and each lower one paints over it.
    const order = series.map((_, i) => (stack ? series.length - 1 - i : i));
    const x = data.t.map((iso) => Date.parse(iso) / 1000);
    const drawn = order.map((i) => ys[i]);
    if (!data.open || x.length < 3) return { x, order, ys: drawn, ends: null };
    return { x, order, ys: drawn.map((v) => v.with(-1, null)), ends: drawn.map((v) => v.at(-1)) };
  }, [data]);
}

// What stands for a whole series: the sum of counts; of what has none, from the least to the most.
const sum = (values, fmt) => fmt(values.reduce((a, b) => a + (b ?? 0), 0));
function extent(values, fmt) {
  const known = values.filter((v) => v !== null && v !== undefined);
  const [least, most] = [Math.min(...known), Math.max(...known)].map((v) => fmt(Number.isFinite(v) ? v : null));
  return least === most ? most : `${least} – ${most}`;
}

// useKeptHeight keeps an element as tall as it was, so that what is below does not
// jump while its text changes; another width starts anew.
function useKeptHeight() {
  const ref = useRef(), kept = useRef([0, 0]);
  useLayoutEffect(() => {
    const el = ref.current, [width, height] = kept.current;
    if (el.clientWidth !== width) el.style.minHeight = '';
    kept.current = [el.clientWidth, Math.max(el.clientWidth === width ? height : 0, el.offsetHeight)];
    el.style.minHeight = kept.current[1] + 'px';
  });
  return ref;
}

// TimeChart: series over time with a legend of the moment under the cursor (all
// charts share it), else of the whole span, and the same numbers as a table. data:
// { t: [RFC 3339], <key>: [number|null], open }; series: [{ key, color, fill, soft,
// label }]; stack: the first is at the bottom; ranges: values that have no sum;
// onRange(from, to) in ms when a span is dragged.
export function TimeChart({ title, unit, data, series, stack = false, height = 220, fmt, ranges = false, onRange, stale }) {
  const box = useRef();
  const [hover, setHover] = useState(null);
  const [table, setTable] = useState(false);
  const columns = useColumns(data, series, stack);
  const latest = useRef(onRange);
  latest.current = onRange;

  useEffect(() => {
    if (!columns || table || columns.x.length === 0) return undefined;
    const el = box.current;
    const ranged = onRange && ((from, to) => latest.current(from, to));
    const drawn = options({ data: columns, series, order: columns.order, stack, height, width: el.clientWidth, fmt, onHover: setHover,
      onRange: ranged });
    const Plot = /** @type {any} */ (uPlot);
    const u = new Plot(drawn, [columns.x, ...columns.ys], el);
    const watch = new ResizeObserver(() => u.setSize({ width: el.clientWidth, height }));
    watch.observe(el);
    return () => { watch.disconnect(); u.destroy(); };
  }, [columns, lang.value, theme.value, utc.value, table, height]);

  const some = data && data.t.length > 0;
  const i = some && hover !== null ? Math.min(hover, data.t.length - 1) : null;
  const value = (s) => (!some ? '–' : i !== null ? fmt(data[s.key][i]) : (ranges ? extent : sum)(data[s.key], fmt));
  const said = some ? series.map((s) => `${s.label} ${value(s)}`).join(', ') : '';
  const at = !some ? '' : i === null ? t(ranges ? 'chart.range' : 'chart.whole') : moment(new Date(data.t[i]));
  const legend = useKeptHeight();
  return html`
    <section class=${cls('card', 'chart', stale && 'stale')}>
      <header><h2>${title} <small>${unit ?? (ranges && t('chart.range'))}</small></h2><span class="grow"></span>
        <${LinkButton} aria-pressed=${table ? 'true' : 'false'} onClick=${() => setTable(!table)}>
          ${t(table ? 'chart.chart' : 'chart.table')}<//></header>
      <div class="legend" ref=${legend}>
        ${series.map((s) => html`<span key=${s.key}><i class=${'dot-' + s.color}></i>${s.label}${' '}
          <b>${value(s)}</b></span>`)}
        <time>${i === null && ranges ? '' : at}</time>
      </div>
      ${table ? html`<${ChartTable} title=${title} data=${data} series=${series} fmt=${fmt} height=${height} />`
        : html`<div class="plot" role="img" aria-label=${`${title}. ${at}: ${said}`} ref=${box} style=${{ height: height + 'px' }}></div>`}
    </section>`;
}

const ChartTable = ({ title, data, series, fmt, height }) => html`
  <div class="scroll" tabindex="0" role="region" aria-label=${title} style=${{ height: height + 'px' }}>
    <table class="plain">
      <thead><tr><th scope="col">${t('chart.time')}</th>${series.map((s) => html`<th scope="col" class="n">${s.label}</th>`)}</tr></thead>
      <tbody>${(data?.t ?? []).map((iso, row) => html`
        <tr key=${iso}><td>${stamp(iso)}</td>${series.map((s) => html`<td class="n">${fmt(data[s.key][row])}</td>`)}</tr>`).reverse()}
          </tbody>
    </table>
  </div>`;
