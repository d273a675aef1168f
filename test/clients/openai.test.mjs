// SPDX-License-Identifier: Apache-2.0
// The official openai package, two major versions, as a user would write it.
import { describe, test } from 'node:test'
import assert from 'node:assert/strict'
import { z } from 'zod'
import * as openai7 from 'openai'
import * as helpers7 from 'openai/helpers/zod'
import * as openai6 from 'openai-6'
import * as helpers6 from 'openai-6/helpers/zod'
import { exhausted, healthy, pixel, plain, rejects, signing, slow, upstreamFeels } from './env.mjs'

const user = (content) => ({ role: 'user', content })
const hello = { model: plain, messages: [user('Say hello.')] }

const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Weather of a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false },
  },
}
const clock = {
  type: 'function',
  function: { name: 'get_time', description: 'Local time of a city', parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } },
}
const question = { model: signing, messages: [user('Weather and time in Oslo? Ask in parallel.')], tools: [weather, clock] }

/** Google's extension, which many clients lose between two turns. */
function withoutExtra(message) {
  const copy = structuredClone(message)
  delete copy.extra_content
  for (const call of copy.tool_calls ?? []) delete call.extra_content
  return copy
}

const results = (message) =>
  message.tool_calls.map((c) => ({ role: 'tool', tool_call_id: c.id, content: JSON.stringify({ [c.function.name]: 'fine' }) }))

