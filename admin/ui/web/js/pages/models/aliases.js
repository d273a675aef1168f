import { html, useEffect, useRef, useState } from '../../vendor/preact.mjs';
import { apiTagged, post } from '../../lib/api.js';
import { full } from '../../lib/format.js';
import { t } from '../../lib/i18n.js';
import { isAdmin } from '../../lib/session.js';
import { Dialog } from '../../ui/dialog.js';
import { Area, Checkbox, Text } from '../../ui/form.js';
import { MenuButton } from '../../ui/menu.js';
import { Button, Empty, ErrorNote, Icon, Note, Skeleton, Tags, cls } from '../../ui/parts.js';
import { attempt, failed, toast, undoable } from '../../ui/toast.js';
import { Thinking, optionWords } from './fields.js';
import { isPattern, match, move, problems, withPreset } from './match.js';
import { sent } from './options.js';

const own = (alias) => !alias.locked;

// useAliases holds the list with its ETag. put saves the operator's part as one
// document; a list that changed meanwhile is read again instead of overwritten.
export function useAliases() {
  const [state, setState] = useState(null), [error, setError] = useState(null), now = useRef(null);
  now.current = state;
  const adopt = ({ data, etag }) => { setState({ items: data.items, etag }); setError(null); };
  const load = () => apiTagged('aliases').then(adopt, setError);
  useEffect(() => { load(); }, []);
  const put = async (list, etag = now.current.etag) => {
    const answer = await apiTagged('aliases', { method: 'PUT', body: { items: sent(list) }, headers: etag ? { 'If-Match': etag } : {} });
    adopt(answer);
    return answer;
  };
  // change saves at once and offers the way back.
  const change = async (list, text) => {
    const before = now.current.items.filter(own);
    setState((s) => ({ ...s, items: [...s.items.filter((a) => a.source === 'caddyfile'), ...list,
      ...s.items.filter((a) => a.source === 'default')] }));
    try {
      await put(list);
      undoable(text, () => put(before));
      return true;
    } catch (e) {
      if (e.status === 412) { toast({ kind: 'bad', text: t('models.alias.changed') }); await load(); } else {
        setState((s) => ({ ...s, items: rebuilt(s.items, before) })); failed(e); }
      return false;
    }
  };
  return { items: state?.items ?? null, own: state?.items.filter(own) ?? [], error, load, change, put };
}

const rebuilt = (items, mine) => [...items.filter((a) => a.source === 'caddyfile'), ...mine,
  ...items.filter((a) => a.source === 'default')];

function AliasDialog({ alias, others, known, onSave, onClose }) {
  const [form, setForm] = useState({ name: alias?.name ?? '', targets: (alias?.targets ?? []).join('\n'),
    listed: alias?.listed !== false, thinking_budget: alias?.thinking_budget ?? null, search: alias?.search === true });
  const [wrong, setWrong] = useState(''), [error, setError] = useState(null), [busy, setBusy] = useState(false);
  const set = (part) => { setForm({ ...form, ...part }); setWrong(''); };
  const made = { name: form.name.trim(), targets: form.targets.split(/[\s,]+/).filter(Boolean), listed: form.listed,
    thinking_budget: form.thinking_budget, search: form.search, source: 'store', locked: false };
  const warning = problems([...others, made], known).at(-1);
  const stops = ['empty', 'all', 'no_target', 'itself', 'duplicate'];
  const save = async () => {
    if (stops.includes(warning)) { setWrong(warning); return; }
    if (Number.isNaN(made.thinking_budget)) { setWrong('tokens'); return; }
    setBusy(true);
    setError(null);
    try { await onSave(made); } catch (e) { setError(e); setBusy(false); }
  };
  const at = ['no_target', 'itself'].includes(wrong) ? 'targets' : 'name';
  return html`<${Dialog} title=${t(alias ? 'models.alias.edit' : 'models.alias.add')} onClose=${onClose} onSubmit=${save}
    footer=${html`<${Button} onClick=${onClose}>${t('cancel')}<//><${Button} kind="primary" type="submit" busy=${busy}>${t('save')}<//>`}>
    ${error && html`<${ErrorNote} error=${error} />`}
    <${Text} label=${t('models.alias.name')} value=${form.name} help=${t('models.alias.nameHelp')} autocomplete="off" spellcheck=${false}
      error=${wrong && at === 'name' && t('models.problem.' + wrong)} onInput=${(name) => set({ name })} />
    <${Area} label=${t('models.alias.targets')} rows=${3} value=${form.targets} help=${t('models.alias.targetsHelp')} spellcheck=${false}
      error=${wrong && at === 'targets' && t('models.problem.' + wrong)} onInput=${(targets) => set({ targets })} />
    <${Suggest} known=${known} have=${made.targets} onPick=${(m) => set({ targets: [...made.targets, m].join('\n') })} />
    <${Checkbox} label=${t('models.alias.listed')} help=${t('models.alias.listedHelp')} checked=${form.listed && !isPattern(form.name)}
      disabled=${isPattern(form.name)}
      onChange=${(listed) => set({ listed })} />
    <${Thinking} value=${form.thinking_budget} help=${t('models.alias.thinkingHelp')}
      error=${wrong === 'tokens' && t('models.thinking.fault')} onChange=${(thinking_budget) => set({ thinking_budget })} />
    <${Checkbox} label=${t('models.option.search')} help=${t('models.alias.searchHelp')} checked=${form.search}
      onChange=${(search) => set({ search })} />
    ${!wrong && ['shadowed', 'unknown'].includes(warning) && html`<${Note} kind="warn">${t('models.problem.' + warning)}<//>`}<//>`;
}

