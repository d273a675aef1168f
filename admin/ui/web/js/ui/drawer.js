import { html, useId } from '../vendor/preact.mjs';
import { t } from '../lib/i18n.js';
import { useModal } from './dialog.js';
import { Button, cls } from './parts.js';

// Drawer: a panel at the side. title and subtitle head it; side 'left' for the
// menu. The page keeps which one is open in its address, so that Back closes it.
export function Drawer({ title, subtitle, children, onClose, side, wide, label }) {
  const id = useId();
  const { ref, ...events } = useModal(onClose);
  return html`
    <dialog class=${cls('drawer', side, wide && 'wide')} ref=${ref} aria-labelledby=${title ? id : undefined}
      aria-label=${title ? undefined : label} ...${events}>
      <div class="in">
        ${title && html`<header><div><h2 id=${id}>${title}</h2>${subtitle}</div>
          <${Button} icon="x" kind="ghost" label=${t('close')} onClick=${onClose} /></header>`}
        ${children}
      </div>
    </dialog>`;
}
