import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { web } from './files.mjs';

const server = await import(`${web}/js/locale/server.zh-CN.js`);
const { loadServerTexts, said, saidField, saidProblem } = await import(`${web}/js/lib/servertext.js`);

const root = join(web, '../../..');
const go = ['', 'admin', 'balancer', 'settings', 'users'].flatMap((dir) => readdirSync(join(root, dir)).filter((name) => name.endsWith('.go') && !name.endsWith('_test.go'))
  .map((name) => readFileSync(join(root, dir, name), 'utf8'))).join('\n');
const spoken = go.replaceAll('\\"', '"');
const hint = readFileSync(join(root, 'balancer/hint.go'), 'utf8');
const oldType = /const oldType = "([^"]+)"/.exec(hint)[1];

test('what is translated is what the server says', () => {
  for (const text of Object.keys(server.words)) {
    const own = text === oldType ? text : text.replace(oldType, '').trimEnd();
    assert.ok(spoken.includes(own), text);
  }
  for (const code of Object.keys(server.codes)) assert.ok(spoken.includes(`"${code}"`), code);
});

test('every problem has words in both languages', async () => {
  // English is what the server says, unless the page has better words; Chinese must be here.
  const made = new Set([...go.matchAll(/\b(?:problem|invalid)\((?:\w+, )*?(?:http\.\w+, )?"([a-z_]+)"/g)].map((m) => m[1]));
  assert.ok(made.size > 55, `${made.size} codes`);
  const { default: en } = await import(`${web}/js/locale/en/core.js`);
  const { default: zh } = await import(`${web}/js/locale/zh-CN/core.js`);
  const own = (texts) => Object.keys(texts).filter((key) => key.startsWith('problem.')).map((key) => key.slice('problem.'.length));
  assert.deepEqual([...made].filter((code) => !zh['problem.' + code] && !server.codes[code]), []);
  const faults = new Set([...go.matchAll(/\b(?:fieldError|Fault)\{[^,}]+, "([a-z_]+)"|\bfault\(\w+, "([a-z_]+)", /g)].map((m) => m[1] ?? m[2]));
  assert.ok(faults.size > 12, `${faults.size} codes of fields`);
  assert.deepEqual([...faults].filter((code) => !server.fields[code]), []);
  const kinds = [...go.matchAll(/jobSpec\{kind: "(\w+)"/g)].map((m) => m[1]);
  assert.ok(kinds.length > 4);
  assert.deepEqual(kinds.filter((kind) => !en['job.' + kind] || !zh['job.' + kind]), []);
  const counts = [...go.matchAll(/\bj\.count\("(\w+)"/g)].map((m) => m[1]);
  assert.ok(counts.length > 6);
  assert.deepEqual(counts.filter((name) => !en['job.count.' + name] || !zh['job.count.' + name]), []);
  for (const code of own(en)) assert.ok(made.has(code), `the server has no problem ${code}`);
  assert.deepEqual(own(en).filter((code) => server.codes[code]), [], 'said twice in Chinese');
});

test('all advice about keys is translated', () => {
  const advice = [...hint.matchAll(/"([A-Z][^"]{30,}?)( )?"(?: \+ (oldType))?/g)].map(([, text, space, old]) => text + (space ?? '') + (old ? oldType : ''));
  assert.ok(advice.length > 20);
  for (const text of advice) assert.ok(server.words[text], text);
});

test('figures come through, unknown words stay', async () => {
  await loadServerTexts('zh-CN');
  assert.equal(said('3.4 of 20.0 GiB are free'), '共 20.0 GiB，可用 3.4 GiB');
  assert.equal(said('weight is -5; want a whole number from 1 to 100'), '权重为 -5，须为 1 到 100 的整数');
  assert.equal(said('weight is no number; want a whole number from 1 to 100'), '权重不是数字，须为 1 到 100 的整数');
  assert.equal(said('loaded 1h0m46s ago, with the built-in prices'), '1 小时 0 分钟 46 秒前加载，使用内置价格');
  assert.equal(said('the clock is right within 250ms'), '时钟准确，误差在 250 毫秒以内');
  assert.equal(said('no such sentence'), 'no such sentence');
  assert.equal(saidProblem('session_ended', 'The session has ended. Sign in again.'), '会话已结束，请重新登录。');
  assert.equal(saidProblem('invalid_body', 'name is empty.'), '输入有误：name is empty.');
  assert.equal(saidProblem('of_tomorrow', 'Something.'), 'Something.');
  assert.equal(saidField('missing', 'is missing'), '必填');
  assert.equal(saidField('invalid_value', 'must be a day'), '值无效：must be a day');
  await loadServerTexts('en');
  assert.equal(said('daily quota'), 'daily quota');
  assert.equal(saidField(undefined, undefined), undefined);
});
