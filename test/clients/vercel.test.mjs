// SPDX-License-Identifier: Apache-2.0
// The ai package with its OpenAI provider, by responses (its default) and by
// chat, with its provider for whatever is compatible with OpenAI, and with Google's
// and Anthropic's.
import { describe, test } from 'node:test'
import assert from 'node:assert/strict'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createGoogle } from '@ai-sdk/google'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { APICallError, embed, embedMany, generateImage, generateObject, generateSpeech, generateText, isStepCount, Output, streamObject, streamText, tool } from 'ai'
import { z } from 'zod'
import { close, embedder, exhausted, healthy, painter, pixel, plain, rejects, signing, slow, speaker, upstreamFeels } from './env.mjs'

globalThis.AI_SDK_LOG_WARNINGS = false

const prompt = 'Say hello.'
const City = z.object({ name: z.string(), population: z.number() })

/** Tools that count how often they were asked. */
function toolbox() {
  const asked = []
  const make = (name, description) =>
    tool({ description, inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => (asked.push(`${name} ${typeof city}`), `${name} is fine`) })
  return { asked, tools: { get_weather: make('get_weather', 'Weather of a city'), get_time: make('get_time', 'Local time of a city') } }
}

const openai = ({ base, key }) => createOpenAI({ baseURL: `${base}/v1`, apiKey: key })
const compatible = ({ base, key }) =>
  createOpenAICompatible({ name: 'gateway', baseURL: `${base}/v1`, apiKey: key, includeUsage: true, supportsStructuredOutputs: true })

const google = ({ base, key }) => createGoogle({ baseURL: `${base}/v1beta`, apiKey: key })
const anthropic = ({ base, key }, by = 'apiKey') => createAnthropic({ baseURL: `${base}/v1`, [by]: key })

