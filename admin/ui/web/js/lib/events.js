import { effect, signal, useEffect } from '../vendor/preact.mjs';
import { api, root } from './api.js';
import { setServerTime } from './clock.js';
import { noteBuild, phase, session } from './session.js';

// One EventSource per tab. It is closed while signed out and after 30 s hidden
// (plain HTTP/1.1 allows six connections per host), and opened again with a
// back-off of 1 to 30 s after a fault.

export const live = signal(null); // newest Stats, null before the first
export const online = signal(false);
export const lastHeard = signal(0); // when the last event came, ms

const handlers = new Map(); // event name → Set of functions
const extra = new Map(); // topic → how many want it
const always = ['stats', 'keys', 'jobs', 'config'];
const names = ['hello', 'stats', 'keys', 'job', 'request', 'config', 'bye'];
const hiddenAfter = 30_000;

let source = null;
let failures = 0;
let retry = 0;
let hiding = 0;

// on calls fn with the data of each event of that name; it returns the release.
export function on(name, fn) {
  if (!handlers.has(name)) handlers.set(name, new Set());
  handlers.get(name).add(fn);
  return () => handlers.get(name).delete(fn);
}

// useEvent is on() for the life of a component.
export function useEvent(name, fn, deps) {
  useEffect(() => on(name, fn), deps);
}

// useTopic adds a topic (requests) to the stream while a component lives.
export function useTopic(topic, wanted = true) {
  useEffect(() => {
    if (!wanted) return undefined;
    extra.set(topic, (extra.get(topic) ?? 0) + 1);
    if (extra.get(topic) === 1) reopen();
    return () => {
      extra.set(topic, extra.get(topic) - 1);
      if (extra.get(topic) === 0) reopen();
    };
  }, [topic, wanted]);
}

function dispatch(name, event) {
  failures = 0;
  online.value = true;
  lastHeard.value = Date.now();
  const data = event.data ? JSON.parse(event.data) : null;
  if (name === 'hello') {
    setServerTime(data.server_time);
    noteBuild(data.ui_hash);
  }
  if (name === 'stats') live.value = data;
  if (name === 'bye') { close(); later(); }
  for (const fn of handlers.get(name) ?? []) fn(data);
}

function open() {
  clearTimeout(retry);
  if (source || phase.value !== 'in') return;
  const topics = [...always, ...[...extra].filter(([, n]) => n > 0).map(([topic]) => topic)];
  const es = new EventSource(new URL('events?topics=' + topics.join(','), root));
  source = es;
  es.onopen = () => { if (source === es) { online.value = true; lastHeard.value = Date.now(); } };
  es.onerror = () => {
    if (source !== es) return;
    close();
    later();
  };
  for (const name of names) es.addEventListener(name, (event) => { if (source === es) dispatch(name, event); });
}

function close() {
  source?.close();
  source = null;
  online.value = false;
}

function reopen() {
  if (!source) return;
  source.close();
  source = null;
  open();
}

// later opens again after 1, 2, 4 … 30 s, with some scatter so that tabs do not
// come back all at once. EventSource does not tell a 401 from a broken line, so
// the session is asked for first.
function later() {
  clearTimeout(retry);
  const wait = Math.min(30_000, 1000 * 2 ** failures++) * (0.8 + 0.4 * Math.random());
  retry = setTimeout(async () => {
    if (document.hidden && !source && hiding === -1) return;
    try { await api('session'); } catch { if (phase.value === 'in') later(); return; }
    open();
  }, wait);
}

function visibility() {
  clearTimeout(hiding);
  hiding = 0;
  if (document.hidden) {
    hiding = setTimeout(() => { hiding = -1; clearTimeout(retry); close(); }, hiddenAfter);
  } else if (!source) {
    failures = 0;
    open();
  }
}

export function startEvents() {
  document.addEventListener('visibilitychange', visibility);
  addEventListener('online', () => { failures = 0; open(); });
  const key = () => session.value && phase.value === 'in';
  effect(() => (key() ? open() : close()));
}