const Suggest = ({ known, have, onPick }) => known?.size > 0 && html`<${MenuButton} icon="plus" kind="quiet" label=${t('models.alias.pick')}
  items=${() => [...known].filter((m) => !have.includes(m)).slice(0, 40).map((m) => ({ text: m, act: () => onPick(m) }))}>
    ${t('models.alias.pick')}<//>`;

// TestName asks the server which rule takes a name; the local preview marks the row.
function TestName({ items, onMark }) {
  const [name, setName] = useState(''), [answer, setAnswer] = useState(null);
  useEffect(() => {
    const wanted = name.trim();
    onMark(wanted ? match(items, wanted) : -1);
    setAnswer(null);
    if (!wanted) return undefined;
    const abort = new AbortController();
    const timer = setTimeout(() => post('aliases/test', { name: wanted }, { signal: abort.signal }).then(setAnswer,
      (e) => e.name === 'AbortError' || failed(e)), 200);
    return () => { clearTimeout(timer); abort.abort(); };
  }, [name, items]);
  const said = answer && (answer.matched === null
    ? t(answer.known ? 'models.test.model' : 'models.test.none', { model: answer.model })
    : t('models.test.hit', { alias: answer.matched, model: answer.model }));
  return html`<div class="testname"><label><span>${t('models.test')}</span><input class="input mono" value=${name} placeholder="gpt-4o"
    autocomplete="off" spellcheck=${false}
      onInput=${(e) => setName(e.target.value)} /></label>
    <span role="status" class=${answer && (answer.known === false || answer.offered === false) ? 'warn' : undefined}>${said}
      ${answer?.targets?.length > 1 && html` <small>${t('models.test.then', { list: answer.targets.slice(1).join(', ') })}</small>`}
      ${answer && optionWords(answer).map((word) => html` <small key=${word}>· ${word}</small>`)}
      ${answer?.offered === false && html` <small>${t('models.test.hidden')}</small>`}</span></div>`;
}

const sourceText = (alias) => t('models.source.' + alias.source) + (alias.dialect ? ` · ${alias.dialect}` : '');

function Row({ alias, at, fault, marked, drag, onMove, onEdit, onRemove }) {
  const keys = (event) => {
    const by = event.altKey && { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by || alias.locked) return;
    event.preventDefault();
    event.stopPropagation();
    onMove(at, at + by);
  };
  const movable = !alias.locked && isAdmin.value, options = optionWords(alias);
  return html`<tr class=${cls(marked && 'marked', drag.over === at && movable && 'over')} draggable=${movable} onKeyDown=${keys}
    data-alias=${alias.name}
    onDragStart=${(e) => { e.dataTransfer.effectAllowed = 'move'; drag.start(at); }} onDragEnd=${() => drag.start(-1)}
    onDragOver=${(e) => { if (movable && drag.from >= 0) { e.preventDefault(); drag.enter(at); } }} onDrop=${(e) => { e.preventDefault();
      drag.drop(at); }}>
    <td class="grip">${movable ? html`<button type="button" class="btn ghost btn-icon" aria-label=${t('models.alias.move',
      { name: alias.name })} title=${t('models.alias.moveHelp')}><${Icon} name="grip" /></button>`
    : html`<${Icon} name="lock" size=${14} />`}</td>
    <th scope="row" class="mono">${alias.name} ${alias.listed && html`<span class="tag">${t('models.alias.isListed')}</span>`}</th>
    <td class="targets">${alias.targets.map((target, i) => html`${i > 0 && ' → '}<span class="mono" key=${target}>${target}</span>`)}
      ${options.length > 0 && html`${' '}<span class="options"><${Tags} tags=${options} /></span>`}</td>
    <td class="origin">${sourceText(alias)}${alias.hits_24h > 0 && html`<span class="hitsnarrow"> · ${t('models.alias.hits',
    { n: alias.hits_24h })}</span>`}</td><td class="n hits">${full(alias.hits_24h)}</td>
    <td class="faultcell">${fault && html`<span class="warn" title=${fault}><${Icon} name="alert" size=${13} /> ${fault}</span>`}</td>
    <td class="n rowbuttons">${movable && html`<${Button} icon="edit" kind="ghost" label=${t('models.alias.editOne',
      { name: alias.name })} onClick=${() => onEdit(alias)} />
      <${Button} icon="trash" kind="ghost" label=${t('models.alias.removeOne', { name: alias.name })}
        onClick=${() => onRemove(alias)} />`}</td></tr>`;
}

