import assert from 'node:assert/strict';
import { test } from 'node:test';
import { among, count, everything, isEmpty, isSelected, none, set, toRequest, toggle } from '../web/js/lib/selection.js';

const filter = { status: 'active' };

test('nothing is selected at first', () => {
  assert.equal(count(none(), 10), 0);
  assert.ok(isEmpty(none(), 10));
  assert.deepEqual(toRequest(none(), filter, 10), { ids: [] });
});

test('single rows are sent as ids', () => {
  const s = toggle(toggle(toggle(none(), 'a'), 'b'), 'a');
  assert.deepEqual([isSelected(s, 'a'), isSelected(s, 'b')], [false, true]);
  assert.deepEqual(toRequest(s, filter, 10), { ids: ['b'] });
});

test('all but some are sent as a filter with exceptions and the count', () => {
  const s = toggle(toggle(everything(), 'a'), 'b');
  assert.equal(count(s, 1234), 1232);
  assert.deepEqual(toRequest(s, filter, 1234), { filter, except: ['a', 'b'], expected_count: 1232 });
  assert.deepEqual(toRequest(toggle(toggle(s, 'a'), 'b'), filter, 1234), { filter, expected_count: 1234 });
});

test('set means the same for both kinds', () => {
  for (const start of [none(), everything(), toggle(none(), 'b'), toggle(everything(), 'b')]) {
    assert.deepEqual(among(set(start, ['a', 'b'], true), ['a', 'b']), ['a', 'b']);
    assert.deepEqual(among(set(start, ['a', 'b'], false), ['a', 'b']), []);
    assert.equal(isSelected(set(start, ['a', 'b'], true), 'c'), isSelected(start, 'c'));
  }
});

test('a selection is never changed in place', () => {
  const s = none();
  toggle(s, 'a');
  set(s, ['b'], true);
  assert.equal(s.ids.size, 0);
});
