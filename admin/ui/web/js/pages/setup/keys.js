import { countKeys } from '../../lib/keytext.js';

// scan counts Gemini keys in pasted text while typing: {found, duplicates, malformed}.
// malformed are words that begin like a key and are none. The server decides.
export function scan(text) {
  const { found, duplicates } = countKeys(text), started = text.match(/\bAIza[\w-]*/g) ?? [];
  return { found, duplicates, malformed: started.filter((word) => countKeys(word).found === 0).length };
}
