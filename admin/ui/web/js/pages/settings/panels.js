import { html, useEffect, useState } from '../../vendor/preact.mjs';
import { api, call, del, download, post, saveFile } from '../../lib/api.js';
import { utc } from '../../lib/format.js';
import { lang, languages, setLang, t } from '../../lib/i18n.js';
import { track } from '../../lib/jobs.js';
import { letters } from '../../lib/keyboard.js';
import { isAdmin, signIn, signOut } from '../../lib/session.js';
import { choice, setTheme } from '../../lib/theme.js';
import { Dialog, confirm } from '../../ui/dialog.js';
import { Checkbox, FileDrop } from '../../ui/form.js';
import { Ago, Button, Empty, ErrorNote, Note, Secret, Segmented, Skeleton } from '../../ui/parts.js';
import { attempt, toast } from '../../ui/toast.js';
import { flatten } from './diff.js';

const Line = ({ title, text, children }) => html`<div class="setting"><div class="what"><b>${title}</b>
  ${text && html`<small>${text}</small>`}</div><div class="how">${children}</div></div>`;

export const Appearance = () => html`
  <${Line} title=${t('theme')}><${Segmented} label=${t('theme')} value=${choice.value} options=${['auto', 'light', 'dark'].map((v) =>
    [v, t('theme.' + v)])} onChange=${setTheme} /><//>
  <${Line} title=${t('language')}><${Segmented} label=${t('language')} value=${lang.value} options=${languages}
    onChange=${(l) => attempt(() => setLang(l))} /><//>
  <${Line} title=${t('settings.zone')} text=${t('settings.zoneHelp')}><${Segmented} label=${t('settings.zone')} value=${utc.value ? 'utc'
    : 'local'}
    options=${[['local', Intl.DateTimeFormat().resolvedOptions().timeZone], ['utc', 'UTC']]}
      onChange=${(v) => (utc.value = v === 'utc')} /><//>
  <${Line} title=${t('key.letters')} text=${t('key.lettersHelp')}><${Checkbox} label=${t('settings.on')} checked=${letters.value}
    onChange=${(v) => (letters.value = v)} /><//>`;

function NewAdminKey({ value, onClose }) {
  const [saved, setSaved] = useState(false);
  return html`<${Dialog} title=${t('settings.rotated')} locked=${!saved} onClose=${onClose}
    footer=${html`<${Checkbox} label=${t('settings.haveSaved')} checked=${saved} onChange=${setSaved} /><span class="grow"></span>
      <${Button} kind="primary" disabled=${!saved} onClick=${onClose}>${t('close')}<//>`}>
    <${Note} kind="warn">${t('settings.rotatedText')}<//><${Secret} value=${value} label=${t('settings.adminKey')} /><//>`;
}

