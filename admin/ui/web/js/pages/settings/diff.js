// What the operator changed, against what the server has. A field is
// {value, default, source, locked, unit?, min?, max?, options?} under its dotted
// name; a draft is {name: value} of the changed ones only. No DOM.

export const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);

// put returns the draft with one field set; a value as the server has it is no change.
export function put(fields, draft, name, value) {
  const { [name]: _, ...rest } = draft;
  return same(fields[name]?.value, value) ? rest : { ...rest, [name]: value };
}

// changes in the order of the fields: [{name, old, new}].
export const changes = (fields, draft) =>
  Object.keys(fields).filter((name) => name in draft).map((name) => ({ name, old: fields[name].value, new: draft[name] }));

// patchOf is what is sent: a field whose value is its default again is not set any more,
// which null says, so that it follows the default of later versions.
export const patchOf = (fields, draft) => Object.fromEntries(Object.entries(draft).map(([name, value]) =>
  [name, same(value, fields[name]?.default) ? null : value]));

const durations = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

// duration reads Go's form ("1m30s", "500ms") or days ("7d") into ms; null = no duration.
export function duration(text) {
  const all = String(text).trim();
  if (all === '0') return 0;
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(all)) return null;
  let sum = 0;
  for (const [, n, unit] of all.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) sum += Number(n) * durations[unit];
  return sum;
}

// span writes milliseconds the short way: "7d", "1m30s", "500ms". Go's own form
// ("168h0m0s") is right but hard to read.
export function span(ms) {
  if (ms === 0) return '0s';
  let rest = ms, text = '';
  for (const unit of ['d', 'h', 'm', 's', 'ms']) {
    const n = Math.floor(rest / durations[unit]);
    if (n > 0) text += n + unit;
    rest -= n * durations[unit];
  }
  return text;
}

const sizes = { '': 1, b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 };

// size reads "100MB" or "1 GiB" into bytes; null = no size.
export function size(text) {
  const found = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(String(text).trim()), unit = found && sizes[found[2].toLowerCase()];
  return unit ? Math.round(Number(found[1]) * unit) : null;
}

// sized writes bytes with the largest unit that loses nothing.
export function sized(n) {
  /** @type {[string, number][]} */
  const units = [['TiB', 2 ** 40], ['TB', 1e12], ['GiB', 2 ** 30], ['GB', 1e9], ['MiB', 2 ** 20], ['MB', 1e6], ['KiB', 2 ** 10],
    ['kB', 1e3]];
  const [name, by] = units.find(([, by]) => n > 0 && n % by === 0) ?? ['B', 1];
  return `${n / by} ${name}`;
}

// kind says how a field is edited: by its type, else guessed from what it holds.
export function kind(field) {
  if (field.type) return field.type;
  if (field.options?.length) return 'word';
  const sample = field.value ?? field.default;
  if (typeof sample === 'boolean') return 'switch';
  if (typeof sample === 'number') return 'count';
  return 'text';
}

// shown is a value as it stands in its control.
export function shown(field, value = field.value) {
  if (value === null || value === undefined) return '';
  if (kind(field) === 'duration') return span(duration(value) ?? 0);
  if (kind(field) === 'bytes') return sized(value);
  return String(value);
}

const readers = {
  duration(field, typed) {
    const ms = duration(typed);
    return ms === null ? { error: 'duration' } : { n: ms, value: span(ms) };
  },
  bytes(field, typed) {
    const n = size(typed);
    return n === null ? { error: 'size' } : { n, value: n };
  },
  count(field, typed) {
    const n = Number(typed.replace(/[,\s_]/g, ''));
    return typed === '' || !Number.isInteger(n) ? { error: 'integer' } : { n, value: n };
  },
  share(field, typed) {
    const n = typed.endsWith('%') ? Number(typed.slice(0, -1)) / 100 : Number(typed);
    return typed === '' || !Number.isFinite(n) ? { error: 'number' } : { n, value: n };
  },
  usd: (field, typed) => (/^\d{1,10}(\.\d{1,9})?$/.test(typed) ? { n: Number(typed), value: Number(typed) } : { error: 'money' }),
  word: (field, typed) => (field.options.includes(typed) ? { value: typed } : { error: 'choice' }),
};

// parse turns typed text into a value: {value} or {error: code, min?, max?}.
export function parse(field, text) {
  const typed = String(text).trim(), read = readers[kind(field)];
  if (!read) return { value: typed };
  const { n, value, error } = read(field, typed);
  if (error) return { error };
  const least = bound(field.min), most = bound(field.max);
  if (n !== undefined && !between(n, least, most)) {
    return { error: range(least, most), min: least === undefined ? undefined : shown(field, field.min), max: most === undefined
      ? undefined : shown(field, field.max) };
  }
  // The same span in another spelling is no change, and no other than the default.
  const spelled = kind(field) === 'duration' && [field.value, field.default].find((known) => known && duration(known) === n);
  return { value: spelled || value };
}

const bound = (limit) => (limit == null ? undefined : typeof limit === 'number' ? limit : duration(limit) ?? undefined);
const between = (n, least, most) => (least == null || n >= least) && (most == null || n <= most);
const range = (least, most) => (least == null ? 'max' : most == null ? 'min' : 'range');

// merge is the three-way choice after 412: base is what the draft was made from,
// theirs is what the server has now. Fields that only one side touched need no
// choice; conflicts are [{name, base, mine, theirs}].
export function merge(base, draft, theirs) {
  const kept = {}, conflicts = [];
  for (const [name, mine] of Object.entries(draft)) {
    const then = base[name]?.value, now = theirs[name]?.value;
    if (same(mine, now)) continue;
    kept[name] = mine;
    if (!same(then, now)) conflicts.push({ name, base: then, mine, theirs: now });
  }
  return { draft: kept, conflicts };
}

// resolve drops the fields for which the operator takes theirs.
export function resolve(draft, choices) {
  return Object.fromEntries(Object.entries(draft).filter(([name]) => choices[name] !== 'theirs'));
}

// flatten reads a settings file, nested as the API's export or by dotted names.
export function flatten(values, prefix = '') {
  if (typeof values !== 'object' || values === null || Array.isArray(values)) throw new TypeError('no settings');
  return Object.fromEntries(Object.entries(values).flatMap(([name, value]) => (typeof value === 'object' && value !== null
    && !Array.isArray(value)
    ? Object.entries(flatten(value, prefix + name + '.')) : [[prefix + name, value]])));
}
