import { signal } from '../vendor/preact.mjs';

// now ticks once a second while the tab is visible. Only what reads it in its
// own render is drawn again: keep it inside small components (Ago, Countdown).
export const now = signal(Date.now());

// skew is the server's clock minus ours. Dates of answers are whole seconds, so
// that less than two says nothing.
export const skew = signal(0);

export function setServerTime(iso) {
  const at = Date.parse(iso);
  const found = at - Date.now();
  if (Math.abs(found - skew.value) >= 2000) skew.value = Math.abs(found) < 2000 ? 0 : found;
}

// serverNow is the server's present time in ms, as far as we know.
export const serverNow = () => Date.now() + skew.value;

if (globalThis.document) {
  setInterval(() => { if (!document.hidden) now.value = Date.now(); }, 1000);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) now.value = Date.now(); });
}
