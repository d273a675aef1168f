import { html, useEffect, useId, useRef, useState } from '../../vendor/preact.mjs';
import { api } from '../../lib/api.js';
import { t } from '../../lib/i18n.js';
import { Area, Checkbox, Field, Text } from '../../ui/form.js';
import { Button, Segmented } from '../../ui/parts.js';

export const blankForm = () => ({
  dialect: 'openai', model: '', other: '', compare: false, userKey: '', geminiKey: '', system: '', temperature: '', top_p: '', max_tokens: '',
    thinking: '', schema: '', search: false,
});

/** @type {[string, number, number][]} */
const numbers = [['temperature', 0, 2], ['top_p', 0, 1], ['max_tokens', 1, 1_000_000], ['thinking', 0, 1_000_000]];

// faultsOf names the fields that cannot be sent: {field: code}.
export function faultsOf(form) {
  const bad = {};
  if (!form.model.trim()) bad.model = 'required';
  if (form.compare && !form.other.trim()) bad.other = 'required';
  for (const name of ['userKey', 'geminiKey']) if (form[name] === null) bad[name] = 'key';
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

const nameOf = (x) => x.name || x.hint;

// KeyField finds a key by name among those of a list of the API; value is its id, ''
// for none, null while what was typed is no key's name. One that came by its id, from
// another page's link, is given its name.
function KeyField({ label, help, none, fault, list, value, placeholder, onChange }) {
  const [found, setFound] = useState({ q: '', items: [] }), [text, setText] = useState(''), options = useId();
  const timer = useRef(0), typed = useRef('');
  const search = (q) => {
    setText(typed.current = q);
    clearTimeout(timer.current);
    onChange(found.items.find((x) => nameOf(x) === q)?.id ?? (q ? null : ''));
    if (!q) return;
    timer.current = setTimeout(() => api(list, { query: { q, limit: 20 } }).then(({ items }) => {
      if (typed.current !== q) return;
      setFound({ q, items });
      const exact = items.find((x) => nameOf(x) === q);
      if (exact) onChange(exact.id);
    }, () => {}), 200);
  };
  useEffect(() => {
    if (value) api(`${list}/${value}`).then((x) => { setFound({ q: nameOf(x), items: [x] }); setText(typed.current = nameOf(x)); }, () => onChange(''));
    return () => clearTimeout(timer.current);
  }, []);
  const n = value === null && found.q === text ? found.items.length : -1; // those that fit, -1 while not known or not needed
  const chosen = value && found.items.find((x) => x.id === value);
  const missing = n === 0, said = n > 0 ? t('playground.keyChoose', { n }) : chosen ? chosen.hint : help;
  return html`<${Field} label=${label} help=${missing || fault ? undefined : said} error=${missing ? none : fault}>
    ${(props) => html`<input class="input" ...${props} list=${options} autocomplete="off" spellcheck=${false} value=${text}
      onInput=${(e) => search(e.target.value)} placeholder=${placeholder} />
      <datalist id=${options}>${found.items.map((x) => html`<option key=${x.id} value=${nameOf(x)}>${x.name ? x.hint : ''}</option>`)}
        </datalist>`}<//>`;
}

const limits = { temperature: '0–2', top_p: '0–1', max_tokens: '', thinking: '' };

// Options is the left side: what is asked, of whom, and how.
export function Options({ form, set, models, faults, wide, onReset, children }) {
  const [resets, setResets] = useState(0);
  const reset = () => { setResets(resets + 1); onReset(); };
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
    <${KeyField} key=${'user' + resets} label=${t('playground.userKey')} help=${t('playground.userKeyHelp')}
      none=${t('playground.userKeyNone')} fault=${say('userKey')} list="keys/user" placeholder=${t('none')} value=${form.userKey}
      onChange=${(userKey) => set({ userKey })} />
    <${KeyField} key=${'gemini' + resets} label=${t('playground.geminiKey')} help=${t('playground.geminiKeyHelp')}
      none=${t('playground.geminiKeyNone')} fault=${say('geminiKey')} list="keys/gemini" placeholder=${t('playground.geminiKeyAny')}
      value=${form.geminiKey} onChange=${(geminiKey) => set({ geminiKey })} />
    <${Area} label=${t('playground.system')} rows=${3} value=${form.system} onInput=${(system) => set({ system })} />
    <div class="formgrid">${numbers.map(([name]) => number(name))}</div>
    <${Checkbox} label=${t('playground.search')} checked=${form.search} onChange=${(search) => set({ search })} />
    <details class="more"><summary>${t('playground.schema')}</summary><${Area} label=${t('playground.schemaLabel')} rows=${5}
      value=${form.schema} error=${say('schema')}
      spellcheck=${false} class="input mono" onInput=${(schema) => set({ schema })} /></details>
    ${children}<${Button} kind="quiet" icon="undo" onClick=${reset}>${t('playground.reset')}<//></div></aside>`;
}
