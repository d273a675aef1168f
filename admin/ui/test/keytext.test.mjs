import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countKeys } from '../web/js/lib/keytext.js';

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-';
// key makes the n-th invented key; none is a real one.
const key = (n) => 'AIza' + Array.from({ length: 35 }, (_, i) => letters[(n * 31 + i * 7 + n * i) % 62]).join('');

test('keys are found in any form of text', () => {
  const keys = [1, 2, 3, 4, 5].map(key);
  const forms = {
    lines: keys.join('\n'),
    'CRLF with a BOM': '\uFEFF' + keys.join('\r\n'),
    commas: keys.join(','),
    'full-width commas': keys.join('，'),
    JSON: JSON.stringify({ keys: keys.map((k) => ({ key: k, weight: 1 })) }),
    CSV: 'name,key\n' + keys.map((k, i) => `"key ${i}","${k}"`).join('\n'),
    env: `GEMINI_API_KEYS="${keys.join(';')}"`,
    URLs: keys.map((k) => `https://host/v1beta/models?key=${k}&alt=sse`).join(' '),
  };
  for (const [name, text] of Object.entries(forms)) assert.deepEqual(countKeys(text), { found: 5, duplicates: 0 }, name);
});

test('keys that come twice are counted once', () => {
  assert.deepEqual(countKeys([key(1), key(2), key(1), key(1)].join(' ')), { found: 2, duplicates: 2 });
});

test('what only looks like a key is none', () => {
  for (const text of ['', 'AIza', key(1).slice(0, -1), key(1) + 'x', 'x' + key(1), 'sk-proj-' + 'a'.repeat(40)]) {
    assert.equal(countKeys(text).found, 0, text);
  }
});

test('newer keys too', () => {
  assert.equal(countKeys(`AQ.${'Ab8_'.repeat(12)}, ${key(3)}`).found, 2);
});
