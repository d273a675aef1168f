// The filter of the request log: what the address bar holds, what the API is
// asked, and which live rows belong to it. No DOM, so that node can test it.

export const windows = { '1h': 3600, '6h': 6 * 3600, '24h': 86400, '7d': 7 * 86400 };
export const classes = ['ok', 'retried', 'client_error', 'failed'];
export const dialects = ['openai', 'anthropic', 'gemini'];

// One row per filter chip: its name is that of the API's query parameter.
export const fields = [
  { name: 'class', kind: 'choice', options: classes },
  { name: 'status', kind: 'number', min: 100, max: 599 },
  { name: 'code', kind: 'text' },
  { name: 'reason', kind: 'text' },
  { name: 'model', kind: 'text' },
  { name: 'user', kind: 'text' },
  { name: 'key', kind: 'text' },
  { name: 'dialect', kind: 'choice', options: dialects },
  { name: 'min_ms', kind: 'number', min: 0, max: 86_400_000 },
  { name: 'min_attempts', kind: 'number', min: 1, max: 100 },
  { name: 'request_id', kind: 'text' },
];
const byName = Object.fromEntries(fields.map((f) => [f.name, f]));

// clean gives the value as the API takes it, or '' for what makes no sense.
export function clean(name, value) {
  const f = byName[name], text = String(value ?? '').trim();
  if (!f || !text) return '';
  if (f.kind === 'choice') return f.options.includes(text) ? text : '';
  if (f.kind === 'text') return text.slice(0, 256);
  const n = Number(text);
  return Number.isInteger(n) && n >= f.min && n <= f.max ? String(n) : '';
}

const instant = (text) => {
  const at = Date.parse(text ?? '');
  return Number.isNaN(at) ? null : new Date(at).toISOString();
};

// readFilter takes the query of the address; what does not parse is left out, so
// that an old or mistyped link still opens.
/** @typedef {{ from?: string, to?: string, window?: string, [name: string]: string | undefined }} Filter */
/** @returns {Filter} */
export function readFilter(query) {
  /** @type {Filter} */
  const filter = {};
  for (const { name } of fields) {
    const value = clean(name, query.get(name));
    if (value) filter[name] = value;
  }
  const from = instant(query.get('from')), to = instant(query.get('to'));
  if (from && to && from < to) return { ...filter, from, to };
  const window = query.get('window');
  return { ...filter, window: Object.hasOwn(windows, window ?? '') ? window : '24h' };
}

// writeFilter is the reverse: 24h is the default and is not written.
/** @param {Filter} filter */
export function writeFilter({ window, ...rest }) {
  return window && window !== '24h' && !rest.from ? { ...rest, window } : rest;
}

// brushed narrows to a span of time, in seconds as charts count; whole seconds,
// at least one.
/** @param {Filter} filter @param {number} fromSeconds @param {number} toSeconds */
export function brushed({ window: _, ...rest }, fromSeconds, toSeconds) {
  const from = Math.floor(Math.min(fromSeconds, toSeconds));
  const to = Math.max(from + 1, Math.ceil(Math.max(fromSeconds, toSeconds)));
  return { ...rest, from: new Date(from * 1000).toISOString(), to: new Date(to * 1000).toISOString() };
}

// apiQuery turns a window into a start: the API knows only from and to. now is in ms.
/** @param {Filter} filter @param {number} now */
export function apiQuery({ window, ...rest }, now) {
  if (rest.from) return rest;
  return { ...rest, from: new Date(Math.floor((now - windows[window] * 1000) / 1000) * 1000).toISOString() };
}

// chips lists what is set, in the order of fields.
export const chips = (filter) => fields.filter((f) => filter[f.name]).map((f) => [f.name, filter[f.name]]);

const tests = {
  class: (r, v) => r.class === v,
  status: (r, v) => String(r.status) === v,
  code: (r, v) => r.code === v,
  reason: (r, v) => (r.outcome ?? '').toLowerCase().includes(v.toLowerCase()) || r.code === v,
  model: (r, v) => r.model === v || r.asked === v,
  user: (r, v) => r.user_id === v,
  key: (r, v) => r.key_id === v,
  dialect: (r, v) => r.dialect === v,
  min_ms: (r, v) => r.duration_ms >= Number(v),
  min_attempts: (r, v) => r.attempts >= Number(v),
  request_id: (r, v) => r.id === v,
};

// matches says whether a live row belongs to the filter. Time is not asked: a live
// row is always newer.
export const matches = (filter, row) => chips(filter).every(([name, value]) => tests[name](row, value));

const BUCKETS = 240;
const kinds = ['ok', 'retried', 'client_error', 'failed'];

// spread lays the histogram's buckets over the whole span that was asked for: the
// API leaves out what is before the first and after the last request. Buckets are
// joined where there would be too many to draw. from and to in ms.
export function spread(data, from, to) {
  const step = data.step_ms || (data.t.length > 1 ? Date.parse(data.t[1]) - Date.parse(data.t[0]) : 60_000);
  const start = Math.floor(from / step) * step, wide = step * Math.max(1, Math.ceil((to - start) / step / BUCKETS));
  const count = Math.max(1, Math.ceil((to - start) / wide));
  const out = { t: Array.from({ length: count }, (_, i) => new Date(start + i * wide).toISOString()), step_ms: wide };
  for (const kind of kinds) out[kind] = new Array(count).fill(0);
  data.t.forEach((at, i) => {
    const bucket = Math.floor((Date.parse(at) - start) / wide);
    if (bucket >= 0 && bucket < count) for (const kind of kinds) out[kind][bucket] += data[kind]?.[i] ?? 0;
  });
  return out;
}
