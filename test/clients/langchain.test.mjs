// SPDX-License-Identifier: Apache-2.0
// @langchain/openai, by chat (its default) and by responses, and @langchain/google-genai.
import { describe, test } from 'node:test'
import assert from 'node:assert/strict'
import { HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages'
import { tool } from '@langchain/core/tools'
import { ChatGoogleGenerativeAI, GoogleGenerativeAIEmbeddings } from '@langchain/google-genai'
import { ChatOpenAI, OpenAI, OpenAIEmbeddings } from '@langchain/openai'
import { z } from 'zod'
import { close, embedder, exhausted, healthy, pixel, plain, signing, slow, upstreamFeels } from './env.mjs'

const City = z.object({ name: z.string(), population: z.number() })
const Place = z.object({ city: z.string() })
const tools = [
  tool(async () => 'get_weather is fine', { name: 'get_weather', description: 'Weather of a city', schema: Place }),
  tool(async () => 'get_time is fine', { name: 'get_time', description: 'Local time of a city', schema: Place }),
]
const byName = Object.fromEntries(tools.map((t) => [t.name, t]))

const settings = ({ base, key }, model, more = {}) => ({ model, apiKey: key, maxRetries: 0, configuration: { baseURL: `${base}/v1` }, ...more })

for (const [name, at, refused = 401] of [
  ['ChatOpenAI', (g, id) => new ChatOpenAI(settings(g, id))],
  ['ChatOpenAI, responses', (g, id) => new ChatOpenAI(settings(g, id, { useResponsesApi: true }))],
  ['ChatGoogleGenerativeAI', ({ base, key }, model) => new ChatGoogleGenerativeAI({ model, apiKey: key, baseUrl: base, maxRetries: 0 }), 400],
]) {
  const model = at(healthy, plain)
  const google = name.startsWith('ChatGoogle')

  describe(name, () => {
    test('invoke', async () => {
      const answer = await model.invoke([new SystemMessage('Be brief.'), new HumanMessage('Say hello.')])
      assert.ok(answer.text.length > 0)
      assert.ok(answer.usage_metadata.input_tokens > 0)
      if (!google) assert.equal(answer.usage_metadata.total_tokens, answer.usage_metadata.input_tokens + answer.usage_metadata.output_tokens) // it leaves thoughts out
    })

    test('stream', async () => {
      let all, chunks = 0
      for await (const c of await model.stream('Say hello.')) (all = all ? all.concat(c) : c), chunks++
      assert.ok(chunks > 1)
      assert.ok(all.text.length > 0)
      assert.ok(all.usage_metadata.total_tokens > 0)
    })

    test('batch', async () => {
      const answers = await model.batch(['One.', 'Two.', 'Three.'])
      assert.deepEqual(answers.map((a) => /One|Two|Three/.exec(a.text)?.[0]), ['One', 'Two', 'Three'])
    })

    for (const streamed of [false, true]) {
      test(`tools${streamed ? ', streamed' : ''}`, async () => {
        const bound = at(healthy, signing).bindTools(tools)
        const ask = async (messages) => {
          if (!streamed) return bound.invoke(messages)
          let all
          for await (const c of await bound.stream(messages)) all = all ? all.concat(c) : c
          return all
        }
        // Of several results it makes several turns, which Google refuses.
        const messages = [new HumanMessage(google ? 'Weather in Oslo?' : 'Weather and time in Oslo? Ask in parallel.')]
        const first = await ask(messages)
        assert.deepEqual(first.tool_calls.map((c) => c.name).sort(), google ? ['get_weather'] : ['get_time', 'get_weather'])
        messages.push(first)
        for (const c of first.tool_calls) messages.push(new ToolMessage({ tool_call_id: c.id, content: await byName[c.name].invoke(c.args) }))
        const second = await ask(messages)
        assert.match(second.text, /get_weather is fine/)
        messages.push(second, new HumanMessage('And in Rome?'))
        assert.equal((await ask(messages)).tool_calls.length, 1)
      })
    }

    for (const method of google ? ['jsonSchema', 'functionCalling'] : ['jsonSchema', 'functionCalling', 'jsonMode']) {
      test(`structured output by ${method}`, async () => {
        const Shape = method === 'jsonMode' ? z.object({ answer: z.string() }) : City
        Shape.parse(await model.withStructuredOutput(Shape, { name: 'city', method }).invoke('Name a city, as JSON.'))
      })
    }

    test('image as data URL', async () => {
      const content = [{ type: 'text', text: 'What is it?' }, { type: 'image_url', image_url: { url: `data:image/png;base64,${pixel}` } }]
      assert.match((await model.invoke([new HumanMessage({ content })])).text, /image\/png/)
    })

    test('errors', async () => {
      for (const [g, id, status] of [[{ ...healthy, key: 'gb-wrong' }, plain, refused], [healthy, 'gemini-none', 404], [exhausted, plain, 429]]) {
        await assert.rejects(at(g, id).invoke('Hello'), (e) => (assert.equal(e.status, status, e.message), true))
      }
    })

    // Google's older SDK fails with a rejection that nobody can catch.
    if (!google) test('abort', () =>
      upstreamFeels(async () => {
        const stop = new AbortController()
        for await (const c of await model.stream(slow, { signal: stop.signal })) if (c.text) break
        stop.abort()
        return performance.now()
      }))
  })
}

test('ChatOpenAI: the conversation by previous_response_id', async () => {
  const model = new ChatOpenAI(settings(healthy, plain, { useResponsesApi: true }))
  const first = await model.invoke('My name is Ada.')
  const second = await model.invoke('Who am I?', { previous_response_id: first.response_metadata.id })
  assert.ok(second.usage_metadata.input_tokens > first.usage_metadata.input_tokens)
})

test('OpenAI: completions', async () => {
  assert.ok((await new OpenAI(settings(healthy, plain)).invoke('Say hello.')).length > 0)
})

test('GoogleGenerativeAIEmbeddings', async () => {
  const model = new GoogleGenerativeAIEmbeddings({ model: embedder, apiKey: healthy.key, baseUrl: healthy.base, maxRetries: 0 })
  const one = await model.embedQuery('text 149')
  assert.equal(one.length, 3072)
  const many = await model.embedDocuments(Array.from({ length: 150 }, (_, i) => `text ${i}`))
  assert.equal(many.length, 150)
  close(many[149], one)
})

test('OpenAIEmbeddings', async () => {
  for (const more of [{}, { encodingFormat: 'float' }, { dimensions: 256 }]) {
    const model = new OpenAIEmbeddings(settings(healthy, embedder, more))
    const one = await model.embedQuery('text 149')
    assert.equal(one.length, more.dimensions ?? 3072)
    const many = await model.embedDocuments(Array.from({ length: 150 }, (_, i) => `text ${i}`))
    assert.equal(many.length, 150)
    close(many[149], one)
  }
})
