// SPDX-License-Identifier: Apache-2.0
// What Google's own package keeps at Google: files, caches, batches, videos.
import { describe, test } from 'node:test'
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as genai3 from '@google/genai'
import * as genaiCLI from 'genai-cli'
import { embedder, healthy, plain } from './env.mjs'

const pause = (ms) => new Promise((r) => setTimeout(r, ms))

/** Asks again until it is done. */
async function until(ask, done) {
  for (let i = 0; i < 200; i++) {
    const got = await ask()
    if (done(got)) return got
    await pause(50)
  }
  assert.fail('still not done')
}

/** Checks that a list has an item of a name. */
async function lists(pager, name) {
  const names = []
  for await (const item of await pager) names.push(item.name)
  assert.ok(names.includes(name), `${name} in ${names}`)
}

for (const [name, { GoogleGenAI, ApiError, createPartFromUri, FileState }] of [
  ['@google/genai 3', genai3],
  ['@google/genai 1.30 (gemini-cli)', genaiCLI],
]) {
  const ai = new GoogleGenAI({ apiKey: healthy.key, vertexai: false, httpOptions: { baseUrl: healthy.base, timeout: 20_000, retryOptions: { attempts: 1 } } })
  const missing = (promise) => assert.rejects(promise, (e) => (assert.ok(e instanceof ApiError, String(e)), assert.equal(e.status, 404, e.message), true))
  const succeeded = ({ state }) => state === 'JOB_STATE_SUCCEEDED'

  /** Where `file` was downloaded to, read. */
  async function download(file) {
    const dir = await mkdtemp(join(tmpdir(), 'gb-'))
    try {
      const downloadPath = join(dir, 'it')
      await ai.files.download({ file, downloadPath })
      return await until(() => readFile(downloadPath).catch(() => Buffer.alloc(0)), (data) => data.length > 0) // some versions do not wait
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  }

  describe(name, () => {
    test('files: up, in a prompt, listed, gone', async () => {
      const file = await ai.files.upload({ file: new Blob(['What a file says.'], { type: 'text/plain' }), config: { displayName: 'note.txt' } })
      assert.match(file.name, /^files\//)
      assert.equal(file.mimeType, 'text/plain')
      assert.equal((await ai.files.get({ name: file.name })).state, FileState.ACTIVE)
      await lists(ai.files.list({ config: { pageSize: 2 } }), file.name)
      const answer = await ai.models.generateContent({ model: plain, contents: ['What is it?', createPartFromUri(file.uri, file.mimeType)] })
      assert.match(answer.text, new RegExp(file.name))
      await ai.files.delete({ name: file.name })
      await missing(ai.files.get({ name: file.name }))
    })

    test('files: in several pieces', async () => {
      const size = 8 * 1024 * 1024 + 17
      const file = await ai.files.upload({ file: new Blob([Buffer.alloc(size, 'a')], { type: 'application/pdf' }), config: { mimeType: 'application/pdf' } })
      assert.equal(Number(file.sizeBytes), size)
      await ai.files.delete({ name: file.name })
    })

    test('caches', async () => {
      const text = 'A long text that is asked about again and again. '.repeat(500)
      const cache = await ai.caches.create({ model: plain, config: { displayName: 'book', systemInstruction: 'You know this book.', contents: text, ttl: '600s' } })
      assert.match(cache.name, /^cachedContents\//)
      const answer = await ai.models.generateContent({ model: plain, contents: 'What is in it?', config: { cachedContent: cache.name } })
      assert.ok(answer.usageMetadata.cachedContentTokenCount > 0)
      const renewed = await ai.caches.update({ name: cache.name, config: { ttl: '1200s' } })
      assert.ok(new Date(renewed.expireTime) > new Date(cache.expireTime))
      assert.equal((await ai.caches.get({ name: cache.name })).model, `models/${plain}`)
      await lists(ai.caches.list(), cache.name)
      await ai.caches.delete({ name: cache.name })
      await missing(ai.caches.get({ name: cache.name }))
    })

    test('batches: in the request', async () => {
      const src = ['One.', 'Two.'].map((text) => ({ contents: [{ role: 'user', parts: [{ text }] }] }))
      const made = await ai.batches.create({ model: plain, src, config: { displayName: 'two' } })
      assert.match(made.name, /^batches\//)
      const job = await until(() => ai.batches.get({ name: made.name }), succeeded)
      const texts = job.dest.inlinedResponses.map(({ response }) => response.candidates[0].content.parts.map((p) => p.text).join(''))
      assert.match(texts[0], /One/)
      assert.match(texts[1], /Two/)
      await lists(ai.batches.list(), made.name)
      await ai.batches.delete({ name: made.name })
      await missing(ai.batches.get({ name: made.name }))
    })

    test('batches: by file', async () => {
      const lines = ['One.', 'Two.'].map((text, i) => JSON.stringify({ key: `line ${i}`, request: { contents: [{ parts: [{ text }] }] } }))
      const src = await ai.files.upload({ file: new Blob([lines.join('\n')], { type: 'application/jsonl' }), config: { mimeType: 'application/jsonl' } })
      const made = await ai.batches.create({ model: plain, src: src.name })
      const job = await until(() => ai.batches.get({ name: made.name }), succeeded)
      const results = (await download(job.dest.fileName)).toString().trim().split('\n').map((l) => JSON.parse(l))
      assert.deepEqual(results.map((r) => r.key).sort(), ['line 0', 'line 1'])
      assert.ok(results[0].response.candidates[0].content.parts.length > 0)
    })

    test('batches: cancelled', async () => {
      const made = await ai.batches.create({ model: plain, src: [{ contents: [{ parts: [{ text: 'Hello' }] }] }] })
      await ai.batches.cancel({ name: made.name }).catch((e) => assert.equal(e.status, 400, e.message)) // it may be done already
    })

    test('batches of embeddings', async () => {
      const made = await ai.batches.createEmbeddings({ model: embedder, src: { inlinedRequests: { contents: [{ parts: [{ text: 'one' }] }, { parts: [{ text: 'two' }] }] } } })
      const job = await until(() => ai.batches.get({ name: made.name }), succeeded)
      assert.equal(job.dest.inlinedEmbedContentResponses.length, 2)
    })

    if (ai.interactions) test('interactions', async () => {
      const first = await ai.interactions.create({ model: plain, input: 'My name is Ada.' })
      assert.equal(first.status, 'completed')
      const events = []
      for await (const e of await ai.interactions.create({ model: plain, input: 'Who am I?', previous_interaction_id: first.id, stream: true })) events.push(e.event_type)
      assert.equal(events[0], 'interaction.created')
      assert.equal(events.at(-1), 'interaction.completed')
      assert.equal((await ai.interactions.get(first.id)).id, first.id)
      await ai.interactions.delete(first.id)
      await assert.rejects(ai.interactions.get(first.id), (e) => e.status === 404)
    })

    // 3.x makes videos on Vertex AI only.
    if (GoogleGenAI === genaiCLI.GoogleGenAI) test('videos', async () => {
      let operation = await ai.models.generateVideos({ model: 'veo-3.1-generate-preview', prompt: 'A cat' })
      operation = await until(() => ai.operations.getVideosOperation({ operation }), (o) => o.done)
      const [made] = operation.response.generatedVideos
      assert.ok((await download(made)).length > 0)
    })
  })
}
