import assert from 'node:assert/strict';
import test from 'node:test';
import { glob, match, move, problems, withPreset } from '../web/js/pages/models/match.js';

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
