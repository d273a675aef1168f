import assert from 'node:assert/strict';
import test from 'node:test';
import { blank, csv, faults, keysCsv, reverse, toForm, toPatch, toSpec } from '../web/js/pages/users/spec.js';

const now = Date.parse('2026-11-26T00:00:00Z');
const form = (changed) => ({ ...blank(), name: 'ann', ...changed });

test('user key: the smallest body', () => assert.deepEqual(toSpec(form(), now), { name: 'ann', limits: {} }));

test('user key: the whole body', () => {
  assert.deepEqual(toSpec(form({
    count: '3', expiry: '7', models: 'gemini-*\n gemini-*,x', dialects: ['gemini', 'openai'], cidrs: '10.0.0.0/8；::1', labels: 'a，b', note: ' hi ',
    paid_only: true, limits: { rpm: '60', tpm: '' }, budget: { month: '12.50' },
  }), now), {
    name: 'ann', count: 3, expires_at: '2026-12-03T00:00:00.000Z', models: ['gemini-*', 'x'], dialects: ['openai', 'gemini'], cidrs: ['10.0.0.0/8', '::1'],
    labels: ['a', 'b'], note: 'hi', paid_only: true, limits: { rpm: 60, budget: { month: 12.5 } },
  });
});

test('user key: faults by field', async (t) => {
  for (const [name, changed, want] of [
    ['fine', {}, {}],
    ['no name', { name: ' ' }, { name: 'required' }],
    ['64 wide characters', { name: '键'.repeat(64) }, {}],
    ['65', { name: '键'.repeat(65) }, { name: 'too_long' }],
    ['count', { count: '1001' }, { count: 'range' }],
    ['past', { expiry: 'date', date: '2020-01-01T00:00' }, { expires_at: 'past' }],
    ['no date', { expiry: 'date', date: '' }, { expires_at: 'past' }],
    ['a limit of 0', { limits: { rpm: '00' } }, { 'limits.rpm': 'integer' }],
    ['a budget of 0', { budget: { day: '0.0' } }, { 'limits.budget.day': 'money' }],
    ['limit', { limits: { rpm: '1.5' } }, { 'limits.rpm': 'integer' }],
    ['money', { budget: { day: '-1' } }, { 'limits.budget.day': 'money' }],
    ['network', { cidrs: '10.0.0.0/33' }, { cidrs: 'network' }],
    ['address', { cidrs: '10.0.0.300' }, { cidrs: 'network' }],
    ['IPv6', { cidrs: '2001:db8::/32' }, {}],
    ['no API', { dialects: [] }, { dialects: 'required' }],
  ]) await t.test(name, () => assert.deepEqual(faults(form(changed), now), want));
});

test('user key: a patch has what changed, and can be undone', () => {
  const key = { name: 'ann', models: ['a'], explain: true, limits: { rpm: 5, tpm: 9, budget: { day: 1, total: 4 } } };
  const before = toForm(key);
  assert.deepEqual(toPatch(before, before, now), {});
  const patch = toPatch(before, { ...before, name: 'bob', models: '', explain: false, limits: { rpm: '6' }, budget: { day: '1' } }, now);
  assert.deepEqual(patch, { name: 'bob', models: null, explain: false, limits: { rpm: 6, tpm: null, budget: { total: null } } });
  assert.deepEqual(reverse(key, patch), { name: 'ann', models: ['a'], explain: true, limits: { rpm: 5, tpm: 9, budget: { day: 1, total: 4 } } });
});

test('user key: CSV does not run in a spreadsheet', () => {
  assert.equal(csv([['=1+1', 'a,"b"', '-x', null]]), '\ufeff\'=1+1,"a,""b""",\'-x,\r\n');
  assert.match(keysCsv([{ name: 'n', id: 'i', key: 'gb-x' }]), /^\ufeffname,id,key,expires_at\r\nn,i,gb-x,\r\n$/);
});
