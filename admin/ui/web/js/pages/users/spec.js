// The user-key form against the API's Spec, and the once-only CSV. No DOM.

export const limitNames = ['rpm', 'tpm', 'rpd', 'tpd', 'monthly_tokens', 'concurrency'];
export const budgetNames = ['day', 'month', 'total'];
export const dialects = ['openai', 'anthropic', 'gemini'];
export const graces = [0, 3600, 86400, 7 * 86400]; // seconds

const words = (text) => [...new Set(String(text ?? '').split(/[\s,;，；]+/).filter(Boolean))];
const DAY = 86_400_000;

// blank is the form of a new key; toForm that of an existing one. Texts, as typed.
export const blank = () => ({
  name: '', count: '1', expiry: 'never', date: '', models: '', dialects: [...dialects], cidrs: '', tags: '', labels: '', note: '',
  unlimited: false, unpriced: false, paid_only: false, explain: false, limits: {}, budget: {},
});

export function toForm(key) {
  const numbers = (source, names) => Object.fromEntries(names.filter((n) => source?.[n]).map((n) => [n, String(source[n])]));
  return {
    ...blank(),
    name: key.name, expiry: key.expires_at ? 'date' : 'never', date: localInput(key.expires_at),
    models: (key.models ?? []).join('\n'), dialects: key.dialects?.length ? [...key.dialects] : [...dialects],
    cidrs: (key.cidrs ?? []).join('\n'), tags: (key.tags ?? []).join(', '), labels: (key.labels ?? []).join(', '), note: key.note ?? '',
    unlimited: Boolean(key.unlimited), unpriced: Boolean(key.unpriced), paid_only: Boolean(key.paid_only), explain: Boolean(key.explain),
    limits: numbers(key.limits, limitNames), budget: numbers(key.limits?.budget, budgetNames),
  };
}

// localInput is the value of <input type=datetime-local> for an instant.
export function localInput(iso) {
  if (!iso) return '';
  const at = new Date(iso);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

// faults names the fields that cannot be sent: {field: code}.
export function faults(form, now) {
  const bad = {};
  if (!form.name.trim()) bad.name = 'required';
  else if ([...form.name.trim()].length > 64) bad.name = 'too_long';
  const count = Number(form.count);
  if (!Number.isInteger(count) || count < 1 || count > 1000) bad.count = 'range';
  if (form.expiry === 'date' && !(Date.parse(form.date) > now)) bad.expires_at = 'past';
  if (!form.dialects.length) bad.dialects = 'required';
  for (const cidr of words(form.cidrs)) if (!looksLikeNetwork(cidr)) bad.cidrs = 'network';
  for (const name of limitNames) {
    const text = form.limits[name];
    if (text && !(/^\d{1,15}$/.test(text) && Number(text) > 0)) bad['limits.' + name] = 'integer';
  }
  for (const name of budgetNames) {
    const text = form.budget[name];
    if (text && !(/^\d{1,9}(\.\d{1,9})?$/.test(text) && Number(text) > 0)) bad['limits.budget.' + name] = 'money';
  }
  return bad;
}

// looksLikeNetwork catches typing errors; the server decides.
function looksLikeNetwork(text) {
  const [address, bits, ...more] = text.split('/');
  if (more.length || (bits !== undefined && !/^\d{1,3}$/.test(bits))) return false;
  const v4 = address.split('.');
  if (v4.length === 4 && v4.every((p) => /^\d{1,3}$/.test(p) && Number(p) < 256)) return bits === undefined || Number(bits) <= 32;
  return address.includes(':') && /^[0-9a-f:.]+$/i.test(address) && (bits === undefined || Number(bits) <= 128);
}

function expiry(form, now) {
  if (form.expiry === 'never') return null;
  if (form.expiry === 'date') return new Date(form.date).toISOString();
  return new Date(now + Number(form.expiry) * DAY).toISOString();
}

// toSpec is the body of a creation: what is not set is not sent.
export function toSpec(form, now) {
  const numbers = (source, names) => Object.fromEntries(names.filter((n) => source[n]).map((n) => [n, Number(source[n])]));
  const limits = numbers(form.limits, limitNames), budget = numbers(form.budget, budgetNames);
  if (Object.keys(budget).length) limits.budget = budget;
  const spec = { name: form.name.trim(), limits };
  for (const flag of ['unlimited', 'unpriced', 'paid_only', 'explain']) if (form[flag]) spec[flag] = true;
  for (const list of ['models', 'cidrs', 'tags', 'labels']) if (words(form[list]).length) spec[list] = words(form[list]);
  if (form.dialects.length < dialects.length) spec.dialects = dialects.filter((d) => form.dialects.includes(d));
  if (form.note.trim()) spec.note = form.note.trim();
  const until = expiry(form, now);
  if (until) spec.expires_at = until;
  if (Number(form.count) > 1) spec.count = Number(form.count);
  return spec;
}

// toPatch is a merge patch from one form to another: changed fields only, null clears.
export function toPatch(before, after, now) {
  const old = toSpec({ ...before, count: '1' }, now), next = toSpec({ ...after, count: '1' }, now), patch = {};
  for (const name of new Set([...Object.keys(old), ...Object.keys(next)])) {
    if (name === 'limits' || JSON.stringify(old[name]) === JSON.stringify(next[name])) continue;
    patch[name] = next[name] ?? (typeof old[name] === 'boolean' ? false : null);
  }
  const limits = mergeOf(old.limits, next.limits);
  if (limits) patch.limits = limits;
  return patch;
}

function mergeOf(old, next) {
  const patch = {};
  for (const name of new Set([...Object.keys(old), ...Object.keys(next)])) {
    if (JSON.stringify(old[name]) === JSON.stringify(next[name])) continue;
    const nested = typeof old[name] === 'object' && typeof next[name] === 'object';
    patch[name] = nested ? mergeOf(old[name], next[name]) : next[name] ?? null;
  }
  return Object.keys(patch).length ? patch : null;
}

// reverse gives the patch that undoes another, from the key as it was.
export function reverse(key, patch) {
  return Object.fromEntries(Object.keys(patch).map((name) => {
    const is = key[name];
    if (name !== 'limits') return [name, is ?? (typeof patch[name] === 'boolean' ? false : null)];
    return [name, Object.fromEntries(Object.keys(patch.limits).map((l) => [l, is?.[l] ?? null]))];
  }));
}

// A cell that starts like a formula gets an apostrophe, so that a spreadsheet
// shows it instead of running it.
const cell = (value) => {
  const text = String(value ?? ''), safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

// csv of rows of cells, RFC 4180, with the byte order mark that Excel needs for Chinese.
export const csv = (rows) => '\ufeff' + rows.map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n';

export const keysCsv = (items) => csv([['name', 'id', 'key', 'expires_at'], ...items.map((k) => [k.name, k.id, k.key, k.expires_at ?? ''])]);
export const listCsv = (items) => csv([
  ['name', 'id', 'hint', 'status', 'created', 'expires_at', 'last_used', 'requests_24h', 'tokens_24h'],
  ...items.map((k) => [k.name, k.id, k.hint, k.status, k.created, k.expires_at ?? '', k.last_used ?? '', k.requests_24h, k.tokens_24h]),
]);
