import { html, useEffect, useRef, useState } from '../../vendor/preact.mjs';
import { has, t } from '../../lib/i18n.js';
import { MenuButton } from '../../ui/menu.js';
import { Button, Icon, LinkButton } from '../../ui/parts.js';
import { chips, clean, fields } from './filter.js';

const byName = Object.fromEntries(fields.map((f) => [f.name, f]));

// valueText is a value in words: choices are translated, the rest is as typed.
export function valueText(name, value) {
  const key = `requests.${name}.${value}`;
  if (has(key)) return t(key);
  return name === 'min_ms' ? `≥ ${value} ms` : name === 'min_attempts' ? `≥ ${value}` : value;
}

function Editor({ name, value, suggestions, onSet, onCancel }) {
  const field = byName[name], [text, setText] = useState(value ?? ''), [wrong, setWrong] = useState(false), ref = useRef();
  useEffect(() => ref.current?.focus(), []);
  const submit = (event) => {
    event.preventDefault();
    if (!text.trim()) return onCancel();
    const good = clean(name, text);
    if (good) onSet(good);
    else setWrong(true);
    return undefined;
  };
  const keys = (event) => { if (event.key === 'Escape') { event.stopPropagation(); onCancel(); } };
  const list = suggestions?.[name];
  return html`<form class="chipform" onSubmit=${submit} onKeyDown=${keys}>
    <label><span>${t('requests.filter.' + name)}</span>
    ${field.kind === 'choice' ? html`<select class="input" ref=${ref} value=${text} onChange=${(e) => setText(e.target.value)}>
        <option value="">–</option>${field.options.map((o) => html`<option key=${o} value=${o} selected=${o === text}>
          ${valueText(name, o)}</option>`)}</select>`
      : html`<input class="input" ref=${ref} value=${text} inputmode=${field.kind === 'number' ? 'numeric' : undefined}
        list=${list ? 'sug-' + name : undefined}
        autocomplete="off" spellcheck=${false} aria-invalid=${wrong ? 'true' : undefined} onInput=${(e) => { setText(e.target.value);
          setWrong(false); }} />`}</label>
    ${list && html`<datalist id=${'sug-' + name}>${list.map((v) => html`<option key=${v} value=${v} />`)}</datalist>`}
    <${Button} type="submit" kind="primary" icon="check" label=${t('requests.filter.apply')} />
    <${Button} kind="ghost" icon="x" label=${t('cancel')} onClick=${onCancel} />
    ${wrong && html`<small class="badtext" role="alert">${t('requests.filter.wrong', { min: field.min ?? '', max: field.max
      ?? '' })}</small>`}</form>`;
}

// FilterBar: one chip per set field, each to be edited or removed, and a menu of the others.
// names turns ids into names for the reader ({user: {id: name}}).
export function FilterBar({ filter, onChange, suggestions, names }) {
  const [editing, setEditing] = useState(null);
  const set = (name, value) => { setEditing(null); onChange({ ...filter, [name]: value }); };
  const remove = (name) => { const { [name]: _, ...rest } = filter; onChange(rest); };
  const active = chips(filter), free = fields.filter((f) => !filter[f.name]);
  return html`<div class="chips" role="group" aria-label=${t('requests.filters')}>
    ${active.map(([name, value]) => (editing === name
      ? html`<${Editor} key=${name} name=${name} value=${value} suggestions=${suggestions} onSet=${(v) => set(name, v)}
        onCancel=${() => setEditing(null)} />`
      : html`<span class="chip" key=${name}><button type="button" class="chiptext" onClick=${() => setEditing(name)}>
          <small>${t('requests.filter.' + name)}</small> <b>${names?.[name]?.[value] ?? valueText(name, value)}</b></button>
        <button type="button" class="chipx" aria-label=${t('requests.filter.remove', { name: t('requests.filter.' + name) })}
          onClick=${() => remove(name)}>
          <${Icon} name="x" size=${13} /></button></span>`))}
    ${editing && !filter[editing]
      ? html`<${Editor} key=${'new' + editing} name=${editing} suggestions=${suggestions} onSet=${(v) => set(editing, v)}
        onCancel=${() => setEditing(null)} />`
      : html`<${MenuButton} icon="filter" kind="" label=${t('requests.filter.add')}
          items=${free.map((f) => ({ text: t('requests.filter.' + f.name), act: () => setEditing(f.name) }))}>
            ${t('requests.filter.add')}<//>`}
    ${active.length > 1 && html`<${LinkButton} onClick=${() => onChange(filter.from ? { from: filter.from, to: filter.to }
      : { window: filter.window })}>
      ${t('requests.filter.clear')}<//>`}</div>`;
}
