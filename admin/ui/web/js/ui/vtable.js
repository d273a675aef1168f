import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from '../vendor/preact.mjs';
import { lang, t } from '../lib/i18n.js';
import { pages, reveal, seen, visible } from '../lib/window.js';
import { ErrorNote, Icon, cls } from './parts.js';

const pageSize = 100;
const over = 6;
const rowTall = 64; // two-line cards under 720 px
const rowLow = 36;

const media = globalThis.matchMedia?.('(max-width: 720px)');

// useNarrow tells whether tables are shown as two-line cards.
export function useNarrow() {
  const [narrow, setNarrow] = useState(media.matches);
  useEffect(() => {
    const changed = () => setNarrow(media.matches);
    media.addEventListener('change', changed);
    return () => media.removeEventListener('change', changed);
  }, []);
  return narrow;
}

// patchInPlace puts an answer's rows where the same ids stand already; it answers how many it could not place.
function patchInPlace(s, answer) {
  const newer = new Map(answer.items.map((row) => [row.id, row]));
  for (const [page, rows] of s.pages) {
    if (!rows.some((row) => newer.has(row.id))) continue;
    s.pages.set(page, rows.map((row) => newer.get(row.id) ?? row));
    for (const row of rows) newer.delete(row.id);
  }
  return Math.max(newer.size, Math.abs(answer.total - s.total));
}

// Rows are fetched 100 at a time as they come into view. load(offset, limit,
// signal) answers { items, total, … }. A new key (filter, order) starts anew and
// shows the old rows, dimmed, until the first answer. The result goes to VTable;
// meta is the newest answer. refresh() reads the shown pages again; renew() does
// so while the user may be pointing at a row: then rows change in place only,
// nothing moves, and fresh counts what would. patchRow(id, fn) changes one row.
export function useWindow(key, load) {
  const rowHeight = useNarrow() ? rowTall : rowLow;
  const box = useRef(null);
  const state = useRef({ pages: new Map(), total: 0, failed: new Map(), ready: false });
  const loading = useRef(load);
  loading.current = load;
  const [range, setRange] = useState([0, 40]);
  const [, redraw] = useState(0);
  const held = useRef(false); // the pointer is over the rows
  const draw = () => redraw((n) => n + 1);

  const read = (s, page, { again = false, inPlace = false } = {}) => {
    if (!s.abort || (!again && s.pages.has(page))) return;
    if (s.busy.has(page)) { // with an answer that may be older than what this is read again for
      if (again) s.outdated.set(page, inPlace && (s.outdated.get(page) ?? true));
      return;
    }
    s.busy.add(page);
    const done = () => {
      s.busy.delete(page);
      if (s !== state.current || !s.outdated.has(page)) return;
      const next = { again: true, inPlace: s.outdated.get(page) };
      s.outdated.delete(page);
      read(s, page, next);
    };
    loading.current(page * pageSize, pageSize, s.abort.signal).then((answer) => {
      if (s !== state.current) return;
      done();
      s.failed.delete(page);
      if (inPlace && s.pages.has(page)) s.fresh = patchInPlace(s, answer);
      else Object.assign(s, { pages: s.pages.set(page, answer.items), total: answer.total, fresh: again ? 0 : s.fresh });
      Object.assign(s, { meta: answer, ready: true, stale: null });
      draw();
    }, (error) => {
      done();
      if (s !== state.current || error.name === 'AbortError') return;
      s.failed.set(page, error);
      draw();
    });
  };

  const measure = () => {
    const el = box.current;
    const s = state.current;
    if (!el || el.clientHeight === 0) return;
    const next = visible(el.scrollTop, el.clientHeight, rowHeight, s.total || 40, over);
    setRange((old) => (old[0] === next[0] && old[1] === next[1] ? old : next));
    for (const page of pages(next, s.total, pageSize)) if (!s.failed.has(page)) read(s, page);
  };

  useEffect(() => {
    const old = state.current;
    old.abort?.abort();
    state.current = {
      pages: new Map(), failed: new Map(), busy: new Set(), outdated: new Map(), abort: new AbortController(),
      total: old.total, meta: old.meta, ready: false, fresh: 0, stale: old.ready ? old.pages : old.stale,
    };
    if (box.current) box.current.scrollTop = 0;
    setRange([0, 40]);
    read(state.current, 0);
    return () => state.current.abort.abort();
  }, [key]);

  useLayoutEffect(() => {
    const el = box.current;
    if (!el) return undefined;
    const watch = new ResizeObserver(measure);
    watch.observe(el);
    return () => watch.disconnect();
  }, [rowHeight, box.current]);
  useEffect(measure, [state.current.total, rowHeight]);

  const s = state.current;
  const rowAt = (i) => {
    const source = s.pages.get(Math.floor(i / pageSize)) ?? s.stale?.get(Math.floor(i / pageSize));
    return source?.[i % pageSize] ?? null;
  };
  const rows = [];
  for (let i = range[0]; i < Math.min(range[1], s.total); i++) rows.push([i, rowAt(i)]);

  return {
    box, rows, rowAt, rowHeight, range, total: s.total, ready: s.ready, meta: s.meta, onScroll: measure,
    stale: !s.ready && Boolean(s.stale), error: s.ready ? null : s.failed.get(0),
    failedAt: (i) => s.failed.get(Math.floor(i / pageSize)),
    retry: (i = 0) => { const page = Math.floor(i / pageSize); s.failed.delete(page); read(state.current, page); draw(); },
    fresh: s.fresh ?? 0,
    hold: (on) => { held.current = on; },
    refresh: () => {
      const now = state.current;
      const shown = new Set(pages(range, now.total, pageSize));
      for (const page of now.pages.keys()) if (!shown.has(page)) now.pages.delete(page);
      for (const page of shown) read(now, page, { again: true });
    },
    renew: () => {
      const now = state.current;
      for (const page of pages(range, now.total, pageSize)) read(now, page, { again: true, inPlace: held.current });
    },
    patchRow: (id, fn) => {
      for (const [page, items] of state.current.pages) {
        const i = items.findIndex((x) => x.id === id);
        if (i >= 0) state.current.pages.set(page, items.with(i, fn(items[i])));
      }
      draw();
    },
    reveal: (i) => {
      const el = box.current;
      if (el) el.scrollTop = reveal(i, el.scrollTop, seen(el) - (rowHeight === rowLow ? 33 : 0), rowHeight);
    },
  };
}

