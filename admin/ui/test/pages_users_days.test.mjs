import assert from 'node:assert/strict';
import { test } from 'node:test';
import { web } from './files.mjs';

const { byDay } = await import(`${web}/js/pages/users/days.js`);

test('parts of a day are added up, unknown costs stay unknown', () => {
  const t = [new Date(2026, 10, 25, 3), new Date(2026, 10, 25, 23), new Date(2026, 10, 26, 0)].map((d) => d.toISOString());
  const days = byDay({ t, ok: [1, 2, 0], retried: [1, 0, 0], client_error: [0, 1, 0], failed: [0, 0, 0], tokens_in: [5, null, 0],
    tokens_out: [1, 2, 0], cost_nano: [null, 7, null] });
  assert.deepEqual(days.map(({ requests, tokens, cost }) => [requests, tokens, cost]), [[5, 8, 7], [0, 0, null]]);
});
