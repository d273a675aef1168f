// SPDX-License-Identifier: Apache-2.0
// Files by the official openai package, two major versions: upload, use in chat
// and responses, list, delete.
import { describe, test } from 'node:test'
import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import * as openai7 from 'openai'
import * as openai6 from 'openai-6'
import { healthy, pixel, plain, rejects } from './env.mjs'

for (const [name, sdk] of [
  ['openai 7', openai7],
  ['openai 6', openai6],
]) {
  const OpenAI = sdk.default
  const client = new OpenAI({ baseURL: `${healthy.base}/v1`, apiKey: healthy.key, maxRetries: 0, timeout: 20_000 })
  const { files } = client
  const missing = (promise) => rejects(promise, sdk.NotFoundError, 404)
  const text = (body, filename = 'notes.txt') => sdk.toFile(Buffer.from(body), filename, { type: 'text/plain' })
  const ask = (...ids) => [{ type: 'text', text: 'What is in them?' }, ...ids.map((file_id) => ({ type: 'file', file: { file_id } }))]
  const chat = (...ids) => client.chat.completions.create({ model: plain, messages: [{ role: 'user', content: ask(...ids) }] })

  describe(`${name}: files`, () => {
    test('create, retrieve, content, delete', async () => {
      const file = await files.create({ file: await text('some notes'), purpose: 'user_data' })
      assert.match(file.id, /^file-/)
      assert.equal(file.object, 'file')
      assert.equal(file.bytes, 10)
      assert.equal(file.filename, 'notes.txt')
      assert.equal(file.purpose, 'user_data')
      assert.equal(file.status, 'processed')
      assert.equal(file.expires_at - file.created_at, 48 * 3600)
      assert.deepEqual(await files.retrieve(file.id), file)
      await missing(files.content(file.id))
      assert.deepEqual(await files.delete(file.id), { id: file.id, object: 'file', deleted: true })
      await missing(files.retrieve(file.id))
      await missing(files.delete(file.id))
      await missing(chat(file.id))
    })

    test('create from a stream on disk', async () => {
      const file = await files.create({ purpose: 'assistants', file: createReadStream('package.json') })
      assert.equal(file.filename, 'package.json')
      assert.ok(file.bytes > 100)
      await files.delete(file.id)
    })

    test('files of several chunks, with an expiry', async () => {
      const file = await files.create({
        file: await sdk.toFile(Buffer.alloc(9 << 20, 'x'), 'large.bin'),
        purpose: 'user_data',
        expires_after: { anchor: 'created_at', seconds: 3600 },
      })
      assert.equal(file.bytes, 9 << 20)
      assert.equal(file.expires_at - file.created_at, 3600)
      await files.delete(file.id)
    })

    test('chat and responses with files', async () => {
      const a = await files.create({ file: await text('a', 'a.txt'), purpose: 'user_data' })
      const b = await files.create({ file: await sdk.toFile(Buffer.from(pixel, 'base64'), 'b.png'), purpose: 'vision' })
      const answer = await chat(a.id, b.id)
      assert.ok(answer.choices[0].message.content.length > 0)
      assert.ok(answer.usage.prompt_tokens > 500, `${answer.usage.prompt_tokens} tokens`) // two files
      const response = await client.responses.create({
        model: plain,
        input: [{ role: 'user', content: [{ type: 'input_image', file_id: b.id, detail: 'auto' }, { type: 'input_file', file_id: a.id }, { type: 'input_text', text: 'What?' }] }],
      })
      assert.equal(response.status, 'completed')
      const counted = await client.responses.inputTokens.count({ model: plain, input: [{ role: 'user', content: [{ type: 'input_file', file_id: a.id }] }] })
      assert.ok(counted.input_tokens > 0)
      await Promise.all([a, b].map((f) => files.delete(f.id)))
    })

    test('a video is waited for', async () => {
      const file = await files.create({ file: await sdk.toFile(Buffer.from('pictures'), 'a.mp4', { type: 'video/mp4' }), purpose: 'user_data' })
      assert.equal(file.status, 'uploaded')
      assert.ok((await chat(file.id)).choices[0].message.content.length > 0)
      assert.equal((await files.waitForProcessing(file.id, { pollInterval: 50, maxWait: 10_000 })).status, 'processed')
      await files.delete(file.id)
    })

    test('list, page by page', async () => {
      const made = []
      for (let i = 0; i < 5; i++) made.push((await files.create({ file: await text('x', `${i}.txt`), purpose: 'evals' })).id)
      const seen = []
      for await (const file of files.list({ purpose: 'evals', limit: 2, order: 'asc' })) {
        seen.push(file.id)
        await files.delete(file.id)
      }
      assert.deepEqual(seen.toSorted(), made.toSorted())
      assert.deepEqual((await files.list({ purpose: 'evals' })).data, [])
    })

    test('what is wrong is named', async () => {
      const error = await rejects(files.create({ file: await text('x'), purpose: 'fun' }), sdk.BadRequestError, 400)
      assert.equal(error.param, 'purpose')
      await rejects(files.create({ file: await text(''), purpose: 'user_data' }), sdk.BadRequestError, 400)
      assert.equal((await missing(chat('file-1-abc'))).param, 'messages[0].content[1].file.file_id')
    })
  })
}
