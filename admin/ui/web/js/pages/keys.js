import { html, useEffect, useMemo, useRef, useState } from '../vendor/preact.mjs';
import { api } from '../lib/api.js';
import { useEvent } from '../lib/events.js';
import { lang, t } from '../lib/i18n.js';
import { useShortcuts } from '../lib/keyboard.js';
import { hideKeys } from '../lib/keytext.js';
import { pref } from '../lib/prefs.js';
import { formatSort, parseSort, toQuery } from '../lib/query.js';
import { route, setQuery } from '../lib/route.js';
import { count, everything, isSelected, none, set as select } from '../lib/selection.js';
import { isAdmin } from '../lib/session.js';
import { MenuButton, MenuPopover } from '../ui/menu.js';
import { usePaletteActions } from '../ui/palette.js';
import { Button, Empty, Icon, LinkButton, Note, PageHead, Tabs } from '../ui/parts.js';
import { VTable, columnItems, useWindow } from '../ui/vtable.js';
import { Revealed, rowMenu } from './keys/actions.js';
import { BulkBar, useTags } from './keys/bulk.js';
import { columns as allColumns, keyName } from './keys/columns.js';
import { KeyDrawer } from './keys/drawer.js';
import { Export } from './keys/export.js';
import { Import } from './keys/import.js';
import { readKey, readList } from './keys/key.js';
import { Validate } from './keys/validate.js';

const statuses = ['active', 'cooling', 'exhausted', 'invalid', 'disabled', 'untested'];
const shown = pref('columns.keys', null); // ids; null: those that are not extra

export const title = () => t('nav.keys');

// useFilter reads the filter and the order from the address.
function useFilter() {
  const { q } = route.value;
  const read = (name) => q.get(name) ?? '';
  const [text, status, tag, batch] = ['q', 'status', 'tag', 'batch'].map(read);
  const order = parseSort(read('sort'), 'name');
  const filter = useMemo(() => Object.fromEntries(Object.entries({ q: text, status, tag, batch }).filter(([, v]) => v)),
    [text, status, tag, batch]);
  return { filter, order, text, status, tag, batch };
}

// useColumns are the columns shown, in their order.
function useColumns() {
  const { value: chosen } = shown;
  return useMemo(() => {
    const all = allColumns();
    const ids = chosen ?? all.filter((c) => !c.extra).map((c) => c.id);
    return { all, ids, list: all.filter((c) => c.fixed || ids.includes(c.id)) };
  }, [chosen, lang.value]);
}

// useTicked calls fn for `keys` events, at most once in three seconds.
function useKeyEvents(fn) {
  const timer = useRef(0);
  const latest = useRef(fn);
  latest.current = fn;
  useEvent('keys', () => {
    if (timer.current) return;
    timer.current = setTimeout(() => { timer.current = 0; latest.current(); }, 3000);
  }, []);
  useEffect(() => () => clearTimeout(timer.current), []);
}

function Search({ value, inputRef }) {
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const later = (event) => {
    clearTimeout(timer.current);
    const { value: typed } = event.target;
    timer.current = setTimeout(() => setQuery({ q: hideKeys(typed) }), 150);
  };
  useEffect(() => { if (document.activeElement !== inputRef.current) inputRef.current.value = value; }, [value]);
  return html`
    <label class="search"><${Icon} name="search" />
      <input type="search" ref=${inputRef} defaultValue=${value} placeholder=${t('keys.search')} aria-label=${t('keys.search')}
        autocomplete="off"
        spellcheck="false" onInput=${later} /><kbd>/</kbd></label>`;
}

function TagFilter({ tag }) {
  const tags = useTags();
  if (tags.length === 0 && !tag) return null;
  const items = () => [
    { text: t('keys.allTags'), checked: tag === '', act: () => setQuery({ tag: '' }) },
    ...tags.map((x) => ({ text: x.tag, hint: String(x.count), checked: x.tag === tag, act: () => setQuery({ tag: x.tag }) })),
  ];
  return html`<${MenuButton} icon="tag" kind="quiet" label=${t('keys.tagFilter')} items=${items} class="tagfilter">
    ${tag || t('keys.allTags')}<//>`;
}

function Toolbar({ f, total, ready, search, columns }) {
  const toggle = (ids) => (shown.value = ids);
  return html`
    <div class="toolbar">
      <${Search} value=${f.text} inputRef=${search} />
      <${TagFilter} tag=${f.tag} />
      ${f.batch && html`<${Button} icon="x" kind="quiet" onClick=${() => setQuery({ batch: '' })}>${f.batch}<//>`}
      <span class="grow"></span><span class="count" role="status">${ready ? t('keys.count', { n: total }) : ''}</span>
      <span class="wide"><${MenuButton} icon="columns" label=${t('columns')} items=${() => columnItems(columns.all, columns.ids, toggle)} />
        </span>
    </div>`;
}

// AllBad: when no key works, the most frequent reason among those loaded.
function AllBad({ counts, rows }) {
  if (!counts || !(counts.invalid > 0) || counts.invalid < counts.all - (counts.disabled ?? 0)) return null;
  const tally = new Map();
  for (const [, k] of rows) if (k?.reason) tally.set(k.reason, (tally.get(k.reason) ?? 0) + 1);
  const [reason] = [...tally].sort((a, b) => b[1] - a[1])[0] ?? [''];
  return html`<${Note} kind="bad"><b>${t('keys.allBad')}</b> ${reason && t('keys.allBadReason', { reason })}<//>`;
}

