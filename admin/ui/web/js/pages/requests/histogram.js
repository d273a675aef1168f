import { html, useEffect, useRef, useState } from '../../vendor/preact.mjs';
import { full, moment, short, stamp, tick } from '../../lib/format.js';
import { t } from '../../lib/i18n.js';

// Requests by outcome over the span of the filter. Drag (or arrows, Shift with
// arrows and Enter) to narrow the span. Failed is at the bottom, so that its
// height can be read.
const layers = [['failed', 'fail'], ['client_error', 'client'], ['retried', 'retry'], ['ok', 'ok']];
const HEIGHT = 96;
const FOOT = 18;

const sum = (data, i) => layers.reduce((n, [name]) => n + (data[name][i] ?? 0), 0);

// useWidth measures an element, so that bars and labels stay crisp.
function useWidth(ref) {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(() => setWidth(ref.current?.clientWidth ?? 0));
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return width;
}

function Bars({ data, step, peak }) {
  return layers.map(([name, color], layer) => {
    let path = '';
    for (let i = 0; i < data.t.length; i++) {
      const n = data[name][i];
      if (!n) continue;
      const below = layers.slice(0, layer).reduce((s, [other]) => s + data[other][i], 0);
      const height = Math.max(1, (n / peak) * HEIGHT), foot = HEIGHT - (below / peak) * HEIGHT;
      path += `M${(i * step).toFixed(1)} ${foot.toFixed(1)}v${(-height).toFixed(1)}h${Math.max(1, step - 1)
        .toFixed(1)}v${height.toFixed(1)}z`;
    }
    return html`<path key=${name} class=${'c-' + color} d=${path} />`;
  });
}

function Labels({ data, width }) {
  const times = data.t.map((at) => Date.parse(at)), count = Math.max(2, Math.floor(width / 110));
  const span = times.at(-1) - times[0];
  return Array.from({ length: count }, (_, i) => {
    const at = Math.floor(((i + 0.5) / count) * times.length);
    return html`<text key=${i} x=${((at + 0.5) / times.length) * width} y=${HEIGHT + 13} text-anchor="middle">
      ${tick(new Date(times[at]), span)}</text>`;
  });
}

function Table({ data }) {
  return html`<div class="scroll histtable" tabindex="0" role="region" aria-label=${t('requests.hist')}><table class="plain">
    <thead><tr><th scope="col">${t('requests.time')}</th>${layers.map(([name]) => html`<th scope="col" class="n">
      ${t('requests.class.' + name)}</th>`)}</tr></thead>
    <tbody>${data.t.map((at, i) => sum(data, i) > 0 && html`<tr key=${at}><td>${stamp(at)}</td>
      ${layers.map(([name]) => html`<td class="n">${full(data[name][i])}</td>`)}</tr>`).reverse()}</tbody></table></div>`;
}

// Histogram: data {t, ok, retried, client_error, failed} or null while loading.
// onBrush(fromSeconds, toSeconds); zoomed offers the way back by onReset.
export function Histogram({ data, loading, zoomed, onBrush, onReset }) {
  const box = useRef(), drag = useRef(null), width = useWidth(box);
  const [hover, setHover] = useState(null), [span, setSpan] = useState(null), [table, setTable] = useState(false);
  useEffect(() => { setSpan(null); setHover(null); }, [data]);
  const n = data?.t.length ?? 0, step = n ? width / n : 0;
  const bucketMs = data?.step_ms ?? 60_000;
  const peak = n ? Math.max(1, ...data.t.map((_, i) => sum(data, i))) : 1;
  const at = (event) => Math.min(n - 1, Math.max(0, Math.floor((event.clientX - box.current.getBoundingClientRect().left) / step)));
  const apply = ([a, b]) => {
    setSpan(null);
    onBrush(Date.parse(data.t[Math.min(a, b)]) / 1000, (Date.parse(data.t[Math.max(a, b)]) + bucketMs) / 1000);
  };
  const down = (event) => {
    if (!n || event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    drag.current = at(event);
    setSpan([drag.current, drag.current]);
  };
  const move = (event) => {
    if (!n) return;
    setHover(at(event));
    if (drag.current !== null) setSpan([drag.current, at(event)]);
  };
  const up = () => {
    if (drag.current !== null && span && span[0] !== span[1]) apply(span);
    else setSpan(null);
    drag.current = null;
  };
  const key = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by && n) {
      event.preventDefault();
      const to = Math.min(n - 1, Math.max(0, (span?.[1] ?? hover ?? n) + by));
      setHover(to);
      setSpan([event.shiftKey ? span?.[0] ?? to : to, to]);
    } else if (event.key === 'Enter' && span) {
      event.preventDefault();
      apply(span);
    } else if (event.key === 'Escape' && span) {
      event.stopPropagation();
      setSpan(null);
    }
  };
  const shown = hover !== null && hover < n ? hover : null; // the data may have become shorter since
  const label = shown === null ? t('requests.hist.help')
    : `${moment(new Date(data.t[shown]))}: ${layers.map(([name]) => `${t('requests.class.' + name)} ${full(data[name][shown])}`)
      .join(', ')}`;
  return html`<section class=${'card hist' + (loading ? ' stale' : '')} aria-busy=${loading}>
    <header><h2>${t('requests.hist')}</h2><div class="legend">${[...layers].reverse().map(([name, color]) => html`<span key=${name}>
      <i class=${'k-' + color}></i>
      ${t('requests.class.' + name)} <b>${data ? short(shown === null ? total(data, name) : data[name][shown]) : '–'}</b></span>`)}
      <time>${shown === null ? '' : moment(new Date(data.t[shown]))}</time></div>
      ${zoomed && html`<button type="button" class="link" onClick=${onReset}>${t('requests.hist.reset')}</button>`}
      <button type="button" class="link" aria-pressed=${table} onClick=${() => setTable(!table)}>
        ${t(table ? 'requests.hist.chart' : 'requests.hist.table')}</button></header>
    ${table && data ? html`<${Table} data=${data} />` : null}
    <div class=${'histbox' + (table ? ' gone' : '')} ref=${box}>
      <svg width=${width} height=${HEIGHT + FOOT} tabindex="0" role="slider" aria-label=${t('requests.hist.help')} aria-valuetext=${label}
        aria-valuemin="0" aria-valuemax=${Math.max(0, n - 1)} aria-valuenow=${shown ?? 0}
        onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up} onPointerLeave=${() => drag.current === null
          && setHover(null)} onKeyDown=${key}>
        <line x1="0" x2=${width} y1=${HEIGHT + 0.5} y2=${HEIGHT + 0.5} />
        ${n > 0 && width > 0 && html`<${Bars} data=${data} step=${step} peak=${peak} /><${Labels} data=${data} width=${width} />`}
        ${shown !== null && html`<rect class="hover" x=${shown * step} y="0" width=${step} height=${HEIGHT} />`}
        ${span && n > 0 && html`<rect class="brush" x=${Math.min(...span) * step} y="0" width=${(Math.abs(span[1] - span[0]) + 1) * step}
          height=${HEIGHT} />`}
      </svg></div></section>`;
}

const total = (data, name) => data[name].reduce((a, b) => a + b, 0);
