// SPDX-License-Identifier: Apache-2.0
// Anthropic's own package.
import { describe, test } from 'node:test'
import assert from 'node:assert/strict'
import Anthropic from '@anthropic-ai/sdk'
import { exhausted, healthy, pixel, plain, rejects, signing, slow, upstreamFeels } from './env.mjs'

const at = ({ base, key }, by = 'apiKey') => new Anthropic({ baseURL: base, apiKey: null, authToken: null, [by]: key, maxRetries: 0 })
const client = at(healthy)
const hello = { model: plain, max_tokens: 1000, messages: [{ role: 'user', content: 'Say hello.' }] }
const text = (message) => message.content.filter((b) => b.type === 'text').map((b) => b.text).join('')
const input_schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false }
const tools = [
  { name: 'get_weather', description: 'Weather of a city', input_schema },
  { name: 'get_time', description: 'Local time of a city', input_schema },
]

/** Asks whole, or streamed by the helper that puts the message together. */
const ways = [
  ['', (params, options) => client.messages.create(params, options)],
  [', streamed', (params, options) => client.messages.stream(params, options).finalMessage()],
]

describe('@anthropic-ai/sdk', () => {
  for (const [way, ask] of ways) {
    test(`text${way}`, async () => {
      const message = await ask({ ...hello, system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }] })
      assert.match(message.id, /^msg_/)
      assert.equal(message.model, plain)
      assert.equal(message.stop_reason, 'end_turn')
      assert.ok(text(message).length > 0)
      assert.ok(message.usage.input_tokens > 0 && message.usage.output_tokens > 0)
    })

    test(`Claude's names${way}`, async () => {
      for (const model of ['claude-opus-5-5', 'claude-sonnet-5-5', 'claude-haiku-5-5', 'claude-sonnet-4-5-20250929']) {
        const message = await ask({ ...hello, model })
        assert.equal(message.model, model)
        assert.ok(text(message).length > 0)
      }
    })

    test(`turns${way}`, async () => {
      const messages = [{ role: 'user', content: 'My name is Ada.' }]
      for (const content of ['Who am I?', 'And again?']) {
        messages.push({ role: 'assistant', content: (await ask({ ...hello, messages })).content }, { role: 'user', content })
      }
      assert.match(text(await ask({ ...hello, messages })), /And again/)
    })

    test(`max_tokens${way}`, async () => {
      const message = await ask({ ...hello, max_tokens: 1 })
      assert.equal(message.stop_reason, 'max_tokens')
    })

    for (const thinking of [undefined, { type: 'adaptive', display: 'summarized' }, { type: 'adaptive', display: 'omitted' }]) {
      test(`parallel tools, thinking ${thinking?.display ?? 'not asked for'}${way}`, async () => {
        const params = { ...hello, model: signing, max_tokens: 16000, tools, ...(thinking && { thinking }) }
        const messages = [{ role: 'user', content: 'Weather and time in Oslo? Ask in parallel.' }]
        const first = await ask({ ...params, messages })
        assert.equal(first.stop_reason, 'tool_use')
        const calls = first.content.filter((b) => b.type === 'tool_use')
        assert.deepEqual(calls.map((c) => [c.name, typeof c.input.city]), [['get_weather', 'string'], ['get_time', 'string']])
        const thoughts = first.content.filter((b) => b.type === 'thinking')
        assert.equal(thoughts.length > 0, !!thinking)
        if (thinking) assert.equal(thoughts[0].thinking.length > 0, thinking.display === 'summarized')
        messages.push({ role: 'assistant', content: first.content }, {
          role: 'user',
          content: [...calls.toReversed().map((c) => ({ type: 'tool_result', tool_use_id: c.id, content: `${c.name} is fine` })), { type: 'text', text: 'Go on. [[no_calls]]' }],
        })
        const second = await ask({ ...params, messages })
        assert.ok(text(second).length > 0, JSON.stringify(second.content))
        assert.notEqual(second.stop_reason, 'max_tokens')
      })
    }

    test(`one tool${way}`, async () => {
      const message = await ask({ ...hello, tools, tool_choice: { type: 'tool', name: 'get_time' } })
      assert.deepEqual(message.content.filter((b) => b.type === 'tool_use').map((b) => b.name), ['get_time'])
    })

    test(`structured output${way}`, async () => {
      const schema = { type: 'object', properties: { name: { type: 'string' }, population: { type: 'number' } }, required: ['name', 'population'], additionalProperties: false }
      const message = await ask({ ...hello, output_config: { format: { type: 'json_schema', schema } } })
      const city = JSON.parse(text(message))
      assert.equal(typeof city.name, 'string')
      assert.equal(typeof city.population, 'number')
    })

    test(`image and document${way}`, async () => {
      const content = [
        { type: 'text', text: 'What are they?' },
        { type: 'image', source: { type: 'base64', media_type: 'image/png', data: pixel } },
        { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: btoa('%PDF-1.4') } },
      ]
      const said = text(await ask({ ...hello, messages: [{ role: 'user', content }] }))
      assert.match(said, /image\/png/)
      assert.match(said, /application\/pdf/)
    })

    test(`refusal${way}`, async () => {
      const message = await ask({ ...hello, messages: [{ role: 'user', content: '[[block PROHIBITED_CONTENT]]' }] })
      assert.equal(message.stop_reason, 'refusal')
    })

    test(`errors are typed${way}`, async () => {
      const asked = (g, params) => (way ? at(g).messages.stream(params).finalMessage() : at(g).messages.create(params))
      const is = async (promise, type, status, kind) => {
        const err = await rejects(promise, type, status)
        assert.equal(err.error.error.type, kind)
        assert.match(err.requestID, /^req_/)
        return err
      }
      await is(asked({ ...healthy, key: 'gb-wrong' }, hello), Anthropic.AuthenticationError, 401, 'authentication_error')
      await is(asked(healthy, { ...hello, model: 'gemini-none' }), Anthropic.NotFoundError, 404, 'not_found_error')
      await is(asked(healthy, { ...hello, messages: [] }), Anthropic.BadRequestError, 400, 'invalid_request_error')
      const err = await is(asked(exhausted, hello), Anthropic.RateLimitError, 429, 'rate_limit_error')
      assert.ok(Number(err.headers.get('retry-after')) > 0)
    })
  }

  test('events of a stream', async () => {
    const kinds = []
    for await (const event of await client.messages.create({ ...hello, stream: true })) kinds.push(event.type)
    assert.equal(kinds[0], 'message_start')
    assert.deepEqual(kinds.slice(-3), ['content_block_stop', 'message_delta', 'message_stop'])
  })

  test('a stream that breaks', async () => {
    const broken = client.messages.stream({ ...hello, messages: [{ role: 'user', content: 'Tell me. [[events 5]] [[error_event 2]]' }] })
    await assert.rejects(broken.finalMessage(), Anthropic.APIError)
  })

  test('authToken', async () => {
    assert.ok(text(await at(healthy, 'authToken').messages.create(hello)).length > 0)
  })

  test('countTokens', async () => {
    const { input_tokens: few } = await client.messages.countTokens({ model: plain, messages: hello.messages })
    const { input_tokens: more } = await client.messages.countTokens({ model: plain, messages: hello.messages, system: 'Be brief.', tools })
    assert.ok(few > 0 && more > few, `${few} and ${more}`)
  })

  test('models', async () => {
    const ids = []
    for await (const m of client.models.list({ limit: 5 })) ids.push(m.id)
    assert.ok(ids.includes(plain) && ids.some((id) => id.startsWith('claude')), ids.join())
    assert.equal(new Set(ids).size, ids.length)
    const one = await client.models.retrieve(plain)
    assert.equal(one.id, plain)
    assert.ok(one.display_name.length > 0)
  })

  test('abort', () =>
    upstreamFeels(async () => {
      const stop = new AbortController()
      const stream = await client.messages.create({ ...hello, max_tokens: 60000, messages: [{ role: 'user', content: slow }], stream: true }, { signal: stop.signal })
      for await (const e of stream) if (e.type === 'content_block_delta') break
      stop.abort()
      return performance.now()
    }))
})
