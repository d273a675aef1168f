import { html, useState } from '../../vendor/preact.mjs';
import { saveFile } from '../../lib/api.js';
import { stamp } from '../../lib/format.js';
import { t } from '../../lib/i18n.js';
import { Dialog, confirm } from '../../ui/dialog.js';
import { Checkbox } from '../../ui/form.js';
import { Button, Note, Secret } from '../../ui/parts.js';
import { Snippets } from '../../ui/snippets.js';
import { keysCsv } from './spec.js';

// Created shows values that are never shown again: of one key with snippets, of
// many as a file. Closing asks until it was said that they are saved.
export function Created({ made, onClose }) {
  const many = made.items, [saved, setSaved] = useState(false);
  const close = async () => {
    if (!saved && !(await confirm({ title: t('users.leave'), text: t('users.leaveText'), confirm: t('users.leaveDo'),
      danger: true }))) return;
    onClose();
  };
  const file = () => { saveFile(keysCsv(many), 'user-keys-new.csv', 'text/csv'); setSaved(true); };
  const footer = html`<${Checkbox} label=${t('users.haveSaved')} checked=${saved} onChange=${setSaved} /><span class="grow"></span>
    <${Button} kind="primary" disabled=${!saved} onClick=${onClose}>${t('users.done')}<//>`;
  return html`<${Dialog} title=${many ? t('users.madeMany', { n: many.length }) : t('users.made', { name: made.name })} size="wide"
    onClose=${close} footer=${footer}>
    <${Note} kind="warn">${t('users.once')}<//>
    ${made.old_until && html`<p>${t('users.oldUntil', { at: stamp(made.old_until) })}</p>`}
    ${many ? html`<${Button} kind="primary" icon="download" onClick=${file}>${t('users.saveCsv', { n: many.length })}<//>`
      : html`<${Secret} value=${made.key} label=${t('users.value')} />
        <h3>${t('users.use')}</h3><${Snippets} secret=${made.key} model=${modelFor(made)} label=${t('users.use')} />`}<//>`;
}

// modelFor takes the first plain name that the key may use.
const modelFor = (key) => key.models?.find((m) => !/[*?]/.test(m)) ?? 'gemini-flash-latest';