const NoKeys = ({ filtered, onImport }) => (filtered
  ? html`<${Empty} title=${t('keys.noMatch')} text=${t('keys.noMatchText')}>
      <${Button} onClick=${() => setQuery({ q: '', status: '', tag: '', batch: '' })}>${t('clearFilters')}<//><//>`
  : html`<${Empty} icon="key" title=${t('keys.empty')} text=${t('keys.emptyText')}>
      ${isAdmin.value && html`<${Button} kind="primary" icon="upload" onClick=${onImport}>${t('keys.import')}<//>`}<//>`);

// useSelection keeps what is selected; another filter lets go of it.
function useSelection(filter) {
  const [selection, setSelection] = useState(none);
  useEffect(() => setSelection(none()), [filter]);
  const api = useMemo(() => ({
    has: (id) => isSelected(selection, id),
    set: (ids, on) => setSelection((s) => select(s, ids, on)),
  }), [selection]);
  return { selection, setSelection, table: api };
}

function Dialogs({ open, close, about, changed }) {
  if (open === 'import') return html`<${Import} onClose=${close} changed=${changed} />`;
  if (open === 'validate') return html`<${Validate} about=${about} onClose=${close} changed=${changed} />`;
  if (open === 'export') return html`<${Export} about=${about} onClose=${close} />`;
  return null;
}

const Head = ({ show }) => html`
  <${PageHead} title=${title()}>
    ${isAdmin.value && html`
      <${Button} icon="download" kind="quiet" title=${t('keys.export')} onClick=${() => show('export')}>${t('keys.export')}<//>
      <${Button} icon="shield" title=${t('keys.validateAll')} onClick=${() => show('validate')}>${t('keys.validateAll')}<//>
      <${Button} icon="upload" kind="primary" onClick=${() => show('import')}>${t('keys.import')}<//>`}<//>`;

export function Page() {
  const f = useFilter();
  const columns = useColumns();
  const search = useRef();
  const [menu, setMenu] = useState(null);
  const [dialog, setDialog] = useState(route.value.q.has('import') ? 'import' : null);
  const { selection, setSelection, table } = useSelection(f.filter);
  const query = toQuery({ ...f.filter, ...f.order });
  const w = useWindow(query, (offset, limit, signal) => api('keys/gemini', { query: { ...f.filter, ...f.order, limit, offset }, signal })
    .then(readList));
  const counts = w.meta?.counts;
  const admin = isAdmin.value;
  const openId = route.value.q.get('id');

  useKeyEvents(w.renew);
  const changed = (key) => (key?.id ? w.patchRow(key.id, (old) => readKey({ ...old, ...key })) : w.refresh());
  const afterBulk = (clear) => { if (clear) setSelection(none()); w.refresh(); };
  const show = (name) => () => setDialog(name);
  const close = () => { setDialog(null); setQuery({ import: undefined }); };
  const clear = () => { if (count(selection, w.total) > 0) setSelection(none()); };
  useShortcuts({ '/': () => search.current?.focus(), Escape: clear }, [selection, w.total]);
  usePaletteActions(admin ? [
    { text: t('keys.import'), icon: 'upload', act: show('import') },
    { text: t('keys.validateAll'), icon: 'shield', act: show('validate') },
    { text: t('keys.export'), icon: 'download', act: show('export') },
  ] : [], [admin, lang.value]);

  const tabs = [{ value: '', text: t('st.all'), count: counts?.all },
    ...statuses.map((s) => ({ value: s, text: t('st.' + s), count: counts?.[s], mark: s }))];
  const about = { selection, filter: f.filter, total: w.total, all: counts?.all ?? w.total };
  const openKey = (id) => setQuery({ id }, { push: true });
  return html`
    <div class="page full">
      <${Head} show=${setDialog} />
      <div class="between"><${Tabs} label=${t('keys.filters')} value=${f.status} options=${tabs}
        onChange=${(status) => setQuery({ status })} />
        ${f.status === 'attention' && html`<${Note} kind="warn" actions=${html`<${LinkButton} onClick=${() => setQuery({ status: '' })}>
          ${t('clearFilters')}<//>`}>
          ${t('keys.attention')}<//>`}
        <${AllBad} counts=${counts} rows=${w.rows} />${!admin && html`<${Note}>${t('readOnly')}<//>`}</div>
      <section class="card tablecard">
        ${count(selection, w.total) > 0 ? html`
          <${BulkBar} selection=${selection} total=${w.total} filter=${f.filter} changed=${afterBulk}
            onAll=${() => setSelection(everything())}
            onClear=${() => setSelection(none())} onValidate=${show('validate')} onExport=${show('export')} />`
        : html`<${Toolbar} f=${f} total=${w.total} ready=${w.ready} search=${search} columns=${columns} />`}
        <${VTable} w=${w} label=${title()} columns=${columns.list} order=${f.order}
          onSort=${(order) => setQuery({ sort: formatSort(order) })}
          name=${keyName} onOpen=${(k) => openKey(k.id)} selection=${admin ? table : undefined}
            onMenu=${(k, anchor) => setMenu({ k, anchor })}
          empty=${html`<${NoKeys} filtered=${Object.keys(f.filter).length > 0} onImport=${show('import')} />`} />
      </section>
      ${menu && html`<${MenuPopover} label=${t('table.actions', { name: keyName(menu.k) })} anchor=${menu.anchor}
        onClose=${() => setMenu(null)}
        items=${rowMenu(menu.k, { changed, open: () => openKey(menu.k.id) })} />`}
      ${openId && html`<${KeyDrawer} key=${openId} id=${openId} onClose=${() => setQuery({ id: undefined })} changed=${changed} />`}
      <${Dialogs} open=${dialog} close=${close} about=${about} changed=${() => w.refresh()} /><${Revealed} />
    </div>`;
}
