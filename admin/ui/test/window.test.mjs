import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pages, reveal, visible } from '../web/js/lib/window.js';

test('visible rows, with some more on each side', () => {
  assert.deepEqual(visible(0, 360, 36, 10_000, 6), [0, 16]);
  assert.deepEqual(visible(3600, 360, 36, 10_000, 6), [94, 116]);
  assert.deepEqual(visible(36 * 10_000 - 360, 360, 36, 10_000, 6), [9984, 10_000]);
});

test('visible rows of a short, an empty and a shrunken list', () => {
  assert.deepEqual(visible(0, 360, 36, 3, 6), [0, 3]);
  assert.deepEqual(visible(0, 360, 36, 0, 6), [0, 0]);
  assert.deepEqual(visible(36_000, 360, 36, 5, 6), [5, 5]);
});

test('the window never holds more than the screen and its margins', () => {
  for (let top = 0; top < 360_000; top += 997) {
    const [first, last] = visible(top, 800, 36, 10_000, 6);
    assert.ok(last - first <= Math.ceil(800 / 36) + 1 + 12, `at ${top}: ${last - first}`);
    assert.ok(first <= top / 36 && last >= Math.min(10_000, (top + 800) / 36), `at ${top}`);
  }
});

test('pages that hold the window and half a page around it', () => {
  assert.deepEqual(pages([0, 30], 10_000, 100), [0]);
  assert.deepEqual(pages([30, 60], 10_000, 100), [0, 1]);
  assert.deepEqual(pages([150, 180], 10_000, 100), [1, 2]);
  assert.deepEqual(pages([9970, 10_000], 10_000, 100), [99]);
  assert.deepEqual(pages([0, 0], 0, 100), [0]);
});

test('a row is revealed with the least scrolling', () => {
  assert.equal(reveal(0, 720, 360, 36), 0);
  assert.equal(reveal(25, 720, 360, 36), 720);
  assert.equal(reveal(30, 720, 360, 36), 36 * 31 - 360);
});
