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

export const patchOf = (draft) => ({ ...draft });

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

// kind says how a field is edited.
export function kind(field) {
  if (Array.isArray(field.options) && field.options.length) return 'choice';
  const sample = field.value ?? field.default;
  if (typeof sample === 'boolean') return 'switch';
  if (Array.isArray(sample)) return 'list';
  if (field.unit === 'duration' || (typeof sample === 'string' && sample !== '' && duration(sample) !== null && /[a-z]$/.test(sample))) return 'duration';
  if (field.unit === 'share') return 'share';
  return typeof sample === 'number' ? 'number' : 'text';
}

// parse turns typed text into a value: {value} or {error: code, …bounds}.
export function parse(field, text) {
  const typed = String(text).trim();
  switch (kind(field)) {
    case 'duration': {
      const ms = duration(typed), least = bound(field.min), most = bound(field.max);
      if (ms === null) return { error: 'duration' };
      return between(ms, least, most) ? { value: typed } : { error: range(least, most), min: field.min, max: field.max };
    }
    case 'share': case 'number': {
      const n = Number(typed);
      if (typed === '' || !Number.isFinite(n)) return { error: 'number' };
      if (kind(field) === 'number' && Number.isInteger(field.default) && !Number.isInteger(n)) return { error: 'integer' };
      if (!between(n, field.min, field.max)) return { error: range(field.min, field.max), min: field.min, max: field.max };
      return { value: n };
    }
    case 'choice': return field.options.map(String).includes(typed) ? { value: typed } : { error: 'choice' };
    case 'list': return { value: typed === '' ? [] : typed.split(/[\s,]+/).filter(Boolean) };
    default: return { value: typed };
  }
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
