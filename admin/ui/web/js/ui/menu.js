import { html, useEffect, useId, useLayoutEffect, useRef, useState } from '../vendor/preact.mjs';
import { Button, Icon, cls } from './parts.js';

// place puts a menu beside its button, inside the window.
function place(menu, anchor) {
  const a = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = a.bottom + 4 + height <= innerHeight || a.top < height;
  const top = below ? a.bottom + 4 : a.top - height - 4;
  const start = a.left + width <= innerWidth - 8 ? a.left : a.right - width;
  menu.style.top = Math.max(8, Math.min(top, innerHeight - height - 8)) + 'px';
  menu.style.left = Math.max(8, Math.min(start, innerWidth - width - 8)) + 'px';
}

const itemsOf = (menu) => [...menu.querySelectorAll('[role^=menuitem]:not(:disabled)')];

function moveFocus(event, menu) {
  const items = itemsOf(menu);
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
  if (to !== undefined) {
    event.preventDefault();
    items[(to + items.length) % items.length]?.focus();
  } else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey) {
    const letter = event.key.toLowerCase();
    [...items.slice(at + 1), ...items].find((x) => x.textContent.trim().toLowerCase().startsWith(letter))?.focus();
  }
}

// MenuPopover: the open menu. items: { text, icon, act, danger, disabled, checked,
// hint, href } or null for a line; checked makes it a choice. anchor is an element.
export function MenuPopover({ items, anchor, label, onClose }) {
  const ref = useRef();
  useLayoutEffect(() => {
    const menu = ref.current;
    menu.showPopover();
    place(menu, anchor);
    (menu.querySelector('[aria-checked=true]') ?? itemsOf(menu)[0])?.focus();
    return () => {
      const { activeElement } = document;
      if (anchor.isConnected && (activeElement === document.body || menu.contains(activeElement))) anchor.focus();
    };
  }, []);
  useEffect(() => {
    const shut = (e) => { if (e.type !== 'scroll' || !ref.current?.contains(e.target)) onClose(); };
    addEventListener('resize', shut);
    addEventListener('scroll', shut, { capture: true, passive: true });
    return () => { removeEventListener('resize', shut); removeEventListener('scroll', shut, { capture: true }); };
  }, []);
  const keys = (event) => {
    event.stopPropagation();
    if (event.key === 'Escape' || event.key === 'Tab') { event.preventDefault(); onClose(); } else moveFocus(event, ref.current);
  };
  // The button gets the focus first, so that a dialog which the item opens gives it back there.
  const choose = (item) => () => { anchor.focus({ preventScroll: true }); onClose(); item.act?.(); };
  return html`
    <div class="menu" role="menu" popover="auto" ref=${ref} aria-label=${label} onKeyDown=${keys}
      onToggle=${(e) => { if (e.newState === 'closed') onClose(); }} onClick=${(e) => e.stopPropagation()}>
      ${items.map((item) => (item ? html`<${Item} item=${item} onChoose=${choose(item)} />` : html`<hr />`))}
    </div>`;
}

function Item({ item, onChoose }) {
  const choice = item.checked !== undefined;
  const inner = html`
    ${choice ? html`<${Icon} name="check" class=${item.checked ? undefined : 'off'} />` : item.icon && html`<${Icon} name=${item.icon} />`}
    <span>${item.text}</span>${item.hint && html`<small>${item.hint}</small>`}`;
  const shared = { role: choice ? 'menuitemradio' : 'menuitem', tabindex: -1, class: cls(item.danger && 'danger'), onClick: onChoose };
  if (item.href) return html`<a href=${item.href} ...${shared}>${inner}</a>`;
  return html`
    <button type="button" disabled=${item.disabled} aria-checked=${choice ? String(item.checked) : undefined} lang=${item.lang}
      ...${shared}>${inner}</button>`;
}

// MenuButton: a button that opens a menu. items may be a function, asked when it opens.
export function MenuButton({ items, label, icon, kind = 'ghost', children, disabled, class: extra }) {
  const [open, setOpen] = useState(false);
  const box = useRef();
  const wasOpen = useRef(false); // before this press, whose pointerdown has closed the popover already
  const id = useId();
  const press = (event) => setOpen(event.detail > 0 ? !wasOpen.current : !open);
  const list = open && (typeof items === 'function' ? items() : items);
  return html`
    <span class=${cls('menubox', extra)} ref=${box}>
      <${Button} icon=${icon} kind=${kind} label=${children ? undefined : label} disabled=${disabled} id=${id} aria-haspopup="menu"
        aria-expanded=${open ? 'true' : 'false'} onPointerDown=${() => (wasOpen.current = open)} onClick=${press}>${children}<//>
      ${open && html`<${MenuPopover} items=${list} label=${label} anchor=${box.current.firstElementChild}
        onClose=${() => setOpen(false)} />`}
    </span>`;
}
