// SPDX-License-Identifier: Apache-2.0
// Real requests through a gateway, for pages that show what happened.
import assert from 'node:assert/strict'
import { until } from './harness.mjs'

/**
 * Sends requests that end in each way that the charts tell apart.
 * Google suspends the gateway's first key meanwhile, so that what meets it is retried.
 * @returns {Promise<{key: string, id: string, sent: number}>} the user key and how many requests there were
 */
export async function traffic(g, { name = 'a1', ok = 8, streams = 4, clientErrors = 3, failed = 2 } = {}) {
  const user = await g.api('POST', 'keys/user', { name })
  const send = async (n, status, text, more) => {
    for (let i = 0; i < n; i++) {
      const r = await g.chat(user.key, text, more)
      const body = await r.text()
      assert.ok(status.includes(r.status), `${text}: ${r.status} ${body}`)
    }
  }
  await g.setKey(g.keys[0], 'suspended')
  await send(ok, [200], 'Hello')
  await send(streams, [200], 'Hello', { stream: true, model: 'gemini-2.5-pro' })
  await send(clientErrors, [400], '[[status 400]] no')
  await g.api('POST', 'config', { retry: { attempts: 1 } }) // a failure takes no longer than it must
  await send(failed, [500, 502, 503, 504], '[[status 503]] no')
  const sent = ok + streams + clientErrors + failed
  await until('the ledger has all requests', async () => (await g.api('GET', 'overview?window=1h')).figures.requests >= sent)
  return { key: user.key, id: user.id, sent }
}

/** How many requests ended in which way, as the gateway counts them. */
export async function outcomes(g, window = '1h') {
  const series = await g.api('GET', `stats/series?window=${window}`)
  const sum = (column) => series[column].reduce((a, b) => a + (b ?? 0), 0)
  return Object.fromEntries(['ok', 'retried', 'client_error', 'failed'].map((c) => [c, sum(c)]))
}
