import { html, useEffect, useId, useState } from '../../vendor/preact.mjs';
import { del, patch } from '../../lib/api.js';
import { has, t } from '../../lib/i18n.js';
import { isAdmin } from '../../lib/session.js';
import { Switch } from '../../ui/form.js';
import { Icon, LinkButton, cls } from '../../ui/parts.js';
import { attempt, undoable } from '../../ui/toast.js';
import { kind, parse, same, shown } from './diff.js';

export const labelOf = (name) => (has('settings.field.' + name) ? t('settings.field.' + name) : name);
const helpOf = (name) => (has('settings.help.' + name) ? t('settings.help.' + name) : '');
const optionText = (name, option) => (has(`settings.option.${name}.${option}`) ? t(`settings.option.${name}.${option}`) : option);

// valueText is a value in words, for Review and the three-way choice.
export function valueText(name, field, value) {
  if (kind(field) === 'switch') return t(value ? 'settings.on' : 'settings.off');
  if (kind(field) === 'word') return optionText(name, value);
  return `${shown(field, value)}${unitOf(field) ? ' ' + unitOf(field) : ''}` || '–';
}

const unitOf = (field) => (field.unit && field.unit !== 'bytes' ? (has('settings.unit.' + field.unit) ? t('settings.unit.' + field.unit)
  : field.unit) : '');

// faultText says what is wrong with what was typed.
export const faultText = ({ error, min, max }) => (has('settings.fault.' + error) ? t('settings.fault.' + error, { min: min ?? '',
  max: max ?? '' }) : error);

function Control({ name, field, value, fault, props, onPut, onFault }) {
  const what = kind(field), [text, setText] = useState(shown(field, value));
  // What is not right stays as it was typed, until it is discarded.
  useEffect(() => { if (!fault && !same(parse(field, text).value, value)) setText(shown(field, value)); }, [value, field, Boolean(fault)]);
  if (what === 'switch') return html`<${Switch} id=${props.id} label=${labelOf(name)} checked=${value === true} disabled=${props.disabled}
    onChange=${onPut} />`;
  if (what === 'word') {
    return html`<select class="input" ...${props} value=${value} onChange=${(e) => onPut(e.target.value)}>${field.options.map((o) => html`
      <option key=${o} value=${o} selected=${o === value}>${optionText(name, o)}</option>`)}</select>`;
  }
  const type = (event) => {
    setText(event.target.value);
    const read = parse(field, event.target.value);
    if (read.error) onFault(read);
    else onPut(read.value);
  };
  return html`<input class="input" ...${props} value=${text} autocomplete="off" spellcheck=${false}
    inputmode=${what === 'count' ? 'numeric' : what === 'share' || what === 'usd' ? 'decimal' : undefined} onInput=${type} />
    ${unitOf(field) && html`<small class="unit">${unitOf(field)}</small>`}`;
}

function Source({ name, field, changed, onDefault }) {
  if (field.locked) {
    return html`<span class="source locked"><${Icon} name="lock" size=${13} />${t('settings.lockedBy')} <code>${field.directive
      ?? name}</code></span>`;
  }
  return html`<span class="source">${changed ? html`<b class="changed">${t('settings.changed')}</b>`
    : t('settings.source.' + (field.source ?? 'default'))}
    ${!changed && field.source === 'store' && isAdmin.value && html` <${LinkButton} onClick=${onDefault}>
      ${t('settings.toDefault')}<//>`}</span>`;
}

// SettingField is one row: label, help, control, where the value comes from, what is wrong.
export function SettingField({ name, field, draft, fault, onPut, onFault, onServer }) {
  const id = useId(), changed = name in draft, value = changed ? draft[name] : field.value, locked = field.locked || !isAdmin.value;
  const toDefault = () => attempt(async () => {
    const before = field.value;
    onServer(await del('config/' + name));
    undoable(t('settings.defaulted', { name: labelOf(name) }), async () => onServer(await patch('config', { [name]: before })));
  });
  const described = [helpOf(name) && id + 'h', id + 's', fault && id + 'e'].filter(Boolean).join(' ');
  const props = { id, disabled: locked, 'aria-describedby': described, 'aria-invalid': fault ? 'true' : undefined };
  return html`<div class=${cls('setting', fault && 'wrong', field.locked && 'islocked')} id=${'setting-' + name}>
    <div class="what"><label for=${id}>${labelOf(name)}</label>${helpOf(name) && html`<small id=${id + 'h'}>${helpOf(name)}</small>`}</div>
    <div class="how"><div class="control"><${Control} name=${name} field=${field} value=${value} fault=${fault} props=${props}
        onPut=${(v) => onPut(name, v)} onFault=${(f) => onFault(name, f)} /></div>
      ${fault && html`<small class="badtext" id=${id + 'e'} role="alert">${typeof fault === 'string' ? fault : faultText(fault)}</small>`}
      <small id=${id + 's'}><${Source} name=${name} field=${field} changed=${changed} onDefault=${toDefault} />
        ${(changed || !same(field.value, field.default))
          && html`<span>${t('settings.default', { value: valueText(name, field, field.default) })}</span>`}
        ${field.effect && has('settings.effect.' + field.effect) && html`<span>${t('settings.effect.' + field.effect)}</span>`}</small>
          </div></div>`;
}
