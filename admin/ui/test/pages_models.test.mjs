import assert from 'node:assert/strict';
import test from 'node:test';
import { dollars, nanos } from '../web/js/lib/money.js';
import { glob, match, move, problems, withPreset } from '../web/js/pages/models/match.js';
import { budgetOf, priceOf, readLimit, readPrice, readSeconds, readTokens, sent, thinkingHelp, thoughts } from '../web/js/pages/models/options.js';

const alias = (name, ...targets) => ({ name, targets });

test('alias: globs', () => {
  for (const [pattern, name, want] of [
    ['gpt-4o', 'gpt-4o', true], ['gpt-4o', 'gpt-4o-mini', false], ['gpt-*', 'gpt-', true], ['*', '', true], ['o?', 'o3', false], ['o?', 'o?', true],
    ['a.b', 'axb', false], ['a(b)*', 'a(b)c', true], ['claude-*haiku*', 'claude-3-5-haiku-latest', true], ['x\\*', 'x\\y', true],
  ]) assert.equal(glob(pattern, name), want, `${pattern} ${name}`);
});

test('alias: the first that fits decides, exact or not', () => {
  const list = [alias('gpt-4o', 'c'), alias('gpt-*', 'a'), alias('gpt-4o-mini', 'b')];
  assert.equal(match(list, 'gpt-4o'), 0);
  assert.equal(match(list, 'gpt-4o-mini'), 1);
  assert.equal(match(list, 'claude'), -1);
});

test('alias: problems', () => {
  const known = new Set(['gemini-flash']);
  assert.deepEqual(problems([
    alias('', 'x'), alias('a', ''), alias('b', 'b'), alias('c', 'gemini-flash'), alias('c', 'gemini-flash'),
    alias('gpt-*', 'gemini-flash'), alias('gpt-4*', 'gemini-flash'), alias('gpt-4', 'gemini-flash'), alias('d', 'nothing'), alias('**', 'x'),
  ], known), ['empty', 'no_target', 'itself', '', 'duplicate', '', 'shadowed', 'shadowed', 'unknown', 'all']);
});

test('alias: move and presets', () => {
  assert.deepEqual(move(['a', 'b', 'c'], 0, 2), ['b', 'c', 'a']);
  const list = ['a'];
  assert.equal(move(list, 0, 1), list);
  const once = withPreset([alias('gpt-4o', 'mine')], 'openai');
  assert.equal(once.filter((a) => a.name === 'gpt-4o').length, 1);
  assert.equal(once[0].targets[0], 'mine');
  assert.deepEqual(withPreset(once, 'openai'), once);
  assert.deepEqual(problems(withPreset([], 'anthropic')), ['', '', '', '']);
});

test('alias: what is sent keeps the options, and leaves out what is not set', () => {
  const list = [
    { ...alias('a', 'x'), listed: true, thinking_budget: 0, search: true, source: 'store', hits_24h: 3 },
    { ...alias('b', 'x'), listed: false, thinking_budget: -1, search: false }, { ...alias('c', 'x'), thinking_budget: null },
  ];
  const plain = (l) => JSON.parse(JSON.stringify(sent(l)));
  assert.deepEqual(plain(list), [
    { name: 'a', targets: ['x'], listed: true, thinking_budget: 0, search: true },
    { name: 'b', targets: ['x'], listed: false, thinking_budget: -1 }, { name: 'c', targets: ['x'], listed: true },
  ]);
  assert.deepEqual(plain(move(withPreset(list, 'openai'), 0, 1)).find((a) => a.name === 'a'), plain(list)[0]);
});

test('money: digits come back as they were typed', () => {
  for (const [text, nano, again = text] of [
    ['0.075', 75_000_000], ['1.25', 1_250_000_000], ['0', 0], ['10.00', 10_000_000_000, '10'], ['.3', 300_000_000, '0.3'],
    ['0.000000001', 1], ['999999.999999999', 999_999_999_999_999], ['0.1', 100_000_000], ['2.675', 2_675_000_000],
  ]) {
    assert.equal(nanos(text), nano, text);
    assert.equal(dollars(nano), again, text);
  }
  for (const text of ['', '.', '1.', '-1', '1,25', '1e3', '$1', '0.0000000001', '1234567', 'abc', ' 1']) assert.equal(nanos(text), undefined, text);
  for (let i = 0; i < 2000; i++) {
    const nano = Math.floor(Math.random() * 1e12);
    assert.equal(nanos(dollars(nano)), nano);
  }
});

test('model: what is typed', () => {
  assert.deepEqual(['', '1', '1000000', '1,024', '0', '1000001', '1.5', 'abc', '-1'].map(readTokens), [null, 1, 1_000_000, 1024, ...Array(5).fill(undefined)]);
  assert.deepEqual(['', '4,000,000', '10 000', '0', '1.5'].map(readLimit), [null, 4_000_000, 10_000, undefined, undefined]);
  assert.deepEqual(['', '0.1', '30', '1.234', '86400', '0.09', '86401', '1.2345', 'x'].map(readSeconds), [null, 100, 30_000, 1234, 86_400_000, ...Array(4).fill(undefined)]);
  assert.deepEqual(['', '0', '1000', '1000.01', 'x'].map(readPrice), [null, 0, 1e12, undefined, undefined]);
});

test('model: thinking', () => {
  assert.deepEqual([undefined, null, 0, -1, 1, 4096, NaN].map(thoughts), ['unset', 'unset', 'few', 'free', 'tokens', 'tokens', 'tokens']);
  for (const [choice, budget] of Object.entries(budgetOf)) assert.equal(thoughts(budget), choice);
  const budget = { by: 'budget', min: 128, max: 32768, off: false };
  assert.deepEqual([null, { by: 'level', levels: ['LOW', 'HIGH'] }, budget, { ...budget, off: true }, { ...budget, min: 1, off: true }].map(thinkingHelp),
    [['none', {}], ['levels', { levels: 'LOW, HIGH' }], ['always', { min: 128, max: 32768 }], ['off', { min: 128, max: 32768 }], ['range', { max: 32768 }]]);
});

test('model: a price needs input and output', () => {
  const price = (input, cached, output) => ({ input_nano_per_mtok: input, cached_nano_per_mtok: cached, output_nano_per_mtok: output });
  assert.equal(priceOf({}), null);
  assert.equal(priceOf(price(null, null, null)), null);
  for (const part of [price(1, null, null), price(null, null, 1), price(undefined, 0, 1), price(null, 0, null)]) assert.equal(priceOf(part), undefined);
  assert.deepEqual(priceOf({ input_nano_per_mtok: 0, output_nano_per_mtok: 2 }), price(0, null, 2));
});
