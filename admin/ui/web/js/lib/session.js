import { computed, signal } from '../vendor/preact.mjs';
import { ApiError, api, ask, del, post } from './api.js';
import { now, setServerTime, skew } from './clock.js';

// session is who we are (the API's Session), null while signed out.
export const session = signal(null);
// phase: starting, setup (nothing to sign in with yet), out, in.
export const phase = signal('starting');
export const setup = signal(null); // answer of GET setup
// What the page asks for over its content: 'signin', 'sudo' or null.
export const asking = signal(null);
// version is the build that the server runs now; ours came with this page.
export const outdated = signal(false);

// ourHash is the content hash in the path that this module was loaded from.
export const ourHash = /\/ui\/([^/]+)\/js\//.exec(import.meta.url)?.[1] ?? '';

export const isAdmin = computed(() => session.value?.role === 'admin');

let waiting = null; // the promise of the open question

const channel = globalThis.BroadcastChannel ? new BroadcastChannel('gb.session') : null;

function adopt(s) {
  setServerTime(s.server_time);
  idleMs = Math.max(60_000, Date.parse(s.idle_ends_at) - Date.parse(s.server_time) || idleMs);
  session.value = s;
  phase.value = 'in';
  noteBuild(s.ui_hash);
}

// noteBuild compares the build that the server serves with the one shown.
export function noteBuild(hash) {
  if (hash && ourHash && hash !== ourHash) outdated.value = true;
}

export async function start() {
  try {
    adopt(await api('session', { plain: true }));
  } catch (e) {
    if (e.status !== 401 && e.status !== 403) throw e;
    await findSetup();
  }
}

// findSetup decides between the set-up page and the sign-in page.
async function findSetup() {
  try { setup.value = await api('setup', { plain: true }); } catch { setup.value = null; }
  phase.value = setup.value?.needed ? 'setup' : 'out';
}

export async function signIn(key, keep) {
  adopt(await post('session', { key: key.trim().replace(/^Bearer\s+/i, ''), keep }, { plain: true }));
  channel?.postMessage({ kind: 'in' });
  answer(true);
}

// adoptNew takes over the session that another call has opened (set-up).
export const adoptNew = async () => adopt(await api('session', { plain: true }));

export async function signOut() {
  try { await del('session', { plain: true }); } catch (e) { if (e.status !== 401) throw e; }
  ended();
  channel?.postMessage({ kind: 'out' });
}

function ended() {
  session.value = null;
  phase.value = 'out';
  answer(false);
}

export async function sudo(key) {
  const { sudo_until } = await post('session/sudo', { key: key.trim().replace(/^Bearer\s+/i, '') }, { plain: true });
  session.value = { ...session.value, sudo_until };
  answer(true);
}

// answer closes the open question: true repeats the calls that wait for it.
export function answer(value) {
  asking.value = null;
  waiting?.resolve(value);
  waiting = null;
}

function question(kind) {
  if (waiting?.kind === kind) return waiting.promise;
  waiting?.resolve(false);
  let resolve;
  const promise = new Promise((r) => (resolve = r));
  waiting = { kind, promise, resolve };
  asking.value = kind;
  return promise;
}

ask.signIn = async () => (phase.value === 'in' ? question('signin') : false);
ask.sudo = async () => question('sudo');

// Time ---------------------------------------------------------------------

let idleMs = 30 * 60_000; // what one sign of life is good for
let lastPing = Date.now();

const toLocal = (iso) => Date.parse(iso) - skew.value;

// endsIn is the time in ms until the session ends, Infinity while signed out.
export const endsIn = computed(() => {
  const s = session.value;
  if (!s || s.via === 'header') return Infinity;
  return Math.min(toLocal(s.idle_ends_at), toLocal(s.ends_at)) - now.value;
});
// final tells that a sign of life would not prolong it.
export const final = computed(() => session.value && toLocal(session.value.ends_at) <= toLocal(session.value.idle_ends_at));
export const sudoLeft = computed(() => {
  const until = session.value?.sudo_until;
  return until ? Math.max(0, toLocal(until) - now.value) : 0;
});

function prolonged(at) {
  lastPing = at;
  const s = session.value;
  if (s) session.value = { ...s, idle_ends_at: new Date(at + skew.value + idleMs).toISOString() };
}

// stay tells the server that somebody is here.
export async function stay() {
  lastPing = Date.now();
  try {
    await post('session/ping', {}, { plain: true });
    prolonged(Date.now());
    channel?.postMessage({ kind: 'alive', at: Date.now() });
  } catch (e) {
    if (e instanceof ApiError && e.status === 401) question('signin');
  }
}

// watchInput sends a ping for real input, at most one a minute.
export function watchInput() {
  const alive = () => { if (phase.value === 'in' && !asking.value && Date.now() - lastPing > 60_000) stay(); };
  for (const kind of ['pointerdown', 'keydown', 'wheel', 'touchstart']) addEventListener(kind, alive, { passive: true });
  channel?.addEventListener('message', ({ data }) => {
    if (data.kind === 'out') ended();
    if (data.kind === 'alive') prolonged(data.at);
    if (data.kind === 'in' && phase.value !== 'in') start();
    if (data.kind === 'in' && asking.value === 'signin') api('session', { plain: true }).then((s) => { adopt(s); answer(true); }, () => {});
  });
}
