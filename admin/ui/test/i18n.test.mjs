import assert from 'node:assert/strict';
import { test } from 'node:test';
import { all, modules, read, web } from './files.mjs';

const parts = all.filter((path) => path.startsWith('js/locale/en/')).map((path) => path.split('/').at(-1));
const load = async (language, part) => (await import(`${web}/js/locale/${language}/${part}`)).default;
const variants = (text) => (typeof text === 'object' ? Object.values(text) : [text]);
const placeholders = (text) => [...new Set(variants(text).flatMap((v) => v.match(/\{\w+\}/g) ?? []))].sort();

test('both languages have the same parts', () => {
  assert.deepEqual(all.filter((path) => path.startsWith('js/locale/zh-CN/')).map((path) => path.split('/').at(-1)), parts);
});

for (const part of parts) {
  test(`${part}: the same keys and placeholders in both languages`, async () => {
    const [en, zh] = [await load('en', part), await load('zh-CN', part)];
    assert.deepEqual(Object.keys(zh).sort(), Object.keys(en).sort());
    for (const [key, text] of Object.entries(en)) {
      assert.deepEqual(placeholders(zh[key]), placeholders(text), key);
      for (const v of [...variants(text), ...variants(zh[key])]) assert.ok(v.trim(), `${key} is empty`);
      if (typeof text === 'object') assert.ok(text.other && zh[key].other, `${key}: no form "other"`);
    }
  });

  test(`${part}: no English left in Chinese`, async () => {
    // Names, units and what is written so everywhere.
    const kept = new RegExp('Gemini|OpenAPI|OpenAI|Anthropic|Google|AI Studio|Claude|Caddy(file)?|Token|API|ID|CSV|JSON|NDJSON|SDK|HTTP|HTTPS|SSE|IP|CIDR|UTC|'
      + 'URL|TLS|DNS|ETag|RPM|TPM|RPD|TPD|USD|KiB|MB|GB|curl|Python|Esc|Ctrl|Space|Enter|Shift|Alt|Markdown|Go|Cookie|Live|CLI|JavaScript|GiB|MiB|POST|GET', 'g');
    for (const [key, text] of Object.entries(await load('zh-CN', part))) {
      for (const v of variants(text)) {
        if (/[\u4e00-\u9fff]/.test(v)) {
          const rest = v.replace(/\{\w+\}/g, '').replace(kept, '').match(/\b[A-Z][a-z]{3,}\b/g);
          assert.equal(rest, null, `${key}: ${v}`);
        }
      }
    }
  });
}

test('every text that the code names exists', async () => {
  const known = new Set();
  for (const part of parts) Object.keys(await load('en', part)).forEach((key) => known.add(key));
  const missing = [];
  for (const path of modules) {
    if (path.includes('/locale/')) continue;
    for (const [, key] of read(path).matchAll(/\bt\('([^']+)'[,)]/g)) if (!known.has(key)) missing.push(`${path}: ${key}`);
    for (const [, prefix] of read(path).matchAll(/\bt\('([^']+\.)' \+/g)) {
      if (![...known].some((key) => key.startsWith(prefix))) missing.push(`${path}: ${prefix}…`);
    }
  }
  assert.deepEqual(missing, []);
});
