import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ago, bytes, change, day, full, left, ms, pct, short, stamp, step, usd, utc, wholeSteps } from '../web/js/lib/format.js';
import { lang } from '../web/js/lib/i18n.js';

const cases = (fn, table) => { for (const [input, want] of table) assert.equal(fn(input), want, `${fn.name}(${input})`); };

test('what is unknown is a dash, never zero', () => {
  for (const fn of [short, full, pct, ms, usd, bytes]) cases(fn, [[null, '–'], [undefined, '–'], [NaN, '–']]);
  assert.equal(ago(null), '–');
  assert.equal(stamp(null), '–');
});

test('short numbers', () => cases(short, [[0, '0'], [999, '999'], [1234, '1.2K'], [5_200_000, '5.2M'], [9.3e9, '9.3B']]));
test('spans of requests', () => cases(ms, [
  [0, '0 ms'], [999.4, '999 ms'], [999.6, '1.00 s'], [4189, '4.19 s'], [9994, '9.99 s'], [9996, '10.0 s'], [14_900, '14.9 s'], [99_960, '100s'], [600_000, '10m'],
]));
test('marks of an axis are whole, from one to what a chart may hold', () => {
  assert.deepEqual(wholeSteps.slice(0, 5), [1, 2, 5, 10, 20]);
  assert.ok(wholeSteps.every((n, i) => Number.isInteger(n) && n > (wholeSteps[i - 1] ?? 0)) && wholeSteps.at(-1) > 1e12);
});
test('money', () => cases(usd, [
  [0, '$0.00'], [1_000_000_000, '$1.00'], [1_234_567_890_000, '$1,234.57'], [12_345_678, '$0.0123'], [1_500, '$0.000002'], [-2_000_000_000, '−$2.00'],
]));
test('sizes', () => cases(bytes, [[0, '0 B'], [1023, '1023 B'], [1536, '1.5 KiB'], [5 << 20, '5.0 MiB'], [200 << 20, '200 MiB']]));
test('time that is left', () => cases(left, [
  [-5, '0s'], [45_000, '45s'], [119_000, '119s'], [720_000, '12m'], [6 * 3600e3 + 11 * 60e3, '6h 11m'], [7199e3, '120m'], [3 * 86400e3 + 4 * 3600e3, '3d 4h'],
]));
test('buckets', () => cases(step, [[60e3, '1 min'], [300e3, '5 min'], [3600e3, '1 hr']]));

test('changes, with a true minus and the direction', () => {
  assert.deepEqual(change(103.5, 100), { text: '+3.5%', sign: 1 });
  assert.deepEqual(change(96.5, 100), { text: '−3.5%', sign: -1 });
  assert.deepEqual(change(0.9874, 0.9880, true), { text: '−0.06 pp', sign: -1 });
  assert.deepEqual(change(100.1, 100), { text: '±0', sign: 0 });
  assert.deepEqual(change(5, 0), { text: '', sign: 0 });
  assert.deepEqual(change(null, 5), { text: '', sign: 0 });
  assert.deepEqual(change(5000, 100), { text: '+49×', sign: 1 });
});

test('time ago, both languages', () => {
  const now = Date.parse('2026-11-26T12:00:00Z');
  const before = (s) => new Date(now - s * 1000).toISOString();
  assert.equal(ago(before(180), now), '3m ago');
  assert.equal(ago(before(7200), now), '2h ago');
  assert.equal(ago(before(-120), now), 'in 2m');
  lang.value = 'zh-CN';
  assert.equal(ago(before(180), now), '3分钟前');
  assert.equal(pct(0.5), '50.0%');
  lang.value = 'en';
});

test('stamps follow the zone, and UTC when asked for', () => {
  const zone = process.env.TZ;
  process.env.TZ = 'Asia/Shanghai';
  try {
    utc.value = true;
    assert.match(stamp('2026-11-26T23:30:05Z'), /Nov 26, 2026, 23:30:05/);
    assert.match(day('2026-11-26T23:30:05Z'), /Nov 26/);
    utc.value = false;
    assert.match(stamp('2026-11-26T23:30:05Z'), /Nov 27, 2026, 07:30:05/);
  } finally {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  }
});
