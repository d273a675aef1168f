import { html, useEffect, useMemo, useRef, useState } from '../vendor/preact.mjs';
import { api, patch, post } from '../lib/api.js';
import { full, ms, pct, short } from '../lib/format.js';
import { lang, t } from '../lib/i18n.js';
import { track, whenOver } from '../lib/jobs.js';
import { useShortcuts } from '../lib/keyboard.js';
import { formatSort, parseSort } from '../lib/query.js';
import { route, setQuery } from '../lib/route.js';
import { isAdmin } from '../lib/session.js';
import { Switch } from '../ui/form.js';
import { Button, Empty, ErrorNote, Go, Icon, PageHead, Segmented, Skeleton, Tags } from '../ui/parts.js';
import { sheet } from '../ui/sheet.js';
import { attempt, undoable } from '../ui/toast.js';
import { VTable } from '../ui/vtable.js';
import { Aliases, useAliases } from './models/aliases.js';
import { ModelDrawer } from './models/drawer.js';
import { useRows } from './requests/rows.js';

await sheet('models');

export const title = () => t('nav.models');

const kinds = ['', 'chat', 'embedding', 'image', 'video', 'audio', 'live', 'other'];

function useModels() {
  const [state, setState] = useState({ items: null, error: null }), [version, setVersion] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    api('models', { signal: abort.signal }).then((x) => setState({ items: x.items, error: null, synced: x.synced_at }),
      (error) => error.name === 'AbortError' || setState((s) => ({ ...s, error })));
    return () => abort.abort();
  }, [version]);
  // change saves a part of a model; the server answers with the whole.
  const change = async (id, part) => {
    const changed = await patch('models/' + encodeURIComponent(id), part);
    setState((s) => ({ ...s, items: s.items.map((m) => (m.id === id ? changed : m)) }));
  };
  const offer = (model, offered) => attempt(() => change(model.id, { offered }));
  return { ...state, reload: () => setVersion((v) => v + 1), offer, change };
}

const flip = (model, models) => models.offer(model, !model.offered).then(() =>
  undoable(t(model.offered ? 'models.hidden' : 'models.shown', { model: model.id }), () => models.offer(model, model.offered)));

const columnsFor = (models) => [
  { id: 'id', label: t('models.col.id'), width: 196, fixed: true, area: 'a', cell: (m) => html`<button type="button" class="rowlink mono">
    ${m.id}</button>`, title: (m) => m.id },
  { id: 'kind', label: t('models.col.kind'), width: 86, area: 'c', cell: (m) => t('models.kind.' + m.kind) },
  { id: 'offered', label: t('models.col.offered'), width: 70, sort: false, area: 'b', cell: (m) =>
    html`<${Switch} label=${t('models.offer', { model: m.id })} checked=${m.offered}
    disabled=${!isAdmin.value} onChange=${() => flip(m, models)} />` },
  { id: 'aliases', label: t('models.aliases'), width: 100, sort: false, cell: (m) => html`<${Tags} tags=${m.aliases ?? []} />`,
    title: (m) => (m.aliases ?? []).join(', ') },
  { id: 'requests_24h', label: t('models.col.requests'), width: 84, num: true, area: 'd', cell: (m) => short(m.requests_24h),
    title: (m) => full(m.requests_24h) },
  { id: 'success', label: t('models.col.success'), width: 76, num: true, cell: (m) => (m.requests_24h ? pct(m.success, 2) : '–') },
  { id: 'ttft_p50_ms', label: t('models.col.ttft'), width: 96, num: true, cell: (m) => ms(m.ttft_p50_ms) },
  { id: 'p95_ms', label: t('models.col.p95'), width: 64, num: true, cell: (m) => ms(m.p95_ms) },
  { id: 'tokens_out_per_s', label: t('models.col.speed'), width: 78, num: true, cell: (m) => (m.tokens_out_per_s
    ? m.tokens_out_per_s.toFixed(1) : '–') },
  { id: 'keys_usable', label: t('models.col.keys'), width: 104, num: true, cell: (m) => short(m.keys_usable), title: (m) =>
    t('models.usable', { n: m.keys_usable, all: m.keys }) },
];

const compare = (a, b) => (a === b ? 0 : a === null || a === undefined ? 1 : b === null || b === undefined ? -1 : a < b ? -1 : 1);