// A column: { id, label, cell(row) → content, num, sort (false: not sortable),
// width (px), area ('a'–'d' of the narrow card), title(row) }.

function Head({ column, order, onSort }) {
  const sorted = order?.sort === column.id;
  const direction = sorted ? (order.order === 'desc' ? 'descending' : 'ascending') : 'none';
  const flip = () => onSort({
    sort: column.id,
    order: sorted ? (order.order === 'asc' ? 'desc' : 'asc') : column.num ? 'desc' : 'asc',
  });
  return html`
    <th scope="col" class=${cls(column.num && 'n')} style=${{ width: column.width && column.width + 'px' }}
      aria-sort=${column.sort === false ? undefined : direction}>
      ${column.sort === false ? column.label : html`
        <button type="button" onClick=${flip}>${column.label}
          <${Icon} size=${12} name=${sorted && order.order === 'desc' ? 'arrowDown' : 'arrowUp'} class=${sorted ? undefined : 'off'} />
            </button>`}
    </th>`;
}

function Cells({ row, columns }) {
  return columns.map((c) => html`
    <td key=${c.id} class=${cls(c.num && 'n', 'c-' + c.id, c.area && 'area-' + c.area)} title=${c.title?.(row)}>${c.cell(row)}</td>`);
}

const Row = ({ i, row, columns, selected, current, actions, name }) => html`
  <tr aria-rowindex=${i + 2} aria-selected=${selected === undefined ? undefined : String(selected)} data-row=${i}
    class=${cls(selected && 'sel', current && 'current')}>
    ${selected !== undefined && html`<td class="chk"><label><input type="checkbox" tabindex="-1" checked=${selected}
      aria-label=${t('table.select', { name })} /></label></td>`}
    <${Cells} row=${row} columns=${columns} />
    ${actions && html`<td class="mn"><button type="button" class="btn ghost btn-icon" data-menu="true" tabindex="-1" aria-haspopup="menu"
      aria-label=${t('table.actions', { name })}><${Icon} name="more" /></button></td>`}
  </tr>`;

