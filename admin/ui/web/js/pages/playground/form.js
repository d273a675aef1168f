import { html, useEffect, useRef, useState } from '../../vendor/preact.mjs';
import { api } from '../../lib/api.js';
import { t } from '../../lib/i18n.js';
import { Area, Checkbox, Field, Text } from '../../ui/form.js';
import { Button, Segmented } from '../../ui/parts.js';

export const blankForm = () => ({
  dialect: 'openai', model: '', other: '', compare: false, userKey: '', system: '', temperature: '', top_p: '', max_tokens: '',
    thinking: '', schema: '', search: false,
});

const numbers = [['temperature', 0, 2], ['top_p', 0, 1], ['max_tokens', 1, 1_000_000], ['thinking', 0, 1_000_000]];

// faultsOf names the fields that cannot be sent: {field: code}.
export function faultsOf(form) {
  const bad = {};
  if (!form.model.trim()) bad.model = 'required';
  if (form.compare && !form.other.trim()) bad.other = 'required';
  for (const [name, least, most] of numbers) {
    const text = form[name].trim();
    if (text && !(Number(text) >= least && Number(text) <= most)) bad[name] = 'number';
  }
  if (form.schema.trim()) {
    try { JSON.parse(form.schema); } catch { bad.schema = 'json'; }
  }
  return bad;
}

// useModels lists what may be asked for: models that are offered, and listed aliases.
export function useModels() {
  const [names, setNames] = useState([]);
  useEffect(() => {
    const abort = new AbortController(), read = (path) => api(path, { signal: abort.signal }).then((x) => x.items, () => []);
    Promise.all([read('models'), read('aliases')]).then(([models, aliases]) => {
      const chat = models.filter((m) => m.offered && ['chat', 'image', 'other'].includes(m.kind))
        .sort((a, b) => b.requests_24h - a.requests_24h);
      setNames([...new Set([...chat.map((m) => m.id), ...aliases.filter((a) => !a.name.includes('*')).map((a) => a.name)])]);
    });
    return () => abort.abort();
  }, []);
  return names;
}

// UserKeyField finds a user key by name, whose limits are then applied.
function UserKeyField({ value, onChange }) {
  const [found, setFound] = useState([]), [text, setText] = useState(''), timer = useRef();
  const search = (q) => {
    setText(q);
    const known = found.find((u) => u.name === q);
    if (!q || known) { onChange(known?.id ?? ''); if (!q) return; }
    clearTimeout(timer.current);
    timer.current = setTimeout(() => api('keys/user', { query: { q, limit: 20 } }).then((x) => {
      setFound(x.items);
      const exact = x.items.find((u) => u.name === q);
      if (exact) onChange(exact.id);
    }, () => {}), 200);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  const missing = text && !value;
  return html`<${Field} label=${t('playground.userKey')} help=${missing ? undefined : t('playground.userKeyHelp')}
    error=${missing ? t('playground.userKeyNone') : undefined}>
    ${(props) => html`<input class="input" ...${props} list="play-users" autocomplete="off" value=${text}
      onInput=${(e) => search(e.target.value)} placeholder=${t('none')} />
      <datalist id="play-users">${found.map((u) => html`<option key=${u.id} value=${u.name}>${u.hint}</option>`)}</datalist>`}<//>`;
}

const limits = { temperature: '0–2', top_p: '0–1', max_tokens: '', thinking: '' };

// Options is the left side: what is asked, of whom, and how.
export function Options({ form, set, models, faults, wide, onReset, children }) {
  const say = (name) => faults[name] && t('playground.fault.' + faults[name]);
  const number = (name) => html`<${Text} key=${name} label=${t('playground.' + name)} inputmode="decimal" value=${form[name]}
    placeholder=${limits[name] || t('playground.default')}
    error=${say(name)} onInput=${(v) => set({ [name]: v.trim() })} />`;
  const model = (name, label) => html`<${Text} label=${label} value=${form[name]} list="play-models" error=${say(name)} class="mono"
    autocomplete="off" spellcheck=${false}
    onInput=${(v) => set({ [name]: v.trim() })} />`;
  return html`<aside class="card playoptions" aria-label=${t('playground.options')}><div class="in">
    <${Segmented} label=${t('playground.api')} value=${form.dialect} options=${['openai', 'anthropic', 'gemini'].map((d) =>
      [d, t('playground.dialect.' + d)])}
      onChange=${(dialect) => set({ dialect })} />
    ${model('model', t('playground.model'))}
    <datalist id="play-models">${models.map((m) => html`<option key=${m} value=${m} />`)}</datalist>
    ${wide && html`<${Checkbox} label=${t('playground.compare')} checked=${form.compare} onChange=${(compare) => set({ compare })} />`}
    ${wide && form.compare && model('other', t('playground.other'))}
    <${UserKeyField} value=${form.userKey} onChange=${(userKey) => set({ userKey })} />
    <${Area} label=${t('playground.system')} rows=${3} value=${form.system} onInput=${(system) => set({ system })} />
    <div class="formgrid">${numbers.map(([name]) => number(name))}</div>
    <${Checkbox} label=${t('playground.search')} checked=${form.search} onChange=${(search) => set({ search })} />
    <details class="more"><summary>${t('playground.schema')}</summary><${Area} label=${t('playground.schemaLabel')} rows=${5}
      value=${form.schema} error=${say('schema')}
      spellcheck=${false} class="input mono" onInput=${(schema) => set({ schema })} /></details>
    ${children}<${Button} kind="quiet" icon="undo" onClick=${onReset}>${t('playground.reset')}<//></div></aside>`;
}
