import assert from 'node:assert/strict';
import test from 'node:test';
import { changes, duration, flatten, kind, merge, parse, patchOf, put, resolve, shown, size, span } from '../web/js/pages/settings/diff.js';

const fields = {
  strategy: { type: 'word', value: 'adaptive', default: 'adaptive', options: ['adaptive', 'least_used', 'round_robin'] },
  'retry.attempts': { type: 'count', value: 3, default: 3, min: 1, max: 10 },
  'retry.budget': { type: 'share', value: 0.2, default: 0.2, min: 0, max: 1 },
  'retry.wait': { type: 'duration', value: '2m0s', default: '10s', locked: true, min: '0s', max: '5m0s' },
  'keys.reveal': { type: 'switch', value: true, default: true },
  max_request_size: { type: 'bytes', value: 100_000_000, default: 100_000_000, min: 1024 },
  'limits.budget.day': { type: 'usd', value: 0, default: 0, min: 0, max: 1e9 },
};

test('settings: a draft holds changes only, in the order of the fields', () => {
  let draft = put(fields, {}, 'retry.attempts', 5);
  draft = put(fields, draft, 'strategy', 'round_robin');
  assert.deepEqual(changes(fields, draft), [
    { name: 'strategy', old: 'adaptive', new: 'round_robin' }, { name: 'retry.attempts', old: 3, new: 5 }]);
  assert.deepEqual(put(fields, draft, 'retry.attempts', 3), { strategy: 'round_robin' });
});

test('settings: who types the default means it, and nothing else is set', () => {
  const set = { ...fields, 'retry.attempts': { ...fields['retry.attempts'], value: 7, source: 'store' },
    'retry.wait': { ...fields['retry.wait'], default: '1m30s', source: 'store' } };
  let draft = put(set, {}, 'retry.attempts', 3);
  draft = put(set, draft, 'retry.wait', parse(set['retry.wait'], '90s').value);
  draft = put(set, draft, 'retry.budget', 0.5);
  assert.deepEqual(patchOf(set, draft), { 'retry.attempts': null, 'retry.wait': null, 'retry.budget': 0.5 });
  assert.deepEqual(changes(set, draft).map((c) => c.new), [3, 0.5, '1m30s'], 'what is looked through are values');
});

test('settings: durations', () => {
  for (const [text, want] of [['10s', 10_000], ['1m30s', 90_000], ['1.5h', 5_400_000], ['500ms', 500], ['7d', 604_800_000], ['0', 0],
    ['10', null], ['', null], ['s', null], ['1x', null], ['-1s', null], ['1 s', null]]) assert.equal(duration(text), want, text);
});

test('settings: as shown', () => {
  assert.deepEqual(Object.values(fields).map((f) => shown(f)), ['adaptive', '3', '0.2', '2m', 'true', '100 MB', '0']);
  for (const [ms, text] of [[0, '0s'], [604_800_000, '7d'], [90_000, '1m30s'], [500, '500ms'], [90_061_001, '1d1h1m1s1ms']]) {
    assert.equal(span(ms), text);
    assert.equal(duration(text), ms);
  }
  for (const [text, n] of [['100MB', 1e8], ['1 GiB', 2 ** 30], ['1024', 1024], ['5 x', null], ['', null]]) assert.equal(size(text), n, text);
});

test('settings: what each type takes', () => {
  for (const [name, text, want] of [
    ['retry.attempts', '4', { value: 4 }], ['retry.attempts', '4.5', { error: 'integer' }], ['retry.attempts', '', { error: 'integer' }],
    ['retry.attempts', '11', { error: 'range', min: '1', max: '10' }], ['retry.budget', '0.35', { value: 0.35 }], ['retry.budget', '35%', { value: 0.35 }],
    ['retry.budget', '2', { error: 'range', min: '0', max: '1' }], ['retry.wait', '1m', { value: '1m' }], ['retry.wait', '120s', { value: '2m0s' }],
    ['retry.wait', 'soon', { error: 'duration' }], ['retry.wait', '6m', { error: 'range', min: '0s', max: '5m' }], ['strategy', 'magic', { error: 'choice' }],
    ['max_request_size', '1', { error: 'min', min: '1 KiB', max: undefined }], ['max_request_size', '2 MiB', { value: 2 ** 21 }],
    ['limits.budget.day', '12.50', { value: 12.5 }], ['limits.budget.day', '-1', { error: 'money' }],
  ]) assert.deepEqual(parse(fields[name], text), want, `${name} ${text}`);
  assert.equal(kind({ value: true }), 'switch');
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

test('settings: a file, nested or dotted', () => {
  const want = { strategy: 'adaptive', 'retry.attempts': 3, 'limits.budget.day': 1 };
  assert.deepEqual(flatten({ strategy: 'adaptive', retry: { attempts: 3 }, limits: { budget: { day: 1 } } }), want);
  assert.deepEqual(flatten(want), want);
  for (const wrong of [null, [], 'x', 3]) assert.throws(() => flatten(wrong), TypeError);
});
