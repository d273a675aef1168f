import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const tsc = join(here, 'node_modules/typescript/bin/tsc');

test('the modules fit each other by the types that JSDoc tells', () => {
  assert.ok(existsSync(tsc), 'no TypeScript here: run make ui-test, or npm ci in admin/ui/test');
  const { stdout, stderr, status, error } = spawnSync(process.execPath, [tsc, '-p', here, '--pretty', 'false'], { encoding: 'utf8' });
  assert.ifError(error);
  // What others wrote and minified has no types to tell; its faults go on in indented lines.
  const faults = [];
  let own = true;
  for (const line of stdout.split('\n').filter(Boolean)) {
    if (!line.startsWith(' ')) own = !line.includes('/vendor/');
    if (own) faults.push(line);
  }
  assert.equal(faults.join('\n') + stderr, '');
  assert.ok(status === 0 || stdout.includes('error TS'), `tsc ended with ${status}: ${stdout}`);
});