const Waiting = ({ i, span, error, onRetry }) => html`
  <tr class="wait" aria-rowindex=${i + 2}><td colspan=${span}>
    ${error ? html`<span class="badtext">${t('table.failed')}</span> <button type="button" class="link" onClick=${onRetry}>${t('retry')}
      </button>` : html`<i></i>`}
  </td></tr>`;

// VTable shows a window. Props: w (useWindow), label, columns, order and onSort,
// name(row), onOpen(row), selection {has(id), set(ids, on)} (optional),
// onMenu(row, anchor) (optional), empty (content when there are no rows).
export function VTable({ w, label, columns, order, onSort, name, onOpen, selection, onMenu, empty }) {
  const [current, setCurrent] = useState(-1);
  const anchor = useRef(-1); // where a Shift range starts
  const seen = useRef(new Map());
  const span = columns.length + (selection ? 1 : 0) + (onMenu ? 1 : 0);
  const ids = w.rows.filter(([, row]) => row).map(([, row]) => row.id);
  const allHere = ids.length > 0 && selection && ids.every(selection.has);

  const pick = (i, range, on = !selection?.has(w.rowAt(i)?.id)) => {
    const row = w.rowAt(i);
    if (!row || !selection) return;
    if (range && anchor.current >= 0) {
      const [from, to] = [Math.min(i, anchor.current), Math.max(i, anchor.current)];
      const found = [];
      for (let j = from; j <= to; j++) if (w.rowAt(j)) found.push(w.rowAt(j).id);
      selection.set(found, on);
    } else selection.set([row.id], on);
    anchor.current = i;
  };
  const openMenu = (i) => {
    const button = w.box.current.querySelector(`tr[data-row="${i}"] [data-menu]`);
    if (button && w.rowAt(i)) onMenu(w.rowAt(i), button);
  };
  const moveTo = (i, event) => {
    const to = Math.max(0, Math.min(w.total - 1, i));
    setCurrent(to);
    w.reveal(to);
    if (event.shiftKey && selection) {
      if (anchor.current < 0) anchor.current = Math.max(0, current);
      pick(to, true, true);
      anchor.current = to;
    }
  };
  const keys = useTableKeys({ w, current, moveTo, pick, openMenu, onOpen, onMenu });
  const click = (event) => {
    const tr = event.target.closest('tr[data-row]');
    if (!tr) return;
    const i = Number(tr.dataset.row);
    setCurrent(i);
    if (event.target.closest('[data-menu]')) openMenu(i);
    else if (event.target.closest('.chk')) {
      // A click on the label comes again as one on the box, which has changed by then.
      if (event.target.matches('input')) pick(i, event.shiftKey, event.target.checked);
    } else if (!event.target.closest('a, button, input, label') || event.target.closest('.rowlink')) onOpen?.(w.rowAt(i));
  };

  // The same vnode is handed back while a row is unchanged, so that Preact skips it when scrolling.
  const kept = new Map();
  const signature = useMemo(() => ({}), [columns, lang.value, selection === undefined, onMenu === undefined]);
  const body = w.rows.map(([i, row]) => {
    if (!row) return html`<${Waiting} key=${'w' + i} i=${i} span=${span} error=${w.failedAt(i)} onRetry=${() => w.retry(i)} />`;
    const selected = selection?.has(row.id);
    const old = seen.current.get(row.id);
    const same = old && old.row === row && old.i === i && old.selected === selected
      && old.current === (i === current) && old.signature === signature;
    const entry = same ? old : {
      row, i, selected, signature, current: i === current,
      vnode: html`<${Row} key=${row.id} i=${i} row=${row} columns=${columns} selected=${selected}
        current=${i === current} actions=${Boolean(onMenu)} name=${name(row)} />`,
    };
    kept.set(row.id, entry);
    return entry.vnode;
  });
  seen.current = kept;
  const first = !w.ready && body.length === 0 && Array.from({ length: 12 }, (_, i) => html`
    <tr class="wait late" key=${i} aria-hidden="true"><td colspan=${span}><i></i></td></tr>`);

  if (w.error) return html`<div class="pad14"><${ErrorNote} error=${w.error} onRetry=${() => w.retry(0)} /></div>`;
  if (w.ready && w.total === 0) return empty;
  const before = w.range[0] * w.rowHeight;
  const after = Math.max(0, w.total - Math.max(w.range[1], w.range[0])) * w.rowHeight;
  const wide = columns.reduce((sum, c) => sum + (c.width ?? 200), 0) + (selection ? 38 : 0) + (onMenu ? 42 : 0);
  return html`
    ${w.fresh > 0 && html`<button type="button" class="freshpill" onClick=${w.refresh}>${t('table.fresh', { n: w.fresh })}</button>`}
    <div class=${cls('vbox', w.stale && 'stale')} ref=${w.box} onScroll=${w.onScroll} tabindex="0" role="region" aria-label=${label}
      onKeyDown=${keys}
      onPointerEnter=${() => w.hold(true)} onPointerLeave=${() => w.hold(false)}>
      <table class="grid" aria-rowcount=${w.total + 1} style=${{ '--wide': wide + 'px' }} onClick=${click}>
        <thead><tr aria-rowindex="1">
          ${selection && html`<th scope="col" class="chk"><label><input type="checkbox" checked=${allHere}
            indeterminate=${!allHere && ids.some(selection.has)}
            aria-label=${t('table.selectAll')} onChange=${() => selection.set(ids, !allHere)} /></label></th>`}
          ${columns.map((c) => html`<${Head} key=${c.id} column=${c} order=${order} onSort=${onSort} />`)}
          ${onMenu && html`<th scope="col" class="mn"><span class="sr">${t('table.menu')}</span></th>`}
        </tr></thead>
        <tbody>
          ${before > 0 && html`<tr class="pad" aria-hidden="true"><td colspan=${span} style=${{ height: before + 'px' }}></td></tr>`}
          ${first}${body}
          ${after > 0 && html`<tr class="pad" aria-hidden="true"><td colspan=${span} style=${{ height: after + 'px' }}></td></tr>`}
        </tbody>
      </table>
    </div>`;
}

