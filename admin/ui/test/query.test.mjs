import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatHash, formatSort, parseHash, parseSort, toQuery } from '../web/js/lib/query.js';

const read = (hash) => {
  const { path, q } = parseHash(hash);
  return [path, Object.fromEntries(q)];
};

test('the address is split into page and parameters', () => {
  assert.deepEqual(read(''), ['/', {}]);
  assert.deepEqual(read('#/'), ['/', {}]);
  assert.deepEqual(read('#keys'), ['/keys', {}]);
  assert.deepEqual(read('#/keys/?status=invalid&q=a%26b'), ['/keys', { status: 'invalid', q: 'a&b' }]);
  assert.deepEqual(read('#/keys?q=what?'), ['/keys', { q: 'what?' }]);
});

test('empty values are left out, lists repeat their name', () => {
  assert.equal(toQuery({ a: '', b: null, c: undefined, d: false, e: 0, f: ['x', 'y'], g: 'ü &' }), 'e=0&f=x&f=y&g=%C3%BC+%26');
  assert.equal(formatHash('/keys', { q: '' }), '#/keys');
});

test('what is written can be read again', () => {
  for (const q of ['a', 'a&b=c', '研发 #1?', '100%', '+', '<img src=x onerror=alert(1)>']) {
    assert.deepEqual(read(formatHash('/keys', { q })), ['/keys', { q }]);
  }
});

test('orders', () => {
  assert.deepEqual(parseSort('-errors_24h', 'name'), { sort: 'errors_24h', order: 'desc' });
  assert.deepEqual(parseSort('', 'name'), { sort: 'name', order: 'asc' });
  assert.equal(formatSort(parseSort('-a')), '-a');
  assert.equal(formatSort(parseSort('a')), 'a');
});
