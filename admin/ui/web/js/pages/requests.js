import { html, useEffect, useMemo, useState } from '../vendor/preact.mjs';
import { api, download } from '../lib/api.js';
import { serverNow } from '../lib/clock.js';
import { bytes, full, stamp, step } from '../lib/format.js';
import { lang, t } from '../lib/i18n.js';
import { pref } from '../lib/prefs.js';
import { route, setQuery } from '../lib/route.js';
import { MenuButton } from '../ui/menu.js';
import { Button, Empty, ErrorNote, Go, LinkButton, PageHead, Segmented, cls } from '../ui/parts.js';
import { sheet } from '../ui/sheet.js';
import { attempt, toast } from '../ui/toast.js';
import { VTable, columnItems } from '../ui/vtable.js';
import { columnsFor, defaults } from './requests/cells.js';
import { FilterBar } from './requests/chips.js';
import { RequestDrawer } from './requests/drawer.js';
import { apiQuery, brushed, chips, fields, readFilter, windows, writeFilter } from './requests/filter.js';
import { Histogram } from './requests/histogram.js';
import { useTail } from './requests/live.js';
import { useHistogram, useLog } from './requests/log.js';
import { useRows } from './requests/rows.js';
import { sampling } from './requests/tail.js';

await sheet('requests');

const chosen = pref('requests.columns', defaults);
const cleared = Object.fromEntries([...fields.map((f) => f.name), 'window', 'from', 'to'].map((name) => [name, undefined]));
const setFilter = (filter) => setQuery({ ...cleared, ...writeFilter(filter) });
const open = (id) => setQuery({ id }, { push: true });
const close = () => setQuery({ id: undefined });

function Head({ filter, live }) {
  const exported = (format) => () => attempt(async () => {
    toast({ text: t('requests.exporting') });
    await download('requests/export', { query: { ...apiQuery(filter, serverNow()), format } }, `requests.${format}`);
  });
  return html`<${PageHead} title=${t('nav.requests')}>
    ${!live && html`<${Segmented} label=${t('requests.range')} value=${filter.from ? '' : filter.window}
      options=${Object.keys(windows).map((w) => [w, t('requests.range.' + w)])} onChange=${(w) => setFilter({ ...filter, from: undefined,
        to: undefined, window: w })} />`}
    <${Button} kind=${live ? 'primary' : ''} icon=${live ? 'square' : 'zap'} aria-pressed=${live ? 'true' : 'false'}
      onClick=${() => setQuery({ live: live ? undefined : '1' })}>${t(live ? 'requests.live.stop' : 'requests.live')}<//>
    <${MenuButton} icon="download" kind="quiet" label=${t('requests.export')} items=${[
      { text: t('requests.export.csv'), act: exported('csv') }, { text: t('requests.export.ndjson'), act: exported('ndjson') }]}>
        ${t('requests.export')}<//>
  <//>`;
}

// useSuggestions reads names for the filter's fields, once; without them one types.
function useSuggestions() {
  const [models, setModels] = useState([]);
  useEffect(() => {
    const abort = new AbortController();
    api('models', { signal: abort.signal }).then((list) => setModels(list.items.map((m) => m.id)), () => {});
    return () => abort.abort();
  }, []);
  return { model: models };
}

const namesOf = (rows) => ({
  user: Object.fromEntries(rows.map((r) => [r.user_id, r.user_name || r.user_id])),
  key: Object.fromEntries(rows.map((r) => [r.key_id, r.key_hint || r.key_id])),
});

function Kept({ kept, scannedTo, onMore }) {
  if (!kept) return null;
  return html`<footer class="kept"><span>${t('requests.kept', { rows: full(kept.rows), span: step(kept.retention_ms),
    size: bytes(kept.bytes) })}</span>
    ${kept.from && html`<span title=${kept.from}>${t('requests.keptFrom', { at: stamp(kept.from) })}</span>`}
    ${scannedTo && html`<span class="warn">${t('requests.partly', { at: stamp(scannedTo) })}</span> <${LinkButton} onClick=${onMore}>
      ${t('requests.searchOn')}<//>`}</footer>`;
}

function LiveBar({ feed, filter }) {
  const { tail, own } = feed, rate = sampling(tail);
  return html`<div class="toolbar livebar"><span class=${cls('pulse', tail.paused && 'off')} aria-hidden="true"></span>
    <b role="status">${t(tail.paused ? 'requests.live.paused' : 'requests.live.on')}</b>
    ${rate > 1 && html`<span class="tag">${t('requests.live.sampled', { n: rate })}</span>`}
    <small>${t('requests.live.count', { n: tail.seen })}</small><span class="grow"></span>
    ${chips(filter).length === 0 && html`<small class="hint">${t('requests.live.hint')}</small>`}
    <${Button} icon=${own ? 'playSmall' : 'pause'} onClick=${feed.toggle}>
      ${t(own ? 'requests.live.resume' : 'requests.live.pause')} <kbd>␣</kbd><//></div>`;
}

