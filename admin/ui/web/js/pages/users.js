import { html, useMemo, useRef, useState } from '../vendor/preact.mjs';
import { api } from '../lib/api.js';
import { full } from '../lib/format.js';
import { lang, loadTexts, t } from '../lib/i18n.js';
import { useShortcuts } from '../lib/keyboard.js';
import { pref } from '../lib/prefs.js';
import { formatSort, parseSort } from '../lib/query.js';
import { route, setQuery } from '../lib/route.js';
import * as selection from '../lib/selection.js';
import { isAdmin } from '../lib/session.js';
import { MenuButton, MenuPopover } from '../ui/menu.js';
import { Button, Empty, Icon, PageHead } from '../ui/parts.js';
import { sheet } from '../ui/sheet.js';
import { VTable, columnItems, useWindow } from '../ui/vtable.js';
import { rowActions } from './users/actions.js';
import { BulkBar } from './users/bulk.js';
import { columnsFor, defaults } from './users/cells.js';
import { Created } from './users/created.js';
import { UserDrawer } from './users/drawer.js';
import { UserForm } from './users/form.js';

// The drawer shows requests as the log does.
await Promise.all([sheet('users'), sheet('requests'), loadTexts('requests')]);

export const title = () => t('nav.users');

const statuses = ['', 'active', 'limited', 'expired', 'disabled'];
const chosen = pref('users.columns', defaults);

// readFilter takes the address apart into what the API is asked.
function readFilter(q) {
  const filter = { q: q.get('q') ?? '', status: statuses.includes(q.get('status')) ? q.get('status') : '', tag: q.get('tag') ?? '' };
  if (q.get('expiring') === '1') filter.expiring = '7d';
  if (q.get('unused') === '1') filter.unused = '30d';
  return filter;
}

function StatusTabs({ value, counts }) {
  return html`<nav class="tabs" aria-label=${t('users.byStatus')}>${statuses.map((s) => html`
    <button type="button" key=${s} aria-pressed=${value === s ? 'true' : 'false'} onClick=${() => setQuery({ status: s })}>
      ${s && html`<i class=${'b-u-' + s}></i>`}${t('users.status.' + (s || 'all'))} <span>${counts ? full(counts[s || 'all'] ?? 0)
        : '–'}</span></button>`)}</nav>`;
}

function Toolbar({ filter, w, columns, searchRef }) {
  const timer = useRef();
  const type = (event) => {
    const { value } = event.target;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setQuery({ q: value }), 150);
  };
  const flip = (name) => ({ text: t('users.filter.' + name), checked: Boolean(filter[name]), act: () => setQuery({ [name]: filter[name]
    ? '' : '1' }) });
  const active = ['expiring', 'unused'].filter((name) => filter[name]).length;
  return html`<div class="toolbar"><label class="search"><${Icon} name="search" />
      <input type="search" ref=${searchRef} defaultValue=${filter.q} placeholder=${t('users.search')} aria-label=${t('users.search')}
        onInput=${type} /><kbd>/</kbd></label>
    <${MenuButton} icon="filter" kind=${active ? 'primary' : ''} label=${t('users.filters')} items=${() => [flip('expiring'),
      flip('unused')]}>
      ${active ? t('users.filtersOn', { n: active }) : t('users.filters')}<//>
    ${filter.tag && html`<span class="chip"><small>${t('users.labels')}</small><b>${filter.tag}</b>
      <button type="button" class="chipx" aria-label=${t('users.clear')} onClick=${() => setQuery({ tag: '' })}>
        <${Icon} name="x" size=${13} /></button></span>`}
    <span class="grow"></span><span class="count" aria-live="polite">${w.ready ? t('users.count', { n: w.total }) : ''}</span>
    <${MenuButton} icon="columns" label=${t('users.columns')} items=${() => columnItems(columns, chosen.value,
      (v) => (chosen.value = v))} /></div>`;
}