function ModelTable({ models }) {
  const q = route.value.q, text = q.get('q') ?? '', kind = kinds.includes(q.get('kind')) ? q.get('kind') : '',
    order = parseSort(q.get('sort'), '-requests_24h');
  const search = useRef();
  useShortcuts({ '/': () => search.current?.focus() }, []);
  const shown = useMemo(() => {
    const list = (models.items ?? []).filter((m) => (!kind || m.kind === kind) && (!text || m.id.includes(text.toLowerCase())
      || m.aliases?.some((a) => a.includes(text))));
    const sign = order.order === 'desc' ? -1 : 1;
    return list.sort((a, b) => sign * compare(a[order.sort], b[order.sort]) || compare(a.id, b.id));
  }, [models.items, text, kind, order.sort, order.order]);
  const columns = useMemo(() => columnsFor(models), [lang.value, models.items]);
  const w = useRows(shown, { ready: models.items !== null, error: models.items ? null : models.error, onRetry: models.reload });
  const none = models.items?.length === 0
    ? html`<${Empty} icon="models" title=${t('models.none')} text=${t('models.noneText')}><${Go} to="/keys" icon="key" kind="primary">
      ${t('nav.keys')}<//><//>`
    : html`<${Empty} title=${t('models.noMatch')}><${Button} onClick=${() => { search.current.value = ''; setQuery({ q: '', kind: '' });
      }}>${t('clearFilters')}<//><//>`;
  return html`<section class="card tablecard"><div class="toolbar"><label class="search"><${Icon} name="search" />
      <input type="search" ref=${search} defaultValue=${text} placeholder=${t('models.search')} aria-label=${t('models.search')}
        onInput=${(e) => setQuery({ q: e.target.value.trim() })} /><kbd>/</kbd></label>
    <select class="input kinds" aria-label=${t('models.col.kind')} value=${kind} onChange=${(e) => setQuery({ kind: e.target.value })}>
      ${kinds.map((k) => html`
      <option key=${k} value=${k} selected=${k === kind}>${t('models.kind.' + (k || 'all'))}</option>`)}</select>
    <span class="grow"></span><span class="count" aria-live="polite">${models.items ? t('models.count', { n: shown.length }) : ''}</span>
      </div>
    <${VTable} w=${w} label=${t('models.models')} columns=${columns} order=${order} onSort=${(o) => setQuery({ sort: formatSort(o) })}
      name=${(m) => m.id} onOpen=${(m) => setQuery({ id: m.id }, { push: true })} empty=${none} /></section>`;
}

export function Page() {
  const q = route.value.q, tab = q.get('tab') === 'aliases' ? 'aliases' : 'models', id = q.get('id');
  const models = useModels(), aliases = useAliases(), [syncing, setSyncing] = useState(false);
  const known = useMemo(() => (models.items ? new Set(models.items.map((m) => m.id)) : null), [models.items]);
  const sync = () => attempt(async () => {
    setSyncing(true);
    try {
      const job = await post('models/sync');
      if (job?.id) { track(job); await whenOver(job.id); }
      models.reload();
      aliases.load();
    } finally { setSyncing(false); }
  });
  const open = models.items?.find((m) => m.id === id);
  return html`<div class=${'page models ' + tab}><${PageHead} title=${title()}>
      <${Segmented} label=${t('models.view')} value=${tab} options=${['models', 'aliases'].map((x) => [x, t('models.' + x)])}
        onChange=${(x) => setQuery({ tab: x === 'models' ? '' : x, id: '' })} />
      ${isAdmin.value && html`<${Button} icon="refresh" busy=${syncing} onClick=${sync}>${t('models.sync')}<//>`}<//>
    ${models.error && models.items && html`<${ErrorNote} error=${models.error} onRetry=${models.reload} />`}
    ${tab === 'aliases' ? html`<${Aliases} list=${aliases} known=${known} />` : models.items || models.error
      ? html`<${ModelTable} models=${models} />` : html`<${Skeleton} height=${400} />`}
    ${open && html`<${ModelDrawer} model=${open} models=${models} onFlip=${() => flip(open, models)}
      onClose=${() => setQuery({ id: undefined })} />`}</div>`;
}
