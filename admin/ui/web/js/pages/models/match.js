// Which alias takes a model name, and what is wrong with a list of aliases. Only a
// preview while editing: the server's /admin/aliases/test has the last word.

// glob: * is any text, all else as written. Same as settings.match in Go.
export function glob(pattern, name) {
  const source = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')).join('.*');
  return new RegExp(`^${source}$`, 's').test(name);
}

export const isPattern = (name) => name.includes('*');

// match gives the index of the rule that takes name, the first that fits; -1 for none.
export const match = (aliases, name) => aliases.findIndex((a) => glob(a.name, name));

// problems gives one code per alias, or '': empty, all (* alone), no_target, duplicate
// (same name above), shadowed (a pattern above takes all), itself, unknown (no such model).
export function problems(aliases, known) {
  return aliases.map((alias, i) => {
    const name = alias.name.trim();
    if (!name) return 'empty';
    if (!name.replaceAll('*', '')) return 'all';
    if (!alias.targets.some(Boolean)) return 'no_target';
    if (alias.targets.includes(name)) return 'itself';
    const above = aliases.slice(0, i);
    if (above.some((a) => a.name === name)) return 'duplicate';
    if (above.some((a) => isPattern(a.name) && covers(a.name, name))) return 'shadowed';
    if (known && alias.targets.some((t) => t && !known.has(t))) return 'unknown';
    return '';
  });
}

// covers: whether the upper pattern takes whatever the lower does; sure for the
// usual prefix* forms, false when in doubt.
function covers(upper, lower) {
  if (!isPattern(lower)) return glob(upper, lower);
  return /^[^*]+\*$/.test(upper) && lower.startsWith(upper.slice(0, -1));
}

// move gives a copy with the row at from now at to; out of range changes nothing.
export function move(list, from, to) {
  if (to < 0 || to >= list.length || from === to) return list;
  const copy = [...list];
  copy.splice(to, 0, ...copy.splice(from, 1));
  return copy;
}

// Presets map the names that clients of other providers send by default.
export const presets = {
  openai: [
    ['gpt-4o-mini', 'gemini-flash-lite-latest'], ['gpt-4o', 'gemini-flash-latest'],
    ['gpt-*-mini', 'gemini-flash-lite-latest'], ['gpt-*', 'gemini-flash-latest'], ['o1*', 'gemini-pro-latest'],
      ['o3*', 'gemini-pro-latest'],
    ['text-embedding-*', 'gemini-embedding-001'],
  ],
  anthropic: [
    ['claude-*haiku*', 'gemini-flash-lite-latest'], ['claude-*sonnet*', 'gemini-flash-latest'],
    ['claude-*opus*', 'gemini-pro-latest'], ['claude-*', 'gemini-flash-latest'],
  ],
};

// withPreset appends the preset's rules whose names are not there yet.
export function withPreset(aliases, preset) {
  const have = new Set(aliases.map((a) => a.name));
  const fresh = presets[preset].filter(([name]) => !have.has(name));
  return [...aliases, ...fresh.map(([name, target]) => ({ name, targets: [target], listed: false, source: 'store', locked: false }))];
}
