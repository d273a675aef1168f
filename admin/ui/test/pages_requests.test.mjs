import assert from 'node:assert/strict';
import test from 'node:test';
import { apiQuery, brushed, chips, clean, matches, readFilter, spread, writeFilter } from '../web/js/pages/requests/filter.js';
import { SIZE, empty, pause, resume, sampling, take } from '../web/js/pages/requests/tail.js';

const query = (text) => new URLSearchParams(text);

test('filter: address and back', async (t) => {
  for (const [name, text, want] of [
    ['nothing is 24 h', '', {}],
    ['window', 'window=7d', { window: '7d' }],
    ['unknown window', 'window=9y', {}],
    ['prototype name', 'window=toString', {}],
    ['all fields', 'class=failed&status=429&code=x&model=m&dialect=gemini&min_ms=5&min_attempts=2&request_id=r',
      { class: 'failed', status: '429', code: 'x', model: 'm', dialect: 'gemini', min_ms: '5', min_attempts: '2', request_id: 'r' }],
    ['wrong values', 'class=evil&status=9999&min_ms=1.5&dialect=%3Cscript%3E', {}],
    ['span wins over window', 'window=1h&from=2026-11-01T00:00:00Z&to=2026-11-01T01:00:00Z',
      { from: '2026-11-01T00:00:00.000Z', to: '2026-11-01T01:00:00.000Z' }],
    ['span the wrong way round', 'from=2026-11-02T00:00:00Z&to=2026-11-01T01:00:00Z', {}],
  ]) {
    await t.test(name, () => {
      const written = writeFilter(readFilter(query(text)));
      assert.deepEqual(written, want);
      assert.deepEqual(writeFilter(readFilter(new URLSearchParams(written))), want);
    });
  }
});

test('filter: values are checked like the API does', () => {
  assert.equal(clean('status', ' 503 '), '503');
  assert.equal(clean('status', '99'), '');
  assert.equal(clean('min_attempts', '0'), '');
  assert.equal(clean('no such field', '1'), '');
  assert.equal(clean('model', 'x'.repeat(300)).length, 256);
});

test('filter: the API is asked for from and to only', () => {
  const now = Date.parse('2026-11-26T12:00:00.400Z');
  assert.deepEqual(apiQuery({ window: '1h', code: 'x' }, now), { code: 'x', from: '2026-11-26T11:00:00.000Z' });
  const span = brushed({ window: '1h', code: 'x' }, 1000.7, 900.2);
  assert.deepEqual(span, { code: 'x', from: '1970-01-01T00:15:00.000Z', to: '1970-01-01T00:16:41.000Z' });
  assert.deepEqual(apiQuery(span, now), span);
  assert.ok(brushed({}, 5, 5).from < brushed({}, 5, 5).to);
});

test('filter: live rows', () => {
  const row = { id: 'r1', class: 'ok', status: 200, outcome: 'ok', model: 'g', asked: 'gpt', user_id: 'u', key_id: 'k', dialect: 'openai', duration_ms: 900, attempts: 2 };
  for (const [filter, want] of [
    [{}, true], [{ window: '1h' }, true], [{ class: 'failed' }, false], [{ status: '200' }, true], [{ model: 'gpt' }, true], [{ model: 'g' }, true],
    [{ model: 'x' }, false], [{ min_ms: '900' }, true], [{ min_ms: '901' }, false], [{ min_attempts: '3' }, false], [{ user: 'u', key: 'k' }, true],
    [{ user: 'u', key: 'z' }, false], [{ request_id: 'r1' }, true], [{ dialect: 'gemini' }, false],
  ]) assert.equal(matches(filter, row), want, JSON.stringify(filter));
  assert.deepEqual(chips({ key: 'k', class: 'ok', window: '1h' }), [['class', 'ok'], ['key', 'k']]);
});

test('tail: newest first, bounded, sampled', () => {
  let tail = take(empty(), [{ id: 1 }, { id: 2 }]);
  assert.deepEqual(tail.rows.map((r) => r.id), [2, 1]);
  for (let i = 3; i < SIZE + 50; i++) tail = take(tail, [{ id: i, sampled: 25 }]);
  assert.equal(tail.rows.length, SIZE);
  assert.equal(tail.rows[0].id, SIZE + 49);
  assert.equal(sampling(tail), Math.round((2 + 25 * (SIZE + 47)) / (SIZE + 49)));
  assert.equal(sampling(empty()), 1);
});

test('tail: stands still while paused', () => {
  let tail = pause(take(empty(), [{ id: 1 }]));
  tail = take(tail, [{ id: 2 }, { id: 3 }]);
  assert.deepEqual(tail.rows.map((r) => r.id), [1]);
  assert.equal(tail.missed, 2);
  tail = resume(tail);
  assert.deepEqual(tail.rows.map((r) => r.id), [3, 2, 1]);
  assert.equal(tail.missed, 0);
  assert.equal(take(tail, [{ id: 4 }], () => false), tail);
  assert.equal(resume(tail), tail);
});

test('tail: what is held while paused is bounded too', () => {
  let tail = pause(empty());
  for (let i = 0; i < SIZE + 10; i++) tail = take(tail, [{ id: i }]);
  assert.equal(tail.held.length, SIZE);
  assert.equal(tail.missed, SIZE + 10);
});

test('histogram: laid over the whole span, at most 240 buckets, nothing lost', () => {
  const from = Date.parse('2026-11-25T12:00:20Z'), to = Date.parse('2026-11-26T12:00:00Z');
  const data = { t: ['2026-11-25T12:00:00Z', '2026-11-26T11:58:00Z', '2026-11-26T11:59:00Z'], step_ms: 60_000, ok: [1, 5, 2], retried: [0, 1, 0], client_error: [0, 0, 1], failed: [0, 0, 3] };
  const wide = spread(data, from, to);
  assert.ok(wide.t.length <= 240 && wide.t.length > 200);
  assert.equal(wide.t[0], '2026-11-25T12:00:00.000Z');
  for (const kind of ['ok', 'retried', 'client_error', 'failed']) {
    assert.equal(wide[kind].length, wide.t.length);
    assert.equal(wide[kind].reduce((a, b) => a + b), data[kind].reduce((a, b) => a + b), kind);
  }
  assert.equal(wide.ok[0], 1);
  assert.equal(spread({ t: [], ok: [], retried: [], client_error: [], failed: [] }, from, to).t.length, 240);
});
