import { api, root } from '../../lib/api.js';
import { gateway } from './base.js';
import { dialects, request } from './dialects.js';
import { emptyReply, failure, fold, read, sseReader } from './stream.js';

// The key of the playground: made for this session, 10 minutes, in memory only.
const tokens = new Map(); // what it is for → {key, until}

const nameOf = (userKey, geminiKey) => `${userKey ?? ''} ${geminiKey ?? ''}`;

async function token(userKey, geminiKey, signal) {
  const name = nameOf(userKey, geminiKey), known = tokens.get(name);
  if (known && known.until - Date.now() > 30_000) return known.key;
  const body = { user_key: userKey || undefined, gemini_key: geminiKey || undefined };
  const made = await api('playground/token', { method: 'POST', body, signal });
  tokens.set(name, { key: made.key, until: Date.parse(made.expires_at) });
  return made.key;
}

// forget drops the keys, when the page is left.
export const forget = () => tokens.clear();

const fact = (headers, name) => headers.get(name) ?? '';

// factsOf reads what the answer's header tells of how it was served.
const factsOf = (response) => ({
  status: response.status,
  requestId: fact(response.headers, 'x-request-id'),
  model: fact(response.headers, 'x-gemini-balance-model'),
  key: fact(response.headers, 'x-gemini-balance-key'),
  attempts: Number(fact(response.headers, 'x-gemini-balance-attempts')) || 0,
  retryAfter: Number(fact(response.headers, 'retry-after')) || 0,
});

const MOST_RAW = 2000; // raw events that are kept for their tab

// send streams one turn through the real route. onChange gets {reply, facts, times,
// raw} at most once a frame; it answers the last of these. Stopping by signal is no
// error. userKey has limits and books, geminiKey alone serves; key is used instead of
// one of the playground's.
/** @param {any} form @param {any[]} turns
 * @param {{ userKey?: string, geminiKey?: string, key?: string, signal: AbortSignal, onChange: (state: any) => void }} how */
export async function send(form, turns, { userKey, geminiKey, key: given, signal, onChange }) {
  const built = request(form, turns);
  const state = { reply: emptyReply(), facts: null, times: { start: performance.now(), first: null, end: null }, raw: [], dropped: 0,
    stopped: false };
  let frame = 0;
  const show = () => { frame ||= requestAnimationFrame(() => { frame = 0; onChange({ ...state }); }); };
  const take = (event) => {
    if (state.raw.length < MOST_RAW) state.raw.push({ at: performance.now() - state.times.start, ...event });
    else state.dropped++;
    const events = read(form.dialect, event);
    if (state.times.first === null && events.some((e) => e.type === 'text' || e.type === 'thought'
      || e.type === 'image')) state.times.first = performance.now();
    state.reply = fold(state.reply, events);
    show();
  };
  try {
    const key = given ?? await token(userKey, geminiKey, signal);
    state.times.start = performance.now();
    const response = await fetch(new URL(`../${built.path}`, root), {
      method: 'POST', signal, credentials: 'omit', body: JSON.stringify(built.body),
      headers: { 'Content-Type': 'application/json', ...built.headers, ...dialects[form.dialect].authorize(key) },
    });
    state.facts = factsOf(response);
    if (response.status === 401) tokens.delete(nameOf(userKey, geminiKey));
    if (!response.ok || !/event-stream/.test(response.headers.get('content-type') ?? '')) await whole(response, form, state);
    else await stream(response, take);
  } catch (error) {
    if (error.name === 'AbortError') state.stopped = true;
    else state.reply = fold(state.reply, [{ type: 'error', message: error.detail || error.message, code: error.code || error.status
      || '' }]);
  }
  cancelAnimationFrame(frame);
  state.times.end = performance.now();
  onChange({ ...state });
  complete(state, onChange, signal);
  return state;
}

// complete adds from the log what the header could not tell: the key's mask, the cost, and of
// streams that began with a heartbeat key and attempts. The
// log is written behind, so it is asked twice.
async function complete(state, onChange, signal) {
  if (!state.facts?.requestId || state.stopped) return;
  for (const wait of [250, 1500]) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    if (signal.aborted) return;
    try {
      const logged = await api('requests', { query: { request_id: state.facts.requestId, limit: 1 }, plain: true });
      const found = logged.items[0];
      if (!found) continue;
      state.facts = { ...state.facts, key: found.key_id || state.facts.key, hint: found.key_hint, attempts: found.attempts,
        cost: found.cost_nano };
      onChange({ ...state });
      return;
    } catch { return; }
  }
}

async function stream(response, take) {
  const reader = sseReader(), text = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await text.read();
    if (done) break;
    reader.feed(value).forEach(take);
  }
  reader.end().forEach(take);
}

// whole takes an answer that is no stream: an error, or JSON in one piece.
async function whole(response, form, state) {
  const text = await response.text();
  state.raw.push({ at: performance.now() - state.times.start, event: `HTTP ${response.status}`, data: text });
  const events = response.ok ? read(form.dialect, { data: text }) : [failure(text, response.status)];
  state.reply = fold(state.reply, events);
}

export const address = gateway;
