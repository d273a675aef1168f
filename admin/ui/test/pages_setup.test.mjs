import assert from 'node:assert/strict';
import test from 'node:test';
import { phases, spans } from '../web/js/pages/requests/phases.js';
import { scan } from '../web/js/pages/setup/keys.js';

const key = 'AIzaSy' + 'a1_-'.repeat(8) + 'b';

test('set-up: keys are counted in any text', () => {
  assert.deepEqual(scan(''), { found: 0, duplicates: 0, malformed: 0 });
  assert.deepEqual(scan(`\ufeffname,key\r\na，${key}\r\nb;${key}x ${key}, AIzashort`), { found: 1, duplicates: 1, malformed: 2 });
});

test('request: no attempt is drawn beyond its request', () => {
  const tries = [{ started_ms: 0, duration_ms: 0 }, { started_ms: 1, duration_ms: 1 }];
  assert.deepEqual(spans(tries, 1), [{ width: 0.6, left: 0 }, { width: 50, left: 50 }]);
  assert.deepEqual(spans([{ started_ms: 1000, duration_ms: 0 }], 1000), [{ width: 0.6, left: 99.4 }]);
});

test('request: the phases add up to the whole', () => {
  const tries = [{ started_ms: 10, duration_ms: 200 }, { started_ms: 300, duration_ms: 700 }];
  const parts = phases({ tries, ttft_ms: 500, duration_ms: 1000, waited_ms: 10 });
  assert.deepEqual(parts, [['queue', 100], ['failed', 200], ['first', 200], ['stream', 500]]);
  assert.deepEqual(phases({ tries: [], ttft_ms: null, duration_ms: 5, waited_ms: 0 }), [['first', 5]]);
  assert.equal(phases({ tries: [tries[0]], ttft_ms: null, duration_ms: 210 }).reduce((n, [, d]) => n + d, 0), 210);
});
