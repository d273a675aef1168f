// SPDX-License-Identifier: Apache-2.0
// What the Go test that starts these files tells them; see clients_test.go.
import assert from 'node:assert/strict'

const { GB_BASE, GB_KEY, GB_EMPTY_BASE, GB_EMPTY_KEY, GB_CONTROL } = process.env
assert.ok(GB_BASE && GB_KEY && GB_EMPTY_BASE && GB_EMPTY_KEY && GB_CONTROL, 'run by go test in test/clients, or with make clients')

/** A gateway with healthy keys, and one whose keys are all out of quota. */
export const healthy = { base: GB_BASE, key: GB_KEY }
export const exhausted = { base: GB_EMPTY_BASE, key: GB_EMPTY_KEY }

/** Models of the simulated Google. */
export const plain = 'gemini-2.5-flash'
export const signing = 'gemini-3-flash-preview' // insists on thought signatures
export const embedder = 'gemini-embedding-001'
export const painter = 'gemini-2.5-flash-image'
export const speaker = 'gemini-2.5-flash-preview-tts'

/** A PNG of one pixel. */
export const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

/** Answers of the simulated Google that were cancelled before their end. */
const cancelled = async () => Number(await (await fetch(`${GB_CONTROL}/cancelled`)).text())

/**
 * Checks that `leave`, which starts a slow stream, reads some of it and walks
 * away, is felt by Google within 100 ms. The machine may be busy: the best of three counts.
 */
export async function upstreamFeels(leave) {
  let best = Infinity
  for (let i = 0; i < 3 && best > 100; i++) {
    const before = await cancelled()
    const gone = await leave()
    while ((await cancelled()) === before && performance.now() - gone < 2000) await new Promise((r) => setTimeout(r, 2))
    assert.ok((await cancelled()) > before, 'Google still generates 2 s after the client left')
    best = Math.min(best, performance.now() - gone)
  }
  assert.ok(best <= 100, `Google generated on for ${best} ms after the client left`)
}

/** The slow answer that an abort is tried on. */
export const slow = 'Tell me a very long story. [[events 500]] [[pace 20ms]]'

/** Checks that `promise` fails as the SDK's error `type`, and gives the error. */
export async function rejects(promise, type, status, code) {
  const err = await promise.then(
    () => assert.fail(`expected a ${type.name}`),
    (e) => e,
  )
  assert.ok(err instanceof type, `expected ${type.name}, got ${err?.constructor?.name}: ${err?.message}`)
  assert.equal(err.status ?? err.statusCode, status, err.message)
  if (code !== undefined) assert.equal(err.code, code)
  assert.ok(err.message.length > 10, err.message)
  return err
}

/** Checks that two vectors are the same but for rounding. */
export function close(a, b) {
  assert.equal(a.length, b.length)
  a.forEach((x, i) => assert.ok(Math.abs(x - b[i]) < 1e-6, `${i}: ${x} and ${b[i]}`))
}
