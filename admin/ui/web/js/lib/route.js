import { signal } from '../vendor/preact.mjs';
import { formatHash, parseHash } from './query.js';

// The hash holds page, filters, order and the open drawer, so that every view can be linked.
export const route = signal(parseHash(location.hash));
export const href = formatHash;

let guard = null; // asks before the page is left; null lets go
let settled = location.hash;

// guardLeaving makes leaving this page ask ask() first (true = leave). It returns the release.
export function guardLeaving(ask) {
  guard = ask;
  return () => { if (guard === ask) guard = null; };
}

async function changed() {
  const next = parseHash(location.hash);
  if (guard && next.path !== route.value.path) {
    const wanted = location.hash;
    history.replaceState(null, '', settled || '#/');
    if (!(await guard())) return;
    guard = null;
    history.pushState(null, '', wanted);
  }
  settled = location.hash;
  route.value = parseHash(location.hash);
}
addEventListener('hashchange', changed);

export function go(path, values) {
  location.hash = formatHash(path, values);
}

// setQuery changes parameters of the present page: undefined or '' removes one.
// push makes a history entry (a drawer, that Back closes); else it replaces (a filter).
export function setQuery(patch, { push = false } = {}) {
  const values = { ...Object.fromEntries(route.value.q), ...patch };
  const hash = formatHash(route.value.path, values);
  if (hash === location.hash) return;
  history[push ? 'pushState' : 'replaceState'](null, '', hash);
  settled = hash;
  route.value = parseHash(hash);
}