export function Security() {
  const [made, setMade] = useState(null);
  const rotate = async () => {
    let answer = null;
    const done = await confirm({ title: t('settings.rotate'), text: t('settings.rotateText'), confirm: t('settings.rotateDo'), danger: true,
      act: async () => { answer = await post('admin-key/rotate', {}); } });
    // Every session is over now, this one too: a new one lets the key stay on the screen.
    if (done) await attempt(() => signIn(answer.admin_key, false));
    if (done) setMade(answer.admin_key);
  };
  const reseal = async () => {
    let job = null;
    const done = await confirm({ title: t('settings.reseal'), text: t('settings.resealText'), confirm: t('settings.rotateDo'), danger: true,
      act: async () => { job = await post('master-key/rotate', {}); } });
    if (done) track(job);
  };
  const end = async () => {
    if (await confirm({ title: t('settings.end'), text: t('settings.endText'), confirm: t('settings.endDo'), danger: true,
      act: () => del('sessions') })) await attempt(signOut);
  };
  return html`<${Line} title=${t('settings.adminKey')} text=${t('settings.rotateHelp')}>
    ${isAdmin.value && html`<${Button} icon="rotate" onClick=${rotate}>${t('settings.rotateDo')}<//>`}<//>
    <${Line} title=${t('settings.masterKey')} text=${t('settings.resealHelp')}>
      ${isAdmin.value && html`<${Button} icon="rotate" onClick=${reseal}>${t('settings.resealDo')}<//>`}<//>
    <${Line} title=${t('settings.sessions')} text=${t('settings.endHelp')}>
      ${isAdmin.value && html`<${Button} icon="logout" onClick=${end}>${t('settings.endDo')}<//>`}<//>
    ${made && html`<${NewAdminKey} value=${made} onClose=${() => setMade(null)} />`}`;
}

// settingsFile is what the operator set, without what the Caddyfile locks; there are
// no secrets among settings.
const settingsFile = (fields) => JSON.stringify(Object.fromEntries(Object.entries(fields)
  .filter(([, f]) => f.source === 'store').map(([name, f]) => [name, f.value])), null, 2) + '\n';

export function Backup({ config }) {
  const [error, setError] = useState(null), [busy, setBusy] = useState('');
  const run = (name, act) => async () => {
    setBusy(name);
    setError(null);
    try { await act(); } catch (e) { if (e.name !== 'AbortError') setError(e); } finally { setBusy(''); }
  };
  const take = async ([file]) => {
    try {
      const left = config.take(flatten(JSON.parse(await file.text())));
      toast(left.length ? { kind: 'bad', text: t('settings.importLeft', { names: left.slice(0, 5).join(', ') }) }
        : { text: t('settings.imported') });
    } catch { toast({ kind: 'bad', text: t('settings.notJson') }); }
  };
  const restore = ([file]) => confirm({
    title: t('settings.restore'), text: t('settings.restoreText', { name: file.name }), confirm: t('settings.restoreDo'), danger: true,
    act: () => call('restore', { method: 'POST', body: file, type: 'application/octet-stream' }),
  }).then((done) => done && toast({ text: t('settings.restoreWaits'), action: { text: t('undo'), act: () => attempt(takeBack) } }));
  const takeBack = async () => { await del('restore'); toast({ text: t('settings.restoreBack') }); };
  return html`${error && html`<${ErrorNote} error=${error} />`}
    <${Line} title=${t('settings.file')} text=${t('settings.fileHelp')}><div class="actions wrap">
      <${Button} icon="download" onClick=${() => saveFile(settingsFile(config.fields), 'gemini-balance-settings.json',
        'application/json')}>${t('settings.exportDo')}<//></div>
      ${isAdmin.value && html`<${FileDrop} accept=".json,application/json" onFiles=${take}><span>${t('settings.importHelp')}</span>
        <//>`}<//>
    ${isAdmin.value && html`<${Line} title=${t('settings.backup')} text=${t('settings.backupHelp')}><${Button} icon="save"
      busy=${busy === 'backup'}
      onClick=${run('backup', () => download('backup', { method: 'POST', body: {} }, 'gemini-balance.backup'))}>
        ${t('settings.backupDo')}<//><//>`}
    ${isAdmin.value && html`<${Line} title=${t('settings.restore')} text=${t('settings.restoreHelp')}><${FileDrop} onFiles=${restore}>
      <span>${t('settings.restoreDrop')}</span><//><//>`}`;
}

// useList reads one list and says how that went.
function useList(path, query, deps) {
  const [state, setState] = useState({ items: null, error: null, next: null }), [version, setVersion] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    api(path, { query, signal: abort.signal }).then((r) => setState({ items: r.items, next: r.next ?? null, error: null }),
      (error) => error.name === 'AbortError' || setState((s) => ({ ...s, error })));
    return () => abort.abort();
  }, [...deps, version]);
  const more = () => attempt(async () => {
    const r = await api(path, { query: { ...query, cursor: state.next } });
    setState((s) => ({ items: [...s.items, ...r.items], next: r.next ?? null, error: null }));
  });
  return { ...state, reload: () => setVersion((v) => v + 1), more };
}

function DeletedList({ kind, path, restorePath }) {
  const list = useList(path[0], path[1], []);
  const restore = (key) => attempt(async () => { await post(restorePath(key.id));
    toast({ text: t('settings.restored', { name: key.name || key.hint }) }); list.reload(); });
  if (list.error) return html`<${ErrorNote} error=${list.error} onRetry=${list.reload} />`;
  if (!list.items) return html`<${Skeleton} height=${60} />`;
  if (!list.items.length) return html`<p class="dim">${t('settings.deleted.none')}</p>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t('settings.deleted.' + kind)}><table class="plain">
    <tbody>${list.items.map((key) => html`<tr key=${key.id}>
    <th scope="row">${key.name || key.id} <code>${key.hint}</code></th><td><${Ago} at=${key.deleted_at} /></td>
    <td class="n">${isAdmin.value && html`<${Button} icon="undo" onClick=${() => restore(key)}>${t('settings.restoreKey')}<//>`}</td>
      </tr>`)}</tbody></table></div>`;
}

export const Deleted = () => html`<p class="dim">${t('settings.deleted.text')}</p>
  <h3>${t('nav.keys')}</h3><${DeletedList} kind="gemini" path=${['keys/gemini/deleted', { limit: 100 }]}
    restorePath=${(id) => `keys/gemini/${encodeURIComponent(id)}/restore`} />
  <h3>${t('nav.users')}</h3><${DeletedList} kind="user" path=${['keys/user', { status: 'deleted', limit: 100 }]}
    restorePath=${(id) => `keys/user/${encodeURIComponent(id)}/restore`} />`;

export function Audit() {
  const [text, setText] = useState(''), [q, setQ] = useState(''), list = useList('audit', { limit: 100, q }, [q]);
  useEffect(() => { const timer = setTimeout(() => setQ(text.trim()), 200); return () => clearTimeout(timer); }, [text]);
  return html`<label class="search"><input type="search" value=${text} placeholder=${t('settings.audit.search')}
    aria-label=${t('settings.audit.search')}
      onInput=${(e) => setText(e.target.value)} /></label>
    ${list.error && html`<${ErrorNote} error=${list.error} onRetry=${list.reload} />`}
    ${!list.items && !list.error && html`<${Skeleton} height=${200} />`}
    ${list.items?.length === 0 && html`<${Empty} icon="history" title=${t('settings.audit.none')} />`}
    ${list.items?.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label=${t('settings.audit.rows')}>
      <table class="plain audit"><thead><tr>
      ${['at', 'actor', 'ip', 'action', 'object', 'detail'].map((c) => html`<th scope="col" key=${c}>
        ${t('settings.audit.' + c)}</th>`)}</tr></thead>
      <tbody>${list.items.map((e) => html`<tr key=${e.hash ?? e.at + e.action}><td><${Ago} at=${e.at} /></td>
        <td>${e.actor}${e.role && e.role !== e.actor && html` <small>${e.role}</small>`}</td>
        <td class="mono">${e.ip}</td><td class="mono">${e.action}</td><td class="mono">${e.object || '–'}</td><td>${e.detail}</td>
          </tr>`)}</tbody></table></div>`}
    ${list.next && html`<${Button} onClick=${list.more}>${t('settings.audit.more')}<//>`}`;
}