// Aliases is the ordered list. known: ids of models, null while not read.
export function Aliases({ list, known }) {
  const [dialog, setDialog] = useState(null), [mark, setMark] = useState(-1), [drag, setDrag] = useState({ from: -1, over: -1 });
  const { items } = list, box = useRef();
  if (list.error && !items) return html`<${ErrorNote} error=${list.error} onRetry=${list.load} />`;
  if (!items) return html`<${Skeleton} height=${240} />`;
  const first = items.findIndex(own), mine = list.own;
  const reorder = async (from, to) => {
    const next = move(mine, from - first, to - first);
    if (next === mine) return;
    const { name } = items[from];
    await list.change(next, t('models.alias.moved', { name }));
    box.current?.querySelector(`tr[data-alias="${CSS.escape(name)}"] .grip button`)?.focus();
  };
  const remove = (alias) => list.change(mine.filter((a) => a !== alias), t('models.alias.removed', { name: alias.name }));
  const save = async (made) => {
    const next = dialog.alias ? mine.map((a) => (a === dialog.alias ? made : a)) : [...mine, made], before = mine;
    await list.put(next);
    setDialog(null);
    undoable(t('models.alias.saved', { name: made.name }), () => list.put(before));
  };
  const preset = (name) => () => attempt(async () => {
    const next = withPreset(mine, name);
    if (next.length === mine.length) toast({ text: t('models.preset.there') });
    else await list.change(next, t('models.preset.added', { n: next.length - mine.length }));
  });
  const dragging = { ...drag, start: (from) => setDrag({ from, over: -1 }), enter: (over) => drag.over === over
    || setDrag({ ...drag, over }),
    drop: (to) => { const { from } = drag; setDrag({ from: -1, over: -1 }); if (from >= 0) reorder(from, to); } };
  const local = problems(items, known);
  return html`<section class="card aliascard" aria-label=${t('models.aliases')}><div class="toolbar wraps"><${TestName} items=${items}
    onMark=${setMark} />
      ${isAdmin.value && html`<${MenuButton} icon="sparkles" kind="" label=${t('models.preset')}
        items=${['openai', 'anthropic'].map((p) => ({ text: t('models.preset.' + p), act: preset(p) }))}>${t('models.preset')}<//>
        <${Button} icon="plus" kind="primary" onClick=${() => setDialog({})}>${t('models.alias.add')}<//>`}</div>
    ${items.length === 0 ? html`<${Empty} icon="link" title=${t('models.alias.none')} text=${t('models.alias.noneText')} />`
    : html`<div class="scroll" tabindex="0" role="region" aria-label=${t('models.alias.rows')} ref=${box}><table class="plain aliases">
      <thead><tr><th scope="col"><span class="sr">${t('models.alias.order')}</span></th>
      ${['name', 'targets', 'source'].map((c) => html`<th scope="col" key=${c}>${t('models.alias.col.' + c)}</th>`)}<th scope="col"
        class="n">${t('models.alias.col.hits')}</th>
      <th scope="col"><span class="sr">${t('models.alias.col.problem')}</span></th><th scope="col"><span class="sr">
        ${t('models.alias.col.actions')}</span></th></tr></thead>
      <tbody>${items.map((alias, at) => html`<${Row} key=${alias.source + alias.name + alias.dialect} alias=${alias} at=${at}
        marked=${mark === at} drag=${dragging}
        fault=${alias.problem || (alias.locked || !local[at] ? '' : t('models.problem.' + local[at]))} onMove=${reorder}
          onEdit=${(a) => setDialog({ alias: a })} onRemove=${remove} />`)}</tbody></table></div>`}
    <p class="pad14 dim">${t('models.alias.help')}</p>
    ${dialog && html`<${AliasDialog} alias=${dialog.alias} known=${known} others=${items.filter((a) => a !== dialog.alias
      && a.source !== 'default')} onSave=${save} onClose=${() => setDialog(null)} />`}</section>`;
}
