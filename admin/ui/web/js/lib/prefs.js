import { signal } from '../vendor/preact.mjs';

// Preferences of this browser: theme, language, columns. Nothing secret goes here.

const read = (name, fallback) => {
  try { return JSON.parse(localStorage.getItem('gb.' + name)) ?? fallback; } catch { return fallback; }
};

const made = new Map();

// pref is the signal of one preference; writing its value saves it.
export function pref(name, fallback) {
  if (!made.has(name)) {
    const s = signal(read(name, fallback));
    let first = true;
    s.subscribe((value) => {
      if (first) { first = false; return; }
      try { localStorage.setItem('gb.' + name, JSON.stringify(value)); } catch { /* storage is off: keep it in memory */ }
    });
    made.set(name, s);
  }
  return made.get(name);
}
