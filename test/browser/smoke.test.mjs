// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gateway } from './harness.mjs'

test('a gateway starts, answers and stops', async () => {
  const g = await gateway({ keys: 2, dead: 1 })
  const { key } = await g.api('POST', 'keys/user', { name: 'a' })
  assert.equal((await g.chat(key, 'Hello')).status, 200)
  assert.ok((await g.asked()).requests > 0)
})