for (const [name, languageModel, refused = 401] of [
  ['@ai-sdk/openai, responses', (g, id) => openai(g)(id)],
  ['@ai-sdk/openai, chat', (g, id) => openai(g).chat(id)],
  ['@ai-sdk/openai-compatible', (g, id) => compatible(g)(id)],
  ['@ai-sdk/google', (g, id) => google(g)(id), 400], // Google's status for a wrong key
  ['@ai-sdk/anthropic', (g, id) => anthropic(g)(id)],
  ['@ai-sdk/anthropic, bearer', (g, id) => anthropic(g, 'authToken')(id)],
]) {
  const model = languageModel(healthy, plain)
  const common = { model, maxRetries: 0 }

  describe(name, () => {
    test('generateText', async () => {
      const { text, finishReason, usage } = await generateText({ ...common, system: 'Be brief.', prompt })
      assert.ok(text.length > 0)
      assert.equal(finishReason, 'stop')
      assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0)
    })

    test('streamText', async () => {
      const result = streamText({ ...common, prompt })
      let text = '', pieces = 0
      for await (const piece of result.textStream) (text += piece), pieces++
      assert.ok(pieces > 1)
      assert.equal(await result.finishReason, 'stop')
      assert.equal(await result.text, text)
      assert.ok((await result.usage).totalTokens > 0)
    })

    test('multi-turn', async () => {
      const messages = [{ role: 'user', content: 'My name is Ada.' }]
      for (const next of ['Who am I?', 'And again?']) {
        const { response } = await generateText({ ...common, messages })
        messages.push(...response.messages, { role: 'user', content: next })
      }
      assert.match((await generateText({ ...common, messages })).text, /And again/)
    })

    for (const question of ['Weather in Oslo?', 'Weather and time in Oslo? Ask in parallel.']) {
      const want = question.includes('parallel') ? ['get_time string', 'get_weather string'] : ['get_weather string']

      test(`tools: ${question}`, async () => {
        const { asked, tools } = toolbox()
        const { text, steps } = await generateText({ ...common, model: languageModel(healthy, signing), prompt: question, tools, stopWhen: isStepCount(4) })
        assert.deepEqual(asked.sort(), want)
        assert.equal(steps.length, 2)
        assert.match(text, /get_weather is fine/)
      })

      test(`tools, streamed: ${question}`, async () => {
        const { asked, tools } = toolbox()
        const result = streamText({ ...common, model: languageModel(healthy, signing), prompt: question, tools, stopWhen: isStepCount(4) })
        assert.match(await result.text, /get_weather is fine/)
        assert.deepEqual(asked.sort(), want)
      })
    }

    test('tools in a longer conversation', async () => {
      const { asked, tools } = toolbox()
      const ask = { ...common, model: languageModel(healthy, signing), tools, stopWhen: isStepCount(4) }
      const messages = [{ role: 'user', content: 'Weather in Oslo?' }]
      for (const next of ['And in Rome?', 'And in Bergen?']) {
        const { response } = await generateText({ ...ask, messages })
        messages.push(...response.messages, { role: 'user', content: next })
      }
      assert.match((await generateText({ ...ask, messages })).text, /get_weather is fine/)
      assert.equal(asked.length, 3)
    })

    test('generateObject, streamObject, Output.object', async () => {
      City.parse((await generateObject({ ...common, schema: City, prompt: 'Name a city.' })).object)
      const streamed = streamObject({ ...common, schema: City, prompt: 'Name a city.' })
      for await (const _ of streamed.partialObjectStream);
      City.parse(await streamed.object)
      City.parse((await generateText({ ...common, output: Output.object({ schema: City }), prompt: 'Name a city.' })).output)
    })

    test('image', async () => {
      const content = [{ type: 'text', text: 'What is it?' }, { type: 'image', image: Buffer.from(pixel, 'base64') }]
      assert.match((await generateText({ ...common, messages: [{ role: 'user', content }] })).text, /image\/png/)
    })

    test('errors are typed', async () => {
      const quiet = { prompt, maxRetries: 0 }
      await rejects(generateText({ ...quiet, model: languageModel({ ...healthy, key: 'gb-wrong' }, plain) }), APICallError, refused)
      await rejects(generateText({ ...quiet, model: languageModel(healthy, 'gemini-none') }), APICallError, 404)
      const err = await rejects(generateText({ ...quiet, model: languageModel(exhausted, plain) }), APICallError, 429)
      assert.ok(Number(err.responseHeaders['retry-after']) > 0)
    })

    test('abort', () =>
      upstreamFeels(async () => {
        const stop = new AbortController()
        for await (const _ of streamText({ ...common, prompt: slow, abortSignal: stop.signal, onError() {} }).textStream) break
        stop.abort()
        return performance.now()
      }))
  })
}

for (const [name, provider] of [
  ['@ai-sdk/openai', openai(healthy)],
  ['@ai-sdk/openai-compatible', compatible(healthy)],
  ['@ai-sdk/google', google(healthy)],
]) {
  describe(`${name}, other endpoints`, () => {
    test('embed, embedMany', async () => {
      const model = provider.embeddingModel(embedder)
      const one = await embed({ model, value: 'text 149', maxRetries: 0 })
      assert.equal(one.embedding.length, 3072)
      if (name !== '@ai-sdk/google') assert.ok(one.usage.tokens > 0) // Google counts none
      const many = await embedMany({ model, values: Array.from({ length: 150 }, (_, i) => `text ${i}`), maxRetries: 0 })
      assert.equal(many.embeddings.length, 150)
      close(many.embeddings[149], one.embedding)
    })

    test('generateImage', async () => {
      const { image } = await generateImage({ model: (provider.imageModel ?? provider.image)(painter), prompt: 'A cat', maxRetries: 0 })
      assert.equal(image.mediaType, 'image/png')
    })

    const completion = provider.completion ?? provider.completionModel
    if (completion)
      test('completion model', async () => {
        assert.ok((await generateText({ model: completion(plain), prompt, maxRetries: 0 })).text.length > 0)
      })
  })
}

test('@ai-sdk/openai: generateSpeech', async () => {
  const { audio } = await generateSpeech({ model: openai(healthy).speech(speaker), text: 'Hello.', voice: 'alloy', outputFormat: 'wav', maxRetries: 0 })
  assert.equal(Buffer.from(audio.uint8Array.subarray(0, 4)).toString(), 'RIFF')
})