for (const [name, sdk, { zodResponseFormat }] of [
  ['openai 7', openai7, helpers7],
  ['openai 6', openai6, helpers6],
]) {
  const OpenAI = sdk.default
  const at = ({ base, key }, options = {}) => new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0, timeout: 20_000, ...options })
  const client = at(healthy)
  const chat = client.chat.completions

  describe(name, () => {
    test('chat', async () => {
      const answer = await chat.create(hello)
      assert.match(answer.id, /^chatcmpl-/)
      assert.equal(answer.object, 'chat.completion')
      assert.equal(answer.choices.length, 1)
      assert.equal(answer.choices[0].finish_reason, 'stop')
      assert.equal(answer.choices[0].message.role, 'assistant')
      assert.ok(answer.choices[0].message.content.length > 0)
      const u = answer.usage
      assert.ok(u.prompt_tokens > 0 && u.completion_tokens > 0)
      assert.equal(u.total_tokens, u.prompt_tokens + u.completion_tokens)
      assert.ok(answer._request_id, 'x-request-id reaches the client')
    })

    test('chat, streamed', async () => {
      const ids = new Set()
      let text = '', finish, chunks = 0
      for await (const c of await chat.create({ ...hello, stream: true })) {
        chunks++
        ids.add(c.id)
        assert.equal(c.object, 'chat.completion.chunk')
        assert.equal(c.usage ?? null, null, 'no usage unless asked for')
        text += c.choices[0].delta.content ?? ''
        finish = c.choices[0].finish_reason ?? finish
      }
      assert.ok(chunks > 1)
      assert.equal(ids.size, 1)
      assert.ok(text.length > 0)
      assert.equal(finish, 'stop')
    })

    test('usage at the end of a stream', async () => {
      let last, finished = 0
      for await (const c of await chat.create({ ...hello, stream: true, stream_options: { include_usage: true } })) {
        if (c.choices[0]?.finish_reason) finished++
        last = c
      }
      assert.equal(finished, 1)
      assert.deepEqual(last.choices, [])
      assert.ok(last.usage.total_tokens > 0)
      assert.equal(last.usage.total_tokens, last.usage.prompt_tokens + last.usage.completion_tokens)
    })

    test('stream helper', async () => {
      const stream = chat.stream(hello)
      let text = ''
      stream.on('content', (delta) => (text += delta))
      const final = await stream.finalChatCompletion()
      assert.equal(final.choices[0].message.content, text)
      assert.equal(final.choices[0].finish_reason, 'stop')
    })

    test('multi-turn', async () => {
      const messages = [{ role: 'system', content: 'Be brief.' }, user('My name is Ada.')]
      for (const next of ['What is my name?', 'And again?']) {
        const answer = await chat.create({ model: plain, messages })
        messages.push(answer.choices[0].message, user(next))
      }
      const answer = await chat.create({ model: plain, messages })
      assert.ok(answer.choices[0].message.content.length > 0)
    })

    for (const [how, keep] of [['kept', (m) => m], ['dropped by the client', withoutExtra]]) {
      test(`parallel tool calls, signature ${how}`, async () => {
        const first = await chat.create(question)
        assert.equal(first.choices[0].finish_reason, 'tool_calls')
        const message = first.choices[0].message
        assert.equal(message.tool_calls.length, 2)
        assert.equal(new Set(message.tool_calls.map((c) => c.id)).size, 2)
        for (const c of message.tool_calls) {
          assert.equal(c.type, 'function')
          JSON.parse(c.function.arguments)
        }
        assert.ok(message.tool_calls[0].extra_content.google.thought_signature, 'the signature is handed out')
        const second = await chat.create({ ...question, messages: [...question.messages, keep(message), ...results(message)] })
        assert.equal(second.choices[0].finish_reason, 'stop')
        assert.ok(second.choices[0].message.content.length > 0)
      })

      test(`parallel tool calls, streamed, signature ${how}`, async () => {
        const calls = []
        let finish
        for await (const c of await chat.create({ ...question, stream: true })) {
          for (const d of c.choices[0].delta.tool_calls ?? []) {
            const call = (calls[d.index] ??= { type: 'function', function: { name: '', arguments: '' } })
            if (d.id) call.id = d.id
            if (d.extra_content) call.extra_content = d.extra_content
            call.function.name += d.function?.name ?? ''
            call.function.arguments += d.function?.arguments ?? ''
          }
          finish = c.choices[0].finish_reason ?? finish
        }
        assert.equal(finish, 'tool_calls')
        assert.equal(calls.length, 2)
        for (const c of calls) JSON.parse(c.function.arguments)
        const message = { role: 'assistant', content: null, tool_calls: calls }
        let text = ''
        for await (const c of await chat.create({ ...question, messages: [...question.messages, keep(message), ...results(message)], stream: true }))
          text += c.choices[0].delta.content ?? ''
        assert.ok(text.length > 0)
      })
    }

    test('runTools', async () => {
      let asked = 0
      const runner = chat.runTools({
        model: signing,
        messages: [user('Weather in Oslo?')],
        tools: [{ type: 'function', function: { ...weather.function, parse: JSON.parse, function: () => (asked++, 'sunny') } }],
      })
      assert.ok((await runner.finalContent()).length > 0)
      assert.equal(asked, 1)
    })

    test('structured output, parsed', async () => {
      const City = z.object({ name: z.string(), population: z.number() })
      const answer = await chat.parse({ model: plain, messages: [user('Name a city.')], response_format: zodResponseFormat(City, 'city') })
      const { parsed } = answer.choices[0].message
      assert.equal(typeof parsed.name, 'string')
      assert.equal(typeof parsed.population, 'number')
    })

    test('image as data URL', async () => {
      const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${pixel}` } }
      const answer = await chat.create({ model: plain, messages: [user([{ type: 'text', text: 'What is it?' }, image])] })
      assert.ok(answer.choices[0].message.content.length > 0)
    })

    test('models', async () => {
      const ids = []
      for await (const m of client.models.list()) ids.push(m.id)
      assert.ok(ids.includes(plain), ids.join())
      const model = await client.models.retrieve(plain)
      assert.equal(model.id, plain)
      assert.equal(model.object, 'model')
    })

    test('errors are typed', async () => {
      await rejects(at({ ...healthy, key: 'gb-wrong' }).chat.completions.create(hello), sdk.AuthenticationError, 401, 'invalid_api_key')
      await rejects(chat.create({ ...hello, model: 'gemini-none' }), sdk.NotFoundError, 404, 'model_not_found')
      await rejects(client.models.retrieve('gemini-none'), sdk.NotFoundError, 404, 'model_not_found')
      await rejects(chat.create({ ...hello, messages: [] }), sdk.BadRequestError, 400)
      await rejects(chat.create({ ...hello, stream: true, temperature: 'hot' }), sdk.BadRequestError, 400)
    })

    test('all keys out of quota', async () => {
      for (const stream of [false, true]) {
        const err = await rejects(at(exhausted).chat.completions.create({ ...hello, stream }), sdk.RateLimitError, 429)
        assert.ok(Number(err.headers.get('retry-after')) > 0, 'a Retry-After that says when')
      }
    })

    test('abort', () =>
      upstreamFeels(async () => {
        const stream = await chat.create({ model: plain, messages: [user(slow)], stream: true })
        for await (const c of stream) if (c.choices[0].delta.content) break // leaving the loop aborts
        return performance.now()
      }))
  })
}
