// Gemini keys in any text, found by their form: "AIza" and 35 more, or "AQ." keys.
// This is for the count while typing; the server decides.
const form = /\bAIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])|\bAQ\.[0-9A-Za-z_-]{20,}(?![0-9A-Za-z_-])/g;

// countKeys: how many different keys a text holds, and how many come twice.
export function countKeys(text) {
  const all = text.match(form) ?? [];
  const found = new Set(all).size;
  return { found, duplicates: all.length - found };
}

// hideKeys leaves of each key in a text what lists show of it, so that a pasted key
// can be looked for without standing in an address.
export const hideKeys = (text) => text.replace(form, (key) => `${key.slice(0, 4)}…${key.slice(-4)}`);