function Nothing({ filtered, onCreate, onClear }) {
  if (filtered) {
    return html`<${Empty} title=${t('users.noMatch')} text=${t('users.noMatchText')}><${Button} onClick=${onClear}>${t('users.clear')}<//>
      <//>`;
  }
  return html`<${Empty} icon="users" title=${t('users.none')} text=${t('users.noneText')}>
    ${isAdmin.value && html`<${Button} kind="primary" icon="plus" onClick=${onCreate}>${t('users.create')}<//>`}<//>`;
}

const open = (id) => setQuery({ id }, { push: true });

export function Page() {
  const q = route.value.q, filter = readFilter(q), order = parseSort(q.get('sort'), '-created'), id = q.get('id');
  const key = JSON.stringify([filter, order]), search = useRef();
  const w = useWindow(key, (offset, limit, signal) => api('keys/user', { query: { ...filter, ...order, offset, limit }, signal }));
  const [sel, setSel] = useState(selection.none), [menu, setMenu] = useState(null), [dialog, setDialog] = useState(null);
  const selKey = JSON.stringify(filter), lastKey = useRef(selKey);
  if (lastKey.current !== selKey) { lastKey.current = selKey; setSel(selection.none()); }
  const columns = useMemo(columnsFor, [lang.value]);
  const shown = useMemo(() => columns.filter((c) => c.fixed || chosen.value.includes(c.id)), [columns, chosen.value]);
  useShortcuts({ '/': () => search.current?.focus(), Escape: () => setSel(selection.none()) }, []);
  const changed = (user) => { if (user?.id) w.patchRow(user.id, () => user); else w.refresh(); };
  const tools = { changed, refresh: w.refresh, edit: (user) => setDialog({ kind: 'edit', user }), shown: (made) =>
    setDialog({ kind: 'created', made }), open };
  const clear = () => { if (search.current) search.current.value = ''; setQuery({ q: '', status: '', tag: '', expiring: '', unused: '' });
    };
  const create = () => setDialog({ kind: 'create' });
  const n = selection.count(sel, w.total), filtered = Boolean(filter.q || filter.status || filter.tag || filter.expiring || filter.unused);
  return html`<div class="page listpage users">
    <${PageHead} title=${t('nav.users')}>${isAdmin.value && html`<${Button} kind="primary" icon="plus" onClick=${create}>
      ${t('users.create')}<//>`}<//>
    <${StatusTabs} value=${filter.status} counts=${w.meta?.counts} />
    <section class="card tablecard">
      ${n > 0 ? html`<${BulkBar} sel=${sel} n=${n} total=${w.total} filter=${filter} onSelect=${setSel}
        onDone=${() => { setSel(selection.none()); w.refresh(); }} />`
        : html`<${Toolbar} filter=${filter} w=${w} columns=${columns} searchRef=${search} />`}
      <${VTable} w=${w} label=${t('nav.users')} columns=${shown} order=${order} onSort=${(o) => setQuery({ sort: formatSort(o) })}
        name=${(u) => u.name} onOpen=${(u) => open(u.id)} onMenu=${isAdmin.value ? (user, anchor) => setMenu({ user, anchor }) : undefined}
        selection=${isAdmin.value ? { has: (x) => selection.isSelected(sel, x), set: (ids, yes) => setSel((s) => selection.set(s, ids,
          yes)) } : undefined}
        empty=${html`<${Nothing} filtered=${filtered} onCreate=${create} onClear=${clear} />`} />
    </section>
    ${menu && html`<${MenuPopover} items=${rowActions(menu.user, tools)} anchor=${menu.anchor}
      label=${t('users.actions', { name: menu.user.name })}
      onClose=${() => setMenu(null)} />`}
    ${id && html`<${UserDrawer} key=${id} id=${id} tools=${tools} onClose=${() => setQuery({ id: undefined })} />`}
    ${dialog?.kind === 'create' && html`<${UserForm} onClose=${() => setDialog(null)}
      onDone=${(made) => { setDialog({ kind: 'created', made }); w.refresh(); }} />`}
    ${dialog?.kind === 'edit' && html`<${UserForm} user=${dialog.user} onClose=${() => setDialog(null)}
      onDone=${(user) => { setDialog(null); changed(user); }} />`}
    ${dialog?.kind === 'created' && html`<${Created} made=${dialog.made} onClose=${() => setDialog(null)} />`}</div>`;
}