// useSpace pauses and resumes by the space bar where it means nothing else.
function useSpace(enabled, toggle) {
  useEffect(() => {
    if (!enabled) return undefined;
    const key = (event) => {
      if (event.key !== ' ' || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest?.('input, textarea, select, button, a, dialog, [role=menu], [contenteditable]')) return;
      event.preventDefault();
      event.stopPropagation();
      toggle();
    };
    addEventListener('keydown', key, { capture: true });
    return () => removeEventListener('keydown', key, { capture: true });
  }, [enabled, toggle]);
}

function NoRows({ filter, live }) {
  if (live) return html`<${Empty} icon="zap" title=${t('requests.live.wait')} text=${t('requests.live.waitText')} />`;
  if (chips(filter).length || filter.from) {
    return html`<${Empty} title=${t('requests.noMatch')} text=${t('requests.noMatchText')}>
      <${Button} onClick=${() => setFilter({ window: '24h' })}>${t('requests.filter.clear')}<//><//>`;
  }
  return html`<${Empty} icon="requests" title=${t('requests.none')} text=${t('requests.noneText')}>
    <${Go} to="/playground" icon="play" kind="primary">${t('requests.tryOne')}<//><//>`;
}

function Log({ filter, live, log, feed }) {
  const columns = useMemo(columnsFor, [lang.value]), names = chosen.value;
  const shown = useMemo(() => columns.filter((c) => c.fixed || names.includes(c.id)), [columns, names]);
  const rows = live ? feed.tail.rows : log.items;
  const w = useRows(rows, {
    ready: live || log.ready, stale: !live && log.ready && log.busy && rows.length > 0 && !log.next, error: live || rows.length ? null
      : log.error,
    onEnd: live ? undefined : log.more, onRetry: log.reload, onScroll: live ? (top) => feed.hold('scroll', top > 4) : undefined,
  });
  const hold = (yes) => () => live && feed.hold('pointer', yes);
  const fresh = live ? feed.tail.missed : 0;
  return html`<section class="card tablecard logcard" onPointerEnter=${hold(true)} onPointerLeave=${hold(false)}>
    ${live && html`<${LiveBar} feed=${feed} filter=${filter} />`}
    ${!live && html`<div class="toolbar"><span class="count" aria-live="polite">${log.ready
      ? t(log.next ? 'requests.countMore' : 'requests.count', { n: rows.length }) : ''}</span><span class="grow"></span>
      <${Button} icon="refresh" kind="ghost" label=${t('requests.refresh')} onClick=${log.reload} busy=${log.busy && !rows.length} />
      <${MenuButton} icon="columns" label=${t('requests.columns')} items=${() => columnItems(columns, names,
        (v) => (chosen.value = v))} /></div>`}
    ${fresh > 0 && html`<button type="button" class="pill" onClick=${() => { w.box.current.scrollTop = 0; feed.catchUp(); }}>
      ${t('requests.live.new', { n: fresh })}</button>`}
    <${VTable} w=${w} label=${t('nav.requests')} columns=${shown} name=${(r) => r.id} onOpen=${(r) => open(r.id)}
      empty=${html`<${NoRows} filter=${filter} live=${live} />`} />
    ${!live && rows.length > 0 && log.error && html`<${ErrorNote} error=${log.error} onRetry=${log.more} />`}
    ${!live && html`<${Kept} kept=${log.kept} scannedTo=${log.scannedTo} onMore=${log.more} />`}</section>`;
}

export const title = () => t('nav.requests');

export function Page() {
  const q = route.value.q, live = q.get('live') === '1', id = q.get('id');
  const filter = readFilter(q), [version, setVersion] = useState(0);
  const log = useLog(filter, !live), feed = useTail(live, filter), chart = useHistogram(filter, version);
  const suggestions = useSuggestions(), rows = live ? feed.tail.rows : log.items;
  useSpace(live, feed.toggle);
  useEffect(() => {
    if (!live) return undefined;
    const timer = setInterval(() => document.hidden || setVersion((v) => v + 1), 30_000);
    return () => clearInterval(timer);
  }, [live]);
  return html`<div class="page requests">
    <${Head} filter=${filter} live=${live} />
    <${FilterBar} filter=${filter} onChange=${setFilter} suggestions=${suggestions} names=${namesOf(rows)} />
    ${chart.error && !chart.data ? html`<${ErrorNote} error=${chart.error} onRetry=${() => setVersion(version + 1)} />`
      : html`<${Histogram} data=${chart.data} loading=${chart.busy} zoomed=${Boolean(filter.from)}
          onBrush=${(a, b) => setFilter(brushed(filter, a, b))} onReset=${() => setFilter({ ...filter, from: undefined, to: undefined,
            window: '24h' })} />`}
    <${Log} filter=${filter} live=${live} log=${log} feed=${feed} />
    ${id && html`<${RequestDrawer} key=${id} id=${id} brief=${rows.find((r) => r.id === id)} onClose=${close}
      onFilter=${(f) => { setQuery({ ...cleared, ...writeFilter({ window: filter.window ?? '24h', ...f }), id: undefined,
        live: undefined }); }} />`}</div>`;
}
