import assert from 'node:assert/strict';
import test from 'node:test';
import { changes, duration, kind, merge, parse, put, resolve } from '../web/js/pages/settings/diff.js';

const fields = {
  strategy: { value: 'adaptive', default: 'adaptive', source: 'default', options: ['adaptive', 'least_used', 'round_robin'] },
  'retry.attempts': { value: 3, default: 3, source: 'store', min: 1, max: 10 },
  'retry.budget': { value: 0.2, default: 0.2, source: 'default', min: 0, max: 1, unit: 'share' },
  'retry.wait': { value: '10s', default: '10s', source: 'caddyfile', locked: true, max: '5m' },
  reveal: { value: true, default: true, source: 'default' },
};

test('settings: a draft holds changes only, in the order of the fields', () => {
  let draft = put(fields, {}, 'retry.attempts', 5);
  draft = put(fields, draft, 'strategy', 'round_robin');
  assert.deepEqual(changes(fields, draft), [
    { name: 'strategy', old: 'adaptive', new: 'round_robin' }, { name: 'retry.attempts', old: 3, new: 5 }]);
  assert.deepEqual(put(fields, draft, 'retry.attempts', 3), { strategy: 'round_robin' });
});

test('settings: durations', () => {
  for (const [text, want] of [['10s', 10_000], ['1m30s', 90_000], ['1.5h', 5_400_000], ['500ms', 500], ['7d', 604_800_000], ['0', 0],
    ['10', null], ['', null], ['s', null], ['1x', null], ['-1s', null], ['1 s', null]]) assert.equal(duration(text), want, text);
});

test('settings: kinds and what they take', () => {
  assert.deepEqual(Object.values(fields).map(kind), ['choice', 'number', 'share', 'duration', 'switch']);
  for (const [name, text, want] of [
    ['retry.attempts', '4', { value: 4 }], ['retry.attempts', '4.5', { error: 'integer' }], ['retry.attempts', '', { error: 'number' }],
    ['retry.attempts', '11', { error: 'range', min: 1, max: 10 }], ['retry.budget', '0.35', { value: 0.35 }],
    ['retry.budget', '2', { error: 'range', min: 0, max: 1 }], ['retry.wait', '1m', { value: '1m' }], ['retry.wait', 'soon', { error: 'duration' }],
    ['retry.wait', '6m', { error: 'max', min: undefined, max: '5m' }], ['strategy', 'magic', { error: 'choice' }],
  ]) assert.deepEqual(parse(fields[name], text), want, `${name} ${text}`);
});

test('settings: three-way merge after 412', () => {
  const theirs = { ...fields, 'retry.attempts': { ...fields['retry.attempts'], value: 7 }, strategy: { ...fields.strategy, value: 'least_used' } };
  const draft = { 'retry.attempts': 5, 'retry.budget': 0.5, strategy: 'least_used' };
  assert.deepEqual(merge(fields, draft, theirs), {
    draft: { 'retry.attempts': 5, 'retry.budget': 0.5 },
    conflicts: [{ name: 'retry.attempts', base: 3, mine: 5, theirs: 7 }],
  });
  assert.deepEqual(resolve({ a: 1, b: 2 }, { a: 'theirs', b: 'mine' }), { b: 2 });
});
