import { html, useState } from '../../vendor/preact.mjs';
import { t } from '../../lib/i18n.js';
import { Dialog } from '../../ui/dialog.js';
import { Button, ErrorNote } from '../../ui/parts.js';
import { labelOf, valueText } from './field.js';

// Review lists old → new before saving.
export function Review({ fields, changes, busy, error, onSave, onClose }) {
  const footer = html`<${Button} onClick=${onClose}>${t('settings.back')}<//><${Button} kind="primary" type="submit" busy=${busy}>
    ${t('save')}<//>`;
  return html`<${Dialog} title=${t('settings.reviewTitle', { n: changes.length })} onClose=${onClose} onSubmit=${onSave} footer=${footer}>
    ${error && html`<${ErrorNote} error=${error} />`}
    <div class="scroll" tabindex="0" role="region" aria-label=${t('settings.review')}><table class="plain"><thead><tr><th scope="col">
      ${t('settings.setting')}</th>
      <th scope="col">${t('settings.old')}</th><th scope="col">${t('settings.new')}</th></tr></thead>
      <tbody>${changes.map((c) => html`<tr key=${c.name}><th scope="row">${labelOf(c.name)}</th>
        <td class="oldvalue">${valueText(c.name, fields[c.name], c.old)}</td><td><b>${valueText(c.name, fields[c.name], c.new)}</b></td>
          </tr>`)}</tbody></table></div><//>`;
}

// Conflict is the three-way choice after 412: each field that both sides changed.
// onResolve gets {name: 'mine' | 'theirs'}.
export function Conflict({ fields, conflicts, onResolve, onClose }) {
  const [choices, setChoices] = useState(() => Object.fromEntries(conflicts.map((c) => [c.name, 'theirs'])));
  const footer = html`<${Button} onClick=${onClose}>${t('cancel')}<//><${Button} kind="primary" type="submit">${t('settings.resolve')}<//>`;
  return html`<${Dialog} title=${t('settings.conflict')} onClose=${onClose} onSubmit=${() => onResolve(choices)} footer=${footer}>
    <p>${t('settings.conflictText')}</p>
    ${conflicts.map((c) => html`<fieldset class="threeway" key=${c.name}><legend>${labelOf(c.name)} <small>
      ${t('settings.was', { value: valueText(c.name, fields[c.name], c.base) })}</small></legend>
      ${['theirs', 'mine'].map((side) => html`<label class="check" key=${side}><input type="radio" name=${c.name}
        checked=${choices[c.name] === side}
        onChange=${() => setChoices({ ...choices, [c.name]: side })} /><span>${t('settings.' + side)}: <b>
          ${valueText(c.name, fields[c.name], c[side])}</b></span></label>`)}</fieldset>`)}<//>`;
}
