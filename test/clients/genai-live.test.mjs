// SPDX-License-Identifier: Apache-2.0
// The Live API by Google's own package.
import { describe, test } from 'node:test'
import assert from 'node:assert/strict'
import * as genai3 from '@google/genai'
import * as genaiCLI from 'genai-cli'
import { healthy } from './env.mjs'

const model = 'gemini-2.5-flash-native-audio-preview'

/** A session whose messages can be waited for. */
async function connect(ai, config = {}) {
  const waiting = [], came = []
  let closed
  const ended = new Promise((resolve) => (closed = resolve))
  const connected = ai.live.connect({
    model,
    config: { responseModalities: ['TEXT'], ...config },
    callbacks: {
      onmessage: (m) => (waiting.length > 0 ? waiting.shift()(m) : came.push(m)),
      onerror: (e) => closed(e),
      onclose: (e) => closed(e),
    },
  })
  connected.catch(() => {})
  // Some versions never say that a connection was refused, but by onclose.
  const session = await Promise.race([connected, ended.then((e) => assert.fail(`refused: ${e.reason ?? e.message}`))])
  const next = () => (came.length > 0 ? came.shift() : new Promise((resolve) => waiting.push(resolve)))
  /** Messages until one that `last` is true of. */
  const until = async (last) => {
    const all = []
    for (;;) {
      const m = await next()
      all.push(m)
      if (last(m)) return all
    }
  }
  return { session, until, ended }
}

const complete = (m) => m.serverContent?.turnComplete
const said = (messages) => messages.flatMap((m) => m.serverContent?.modelTurn?.parts ?? []).map((p) => p.text ?? '').join('')

for (const [name, { GoogleGenAI }] of [
  ['@google/genai 3', genai3],
  ['@google/genai 1.30 (gemini-cli)', genaiCLI],
]) {
  const at = ({ base, key }) => new GoogleGenAI({ apiKey: key, vertexai: false, httpOptions: { baseUrl: base } })

  describe(`${name}: live`, () => {
    test('turns', async () => {
      const { session, until, ended } = await connect(at(healthy))
      for (const text of ['Hello.', 'And again.']) {
        session.sendClientContent({ turns: text, turnComplete: true })
        assert.ok(said(await until(complete)).includes(text))
      }
      session.close()
      await ended
    })

    test('audio', async () => {
      const { session, until } = await connect(at(healthy), { responseModalities: ['AUDIO'] })
      session.sendClientContent({ turns: 'Sing. [[audio 10000]]', turnComplete: true })
      const parts = (await until(complete)).flatMap((m) => m.serverContent?.modelTurn?.parts ?? [])
      assert.ok(parts.some((p) => p.inlineData?.mimeType.startsWith('audio/pcm')))
      session.close()
    })

    test('tools', async () => {
      const tools = [{ functionDeclarations: [{ name: 'get_weather', parametersJsonSchema: { type: 'object', properties: {} } }] }]
      const { session, until } = await connect(at(healthy), { tools })
      session.sendClientContent({ turns: 'Weather? [[call get_weather]]', turnComplete: true })
      const { toolCall } = (await until((m) => m.toolCall)).at(-1)
      session.sendToolResponse({ functionResponses: toolCall.functionCalls.map(({ id, name }) => ({ id, name, response: { output: 'sunshine' } })) })
      assert.match(said(await until(complete)), /sunshine/)
      session.close()
    })

    test('a wrong key', async () => {
      await assert.rejects(connect(at({ ...healthy, key: 'gb-wrong' })))
    })
  })
}
