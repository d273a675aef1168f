// SPDX-License-Identifier: Apache-2.0
// Google's own package: the newest, and the version that gemini-cli pins.
import { describe, test } from 'node:test'
import assert from 'node:assert/strict'
import * as genai3 from '@google/genai'
import * as genaiCLI from 'genai-cli'
import { embedder, exhausted, healthy, pixel, plain, signing, slow, upstreamFeels } from './env.mjs'

const weather = {
  name: 'get_weather',
  description: 'Weather of a city',
  parametersJsonSchema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}
const clock = { ...weather, name: 'get_time', description: 'Local time of a city' }

for (const [name, { GoogleGenAI, ApiError }] of [
  ['@google/genai 3', genai3],
  ['@google/genai 1.30 (gemini-cli)', genaiCLI],
]) {
  const at = ({ base, key }) => new GoogleGenAI({ apiKey: key, vertexai: false, httpOptions: { baseUrl: base, timeout: 20_000, retryOptions: { attempts: 1 } } })
  const ai = at(healthy)
  const hello = { model: plain, contents: 'Say hello.' }

  async function rejects(promise, status) {
    const err = await promise.then(
      () => assert.fail('expected an ApiError'),
      (e) => e,
    )
    assert.ok(err instanceof ApiError, `expected ApiError, got ${err?.constructor?.name}: ${err?.message}`)
    assert.equal(err.status, status, err.message)
    return err
  }

  describe(name, () => {
    test('generateContent', async () => {
      const answer = await ai.models.generateContent(hello)
      assert.ok(answer.text.length > 0)
      assert.equal(answer.candidates[0].finishReason, 'STOP')
      assert.ok(answer.usageMetadata.totalTokenCount > 0)
    })

    test('generateContentStream', async () => {
      let text = '', last
      for await (const c of await ai.models.generateContentStream(hello)) {
        text += c.text ?? ''
        last = c
      }
      assert.ok(text.length > 0)
      assert.equal(last.candidates[0].finishReason, 'STOP')
      assert.ok(last.usageMetadata.totalTokenCount > 0)
    })

    test('chat, multi-turn', async () => {
      const chat = ai.chats.create({ model: plain, config: { systemInstruction: 'Be brief.' } })
      assert.ok((await chat.sendMessage({ message: 'My name is Ada.' })).text.length > 0)
      let text = ''
      for await (const c of await chat.sendMessageStream({ message: 'What is my name?' })) text += c.text ?? ''
      assert.ok(text.length > 0)
      assert.ok(chat.getHistory().length >= 4)
    })

    for (const streamed of [false, true])
      test(`parallel function calls${streamed ? ', streamed' : ''}`, async () => {
        const config = { tools: [{ functionDeclarations: [weather, clock] }] }
        const contents = [{ role: 'user', parts: [{ text: 'Weather and time in Oslo? Ask in parallel.' }] }]
        // The parts of one turn, as they came; gemini-cli joins chunks like this.
        const ask = async () => {
          const request = { model: signing, contents, config }
          if (!streamed) return (await ai.models.generateContent(request)).candidates[0].content.parts
          const parts = []
          for await (const c of await ai.models.generateContentStream(request)) parts.push(...(c.candidates?.[0]?.content?.parts ?? []))
          return parts.filter((p) => p.text !== '')
        }
        const turn = await ask()
        const calls = turn.filter((p) => p.functionCall)
        assert.equal(calls.length, 2)
        assert.ok(calls[0].thoughtSignature)
        const results = calls.map(({ functionCall: { id, name } }) => ({ functionResponse: { id, name, response: { output: 'fine' } } }))
        contents.push({ role: 'model', parts: turn }, { role: 'user', parts: results })
        const text = (await ask()).map((p) => p.text ?? '').join('')
        assert.ok(text.length > 0)
      })

    test('structured output', async () => {
      const responseJsonSchema = { type: 'object', properties: { name: { type: 'string' }, population: { type: 'number' } }, required: ['name', 'population'] }
      const answer = await ai.models.generateContent({ ...hello, config: { responseMimeType: 'application/json', responseJsonSchema } })
      const city = JSON.parse(answer.text)
      assert.equal(typeof city.name, 'string')
      assert.equal(typeof city.population, 'number')
    })

    test('image', async () => {
      const contents = [{ text: 'What is it?' }, { inlineData: { mimeType: 'image/png', data: pixel } }]
      assert.ok((await ai.models.generateContent({ model: plain, contents })).text.length > 0)
    })

    test('countTokens and embedContent', async () => {
      assert.ok((await ai.models.countTokens(hello)).totalTokens > 0)
      const answer = await ai.models.embedContent({ model: embedder, contents: ['one', 'two'] })
      assert.equal(answer.embeddings.length, 2)
      assert.ok(answer.embeddings[0].values.length > 0)
    })

    test('models', async () => {
      const names = []
      for await (const m of await ai.models.list()) names.push(m.name)
      assert.ok(names.includes(`models/${plain}`), names.join())
      assert.equal((await ai.models.get({ model: plain })).name, `models/${plain}`)
    })

    test('errors are typed', async () => {
      const refused = await rejects(at({ ...healthy, key: 'gb-wrong' }).models.generateContent(hello), 400)
      assert.match(refused.message, /API_KEY_INVALID/) // Google's own words for a wrong key
      await rejects(ai.models.generateContent({ ...hello, model: 'gemini-none' }), 404)
      await rejects(ai.models.generateContent({ ...hello, config: { temperature: 9 } }), 400)
      await rejects(ai.models.generateContentStream({ ...hello, model: 'gemini-none' }), 404)
    })

    test('all keys out of quota', async () => {
      const err = await rejects(at(exhausted).models.generateContent(hello), 429)
      assert.match(err.message, /RESOURCE_EXHAUSTED/)
      await rejects(at(exhausted).models.generateContentStream(hello), 429)
    })

    test('abort', () =>
      upstreamFeels(async () => {
        const abort = new AbortController()
        let gone
        const stream = await ai.models.generateContentStream({ model: plain, contents: slow, config: { abortSignal: abort.signal } })
        try {
          for await (const c of stream) {
            if (!c.text) continue
            gone ??= performance.now()
            abort.abort()
          }
        } catch (e) {
          assert.match(String(e), /abort/i)
        }
        return gone
      }))
  })
}