function useTableKeys({ w, current, moveTo, pick, openMenu, onOpen, onMenu }) {
  return (event) => {
    if (event.target.closest('input:not([type=checkbox]), [role=menu]') || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(seen(w.box.current) / w.rowHeight) - 2);
    const steps = { ArrowDown: current + 1, j: current + 1, ArrowUp: current - 1, k: current - 1,
      PageDown: current + page, PageUp: current - page, Home: 0, End: w.total - 1 };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const inControl = event.target.closest('button, a, input');
    if (key in steps) moveTo(steps[key], event);
    else if ((key === ' ' || key === 'x') && !inControl && current >= 0) pick(current, event.shiftKey);
    else if (key === 'Enter' && !inControl && current >= 0) { if (w.rowAt(current)) onOpen?.(w.rowAt(current)); }
    else if (key === '.' && onMenu && current >= 0) openMenu(current);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
}

// ColumnChooser: which columns show; ids in chosen, saved by the caller.
export const columnItems = (columns, chosen, onChange) => columns.map((c) => ({
  text: c.label, checked: chosen.includes(c.id), disabled: c.fixed,
  act: () => onChange(chosen.includes(c.id) ? chosen.filter((x) => x !== c.id) : columns.map((x) => x.id).filter((x) => x === c.id
    || chosen.includes(x))),
}));

