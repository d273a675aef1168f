import { html, useId, useRef, useState } from '../vendor/preact.mjs';
import { t } from '../lib/i18n.js';
import { saidField } from '../lib/servertext.js';
import { Button, Icon, cls } from './parts.js';

// Field: a label, its control, help and error. children is a function of the
// control's props (id, aria-describedby, aria-invalid).
export function Field({ label, help, error, optional, unit, children, class: extra }) {
  const id = useId();
  const described = cls(help && id + 'h', error && id + 'e');
  return html`
    <div class=${cls('field', error && 'wrong', extra)}>
      <label for=${id}>${label}${optional && html` <small>${t('optional')}</small>`}</label>
      <div class="control">${children({ id, 'aria-describedby': described, 'aria-invalid': error ? 'true' : undefined })}
        ${unit && html`<small class="unit">${unit}</small>`}</div>
      ${help && html`<small id=${id + 'h'}>${help}</small>`}
      ${error && html`<small class="badtext" id=${id + 'e'} role="alert">${error}</small>`}
    </div>`;
}

const value = (fn) => (event) => fn(event.target.value);

// Text: a one-line field. onInput and onChange get the value; the rest goes to the input.
export const Text = ({ label, help, error, optional, unit, onInput, onChange, type = 'text', class: extra, ...rest }) => html`
  <${Field} label=${label} help=${help} error=${error} optional=${optional} unit=${unit} class=${extra}>
    ${(props) => html`<input class="input" type=${type} ...${props} ...${rest}
      onInput=${onInput && value(onInput)} onChange=${onChange && value(onChange)} />`}
  <//>`;

// Num: a number, or '' for none. onInput gets a number, null, or NaN while it is not one.
export const Num = ({ onInput, onChange, value: n, ...rest }) => {
  const parse = (fn) => fn && ((text) => fn(text.trim() === '' ? null : Number(text)));
  return html`<${Text} inputmode="decimal" autocomplete="off" value=${n ?? ''} onInput=${parse(onInput)} onChange=${parse(onChange)}
    ...${rest} />`;
};

export const Area = ({ label, help, error, optional, onInput, onChange, rows = 3, ...rest }) => html`
  <${Field} label=${label} help=${help} error=${error} optional=${optional}>
    ${(props) => html`<textarea class="input" rows=${rows} ...${props} ...${rest}
      onInput=${onInput && value(onInput)} onChange=${onChange && value(onChange)}></textarea>`}
  <//>`;

// Select: options [[value, text]].
export const Select = ({ label, help, error, options, value: chosen, onChange, ...rest }) => html`
  <${Field} label=${label} help=${help} error=${error}>
    ${(props) => html`<select class="input" ...${props} ...${rest} value=${chosen} onChange=${value(onChange)}>
      ${options.map(([v, text]) => html`<option key=${v} value=${v} selected=${v === chosen}>${text}</option>`)}</select>`}
  <//>`;

export const Checkbox = ({ label, help, checked, onChange, disabled }) => html`
  <label class="check"><input type="checkbox" checked=${checked} disabled=${disabled} onChange=${(e) => onChange(e.target.checked)} />
    <span>${label}${help && html`<small>${help}</small>`}</span></label>`;

// Switch: on or off at once. label names it when no text stands beside it.
export const Switch = ({ label, checked, onChange, disabled, id }) => html`
  <input type="checkbox" role="switch" class="switch" id=${id} checked=${checked} disabled=${disabled} aria-label=${label}
    onChange=${(e) => onChange(e.target.checked)} />`;

// splitTags reads "a, b，c" as tags: trimmed, each once.
export const splitTags = (text) => [...new Set(text.split(/[,，;；\n]+/).map((x) => x.trim()).filter(Boolean))];

// TagInput: tags with a cross each; Enter or a comma adds one. known are suggestions.
export function TagInput({ label, help, error, optional, tags, onChange, known = [], most = 10, longest = 24, disabled }) {
  const [typed, setTyped] = useState('');
  const input = useRef();
  const list = useId();
  const add = (text) => {
    const fresh = splitTags(text).map((x) => [...x].slice(0, longest).join('')).filter((x) => !tags.includes(x));
    setTyped('');
    if (fresh.length) onChange([...tags, ...fresh].slice(0, most));
  };
  const keys = (event) => {
    if (event.isComposing) return;
    if ((event.key === 'Enter' || event.key === ',' || event.key === '，') && typed.trim()) { event.preventDefault(); add(typed); }
    if (event.key === 'Backspace' && typed === '' && tags.length) onChange(tags.slice(0, -1));
  };
  const remove = (tag) => { onChange(tags.filter((x) => x !== tag)); input.current.focus(); };
  return html`
    <${Field} label=${label} help=${help} error=${error} optional=${optional}>
      ${(props) => html`
        <div class="input taginput" onClick=${(e) => e.target === e.currentTarget && input.current.focus()}>
          ${tags.map((tag) => html`<span class="tag" key=${tag}>${tag}
            ${!disabled && html`<button type="button" aria-label=${t('tag.remove', { tag })} onClick=${() => remove(tag)}>
              <${Icon} name="x" size=${12} /></button>`}</span>`)}
          <input ref=${input} ...${props} value=${typed} list=${list} autocomplete="off" disabled=${disabled || tags.length >= most}
            onInput=${(e) => setTyped(e.target.value)} onKeyDown=${keys} onBlur=${() => typed.trim() && add(typed)} />
          <datalist id=${list}>${known.filter((x) => !tags.includes(x)).map((x) => html`<option value=${x} />`)}</datalist>
        </div>`}
    <//>`;
}

// Password: a secret field with show/hide.
export function Password({ label, help, error, value: text, onInput, inputRef, autocomplete = 'current-password', ...rest }) {
  const [shown, show] = useState(false);
  return html`
    <${Field} label=${label} help=${help} error=${error}>
      ${(props) => html`
        <input class="input" type=${shown ? 'text' : 'password'} ref=${inputRef} spellcheck="false" autocapitalize="off"
          autocomplete=${autocomplete} value=${text} onInput=${value(onInput)} ...${props} ...${rest} />
        <${Button} kind="ghost" icon=${shown ? 'eyeOff' : 'eye'} label=${t(shown ? 'hide' : 'show')} onClick=${() => show(!shown)} />`}
    <//>`;
}

// FileDrop: choose or drop files. onFiles gets an array of File; accept as in <input>.
export function FileDrop({ onFiles, accept, multiple = false, children }) {
  const [over, setOver] = useState(false);
  const input = useRef();
  const take = (files) => { setOver(false); if (files.length) onFiles([...files].slice(0, multiple ? undefined : 1)); };
  return html`
    <div class=${cls('drop', over && 'over')} onDragOver=${(e) => { e.preventDefault(); setOver(true); }}
      onDragLeave=${() => setOver(false)}
      onDrop=${(e) => { e.preventDefault(); take(e.dataTransfer.files); }}>
      ${children}
      <${Button} icon="file" kind="quiet" onClick=${() => input.current.click()}>${t('file.choose')}<//>
      <input type="file" class="sr" tabindex="-1" aria-hidden="true" ref=${input} accept=${accept} multiple=${multiple}
        onChange=${(e) => { take(e.target.files); e.target.value = ''; }} />
    </div>`;
}

// problemsByField turns an ApiError's errors into { field: text } for the controls.
export function problemsByField(error) {
  return Object.fromEntries((error?.errors ?? []).map(({ field, code, message }) => [field, saidField(code, message)]));
}
