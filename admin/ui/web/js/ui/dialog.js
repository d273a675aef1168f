import { html, signal, useEffect, useId, useLayoutEffect, useRef, useState } from '../vendor/preact.mjs';
import { full } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { Button, ErrorNote, cls } from './parts.js';

// modals are the open dialogs, the newest last: what must stay usable over them goes into it.
export const modals = signal([]);

const firstField = '.body :is(input:not([type=checkbox], [type=radio], .sr), textarea, select):not(:disabled)';

// useModal opens a <dialog> while its component lives and gives the focus back
// afterwards. A dialog's first field gets the focus. onClose is called for Esc, the backdrop and close().
export function useModal(onClose, { locked = false } = {}) {
  const ref = useRef();
  useLayoutEffect(() => {
    const el = ref.current;
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    el.showModal();
    /** @type {HTMLElement | null} */
    const field = el.querySelector(firstField);
    field?.focus();
    modals.value = [...modals.value, el];
    return () => {
      modals.value = modals.value.filter((x) => x !== el);
      if (el.open) el.close();
      if (before?.isConnected) before.focus({ preventScroll: true });
    };
  }, []);
  const pressed = useRef(null);
  return {
    ref,
    onCancel: (e) => { if (e.target === ref.current) { e.preventDefault(); if (!locked) onClose(); } },
    onPointerDown: (e) => (pressed.current = e.target),
    onClick: (e) => { if (!locked && e.target === ref.current && pressed.current === ref.current) onClose(); },
  };
}

// Dialog: title, children, footer (buttons). size 'small', 'wide'. locked: only
// its own buttons close it. onSubmit makes it a form: Enter submits.
export function Dialog({ title, children, footer, onClose, size, locked = false, onSubmit, closable = !locked }) {
  const id = useId();
  const { ref, ...events } = useModal(onClose, { locked });
  const body = html`
    <header><h2 id=${id}>${title}</h2>
      ${closable && html`<${Button} icon="x" kind="ghost" label=${t('close')} onClick=${onClose} />`}</header>
    <div class="body">${children}</div>
    ${footer && html`<footer>${footer}</footer>`}`;
  const submit = (e) => { e.preventDefault(); onSubmit(e); };
  return html`
    <dialog class=${cls('dialog', size)} ref=${ref} aria-labelledby=${id} ...${events}>
      ${onSubmit ? html`<form class="in" onSubmit=${submit} novalidate>${body}</form>` : html`<div class="in">${body}</div>`}
    </dialog>`;
}

const open = signal(null); // { options, resolve }

// confirm asks before something that cannot be undone at once. Options: title,
// text, confirm (button text), danger, count (must be typed), act (async; an
// error is shown and the dialog stays). It answers true when done.
export function confirm(options) {
  open.value?.resolve(false);
  return new Promise((resolve) => (open.value = { options, resolve }));
}

function Question({ options, resolve }) {
  const [typed, setTyped] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const end = (value) => { open.value = null; resolve(value); };
  const needed = options.count === undefined || typed.replace(/[^\d]/g, '') === String(options.count);
  const submit = async () => {
    if (!needed || busy) return;
    try {
      setBusy(true);
      await options.act?.();
      end(true);
    } catch (e) {
      setError(e);
      setBusy(false);
    }
  };
  const footer = html`
    <${Button} onClick=${() => end(false)}>${t('cancel')}<//>
    <${Button} type="submit" kind=${options.danger ? 'primary bad' : 'primary'} disabled=${!needed} busy=${busy}>
      ${options.confirm ?? t('ok')}<//>`;
  return html`
    <${Dialog} title=${options.title} size="small" footer=${footer} onSubmit=${submit} onClose=${() => end(false)}>
      ${options.text && html`<p>${options.text}</p>`}
      ${options.children}
      ${options.count !== undefined && html`
        <label class="field"><span>${t('confirm.type', { n: full(options.count) })}</span>
          <input class="input" inputmode="numeric" autocomplete="off" value=${typed} onInput=${(e) => setTyped(e.target.value)} /></label>`}
      ${error && html`<${ErrorNote} error=${error} />`}
    <//>`;
}

// Questions shows what confirm asks; the shell holds one.
export function Questions() {
  const current = open.value;
  useEffect(() => () => current?.resolve(false), []);
  return current && html`<${Question} key=${current} ...${current} />`;
}
