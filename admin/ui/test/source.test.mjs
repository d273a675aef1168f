import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { all, modules, read, staticGraph, web } from './files.mjs';

const own = all.filter((path) => /\.(js|css|html)$/.test(path) && !path.includes('/vendor/'));

// Everything that would make text into markup or code, and would break Trusted Types or the CSP.
const forbidden = /innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|\beval\(|new Function|javascript:|srcdoc|createContextualFragment/;

test('nothing turns text into markup or code', () => {
  for (const path of own) assert.doesNotMatch(read(path), forbidden, path);
});

test('nothing is fetched from elsewhere', () => {
  for (const path of all.filter((p) => /\.(html|css)$/.test(p))) assert.doesNotMatch(read(path), /https?:\/\//, path);
  for (const path of modules) assert.doesNotMatch(read(path), /(?:from|import\()\s*['"`]https?:/, path);
});

test('lines can be read', () => {
  const long = modules.filter((path) => !path.includes('/locale/')).flatMap((path) => read(path).split('\n').map((line, i) => [line.length, `${path}:${i + 1}`]))
    .filter(([n]) => n > 160).map(([, where]) => where);
  assert.deepEqual(long, []);
});

test('files are of readable length', () => {
  const long = modules.filter((path) => !path.includes('/locale/') && read(path).split('\n').length > 401);
  assert.deepEqual(long, []);
});

test('every import leads to a file', () => {
  for (const path of modules) {
    for (const [, to] of read(path).matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)) assert.ok(existsSync(join(web, dirname(path), to)), `${path}: ${to}`);
  }
});

test('index.html names files that exist', () => {
  for (const [, path] of read('index.html').matchAll(/"@rel\/([^"]+)"/g)) assert.ok(existsSync(join(web, path)), path);
});

test('index.html preloads what the overview adds, since that page is imported lazily', () => {
  const first = new Set(staticGraph(['js/main.js']));
  const more = staticGraph(['js/pages/overview.js', 'js/locale/en/overview.js']).filter((path) => !first.has(path)).sort();
  const listed = [...read('index.html').matchAll(/modulepreload" href="@rel\/([^"]+)"/g)].map(([, path]) => path);
  assert.deepEqual(listed, more);
});

test('the first page stays below 150 KiB compressed', () => {
  const files = new Set(staticGraph(['js/main.js', 'js/pages/overview.js', 'js/locale/zh-CN/core.js', 'js/locale/zh-CN/overview.js']));
  for (const [, path] of read('index.html').matchAll(/"@rel\/([^"]+)"/g)) files.add(path);
  files.add('index.html');
  const size = [...files].reduce((sum, path) => sum + gzipSync(readFileSync(join(web, path)), { level: 9 }).length, 0);
  assert.ok(size < 150 * 1024, `${files.size} files, ${size} bytes`);
});

test('vendored files are those of SHA256SUMS', () => {
  const lines = read('js/vendor/SHA256SUMS').split('\n').filter((line) => line && !line.startsWith('#'));
  const listed = lines.map((line) => {
    const [sum, name] = line.split(/\s+/);
    assert.equal(createHash('sha256').update(readFileSync(join(web, 'js/vendor', name))).digest('hex'), sum, name);
    return name;
  });
  const present = all.filter((p) => p.startsWith('js/vendor/')).map((p) => p.slice('js/vendor/'.length));
  assert.deepEqual(present.filter((p) => !['SHA256SUMS', 'icons.txt'].includes(p)).sort(), listed.sort());
});

test('every icon that the code names is there', async () => {
  const icons = Object.keys((await import(join(web, 'js/vendor/icons.js'))).default);
  for (const path of modules) {
    for (const [, name] of read(path).matchAll(/\bicon(?:=|: )['"](\w+)['"]/g)) assert.ok(icons.includes(name), `${path}: ${name}`);
  }
});
