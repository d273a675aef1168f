// SPDX-License-Identifier: Apache-2.0
// The official openai package beyond chat, two major versions: responses,
// completions, embeddings, images and speech.
import { describe, test } from 'node:test'
import assert from 'node:assert/strict'
import { z } from 'zod'
import * as openai7 from 'openai'
import * as helpers7 from 'openai/helpers/zod'
import * as openai6 from 'openai-6'
import * as helpers6 from 'openai-6/helpers/zod'
import { close, embedder, exhausted, healthy, painter, pixel, plain, rejects, signing, slow, speaker, upstreamFeels } from './env.mjs'

const hello = { model: plain, input: 'Say hello.' }
const city = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false }
const question = {
  model: signing,
  input: [{ role: 'user', content: 'Weather and time in Oslo? Ask in parallel.' }],
  tools: [
    { type: 'function', name: 'get_weather', description: 'Weather of a city', parameters: city, strict: true },
    { type: 'function', name: 'get_time', description: 'Local time of a city', parameters: city, strict: true },
  ],
}

const calls = (response) => response.output.filter((item) => item.type === 'function_call')
const outputs = (response) => calls(response).map((c) => ({ type: 'function_call_output', call_id: c.call_id, output: 'fine' }))

for (const [name, sdk, { zodTextFormat }] of [
  ['openai 7', openai7, helpers7],
  ['openai 6', openai6, helpers6],
]) {
  const OpenAI = sdk.default
  const at = ({ base, key }) => new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0, timeout: 20_000 })
  const client = at(healthy)
  const { responses, embeddings, images, audio } = client

  describe(`${name}: responses`, () => {
    test('create', async () => {
      const r = await responses.create(hello)
      assert.match(r.id, /^resp_/)
      assert.equal(r.object, 'response')
      assert.equal(r.status, 'completed')
      assert.ok(r.output_text.length > 0)
      assert.equal(r.usage.total_tokens, r.usage.input_tokens + r.usage.output_tokens)
      assert.ok(r.usage.output_tokens_details.reasoning_tokens >= 0)
    })

    test('create, streamed', async () => {
      let text = '', at = -1, last
      for await (const e of await responses.create({ ...hello, stream: true })) {
        assert.equal(e.sequence_number, ++at)
        if (e.type === 'response.output_text.delta') text += e.delta
        last = e
      }
      assert.equal(last.type, 'response.completed')
      assert.equal(last.response.status, 'completed')
      assert.ok(text.length > 0)
      assert.equal(last.response.output.find((i) => i.type === 'message').content[0].text, text)
      assert.ok(last.response.usage.total_tokens > 0)
    })

    test('stream helper', async () => {
      const stream = responses.stream(hello)
      let text = ''
      stream.on('response.output_text.delta', (e) => (text += e.delta))
      const final = await stream.finalResponse()
      assert.equal(final.output_text, text)
      assert.equal(final.status, 'completed')
    })

    test('parse, whole and streamed', async () => {
      const City = z.object({ name: z.string(), population: z.number() })
      const body = { model: plain, input: 'Name a city.', text: { format: zodTextFormat(City, 'city') } }
      const whole = await responses.parse(body)
      City.parse(whole.output_parsed)
      const streamed = await responses.stream(body).finalResponse()
      City.parse(streamed.output_parsed)
    })

    test('previous_response_id, retrieve, delete', async () => {
      const first = await responses.create({ model: plain, instructions: 'Be brief.', input: 'My name is Ada. [[say Hello Ada]]' })
      const second = await responses.create({ model: plain, input: 'Who am I?', previous_response_id: first.id })
      assert.equal(second.previous_response_id, first.id)
      assert.ok(second.usage.input_tokens > first.usage.input_tokens, 'the conversation went along')
      const kept = await responses.retrieve(first.id)
      assert.equal(kept.id, first.id)
      assert.equal(kept.output_text, 'Hello Ada')
      await responses.delete(first.id)
      await rejects(responses.retrieve(first.id), sdk.NotFoundError, 404)
      await rejects(responses.create({ ...hello, previous_response_id: first.id }), sdk.BadRequestError, 400, 'previous_response_not_found')
    })

    test('a kept response: its events again, its input, no cancel', async () => {
      const before = []
      for await (const e of await responses.create({ ...hello, input: '[[events 5]] [[say Hello there you all]]', stream: true })) before.push(e)
      const { id, output_text } = before.at(-1).response
      const again = []
      for await (const e of await responses.retrieve(id, { stream: true })) again.push(e)
      assert.deepEqual(again, before)
      const rest = []
      for await (const e of await responses.retrieve(id, { stream: true, starting_after: 3 })) rest.push(e)
      assert.deepEqual(rest, before.slice(4))
      const helper = await responses.stream({ response_id: id }).finalResponse()
      assert.equal(helper.output_text, before.filter((e) => e.type === 'response.output_text.delta').map((e) => e.delta).join(''))
      const full = await responses.retrieve(id, { include: ['reasoning.encrypted_content'] })
      assert.equal(full.id, id)

      const next = await responses.create({ model: plain, previous_response_id: id, input: [{ role: 'user', content: 'And now?' }] })
      const items = []
      for await (const item of responses.inputItems.list(next.id, { order: 'asc', limit: 1 })) items.push(item)
      assert.deepEqual(items.map((i) => `${i.type} ${i.role}`), ['message user', 'message assistant', 'message user'])
      assert.equal(items[2].content[0].text, 'And now?')
      const newest = await responses.inputItems.list(next.id)
      assert.deepEqual(newest.data.map((i) => i.id), items.map((i) => i.id).reverse())
      const referred = await responses.create({ model: plain, input: [{ type: 'item_reference', id: items[2].id }] })
      assert.equal(referred.status, 'completed')

      await rejects(responses.cancel(id), sdk.BadRequestError, 400)
      await rejects(responses.cancel('resp_none'), sdk.NotFoundError, 404)
      await rejects(responses.inputItems.list('resp_none'), sdk.NotFoundError, 404)
      await rejects(responses.inputItems.list(id, { limit: 1000 }), sdk.BadRequestError, 400)
    })

    test('function tools, by previous_response_id', async () => {
      const first = await responses.create(question)
      assert.equal(calls(first).length, 2)
      for (const c of calls(first)) JSON.parse(c.arguments)
      const second = await responses.create({ ...question, input: outputs(first), previous_response_id: first.id })
      assert.match(second.output_text, /get_weather.*get_time/s)
    })

    for (const include of [[], ['reasoning.encrypted_content']]) {
      test(`function tools, nothing stored, include [${include}]`, async () => {
        const body = { ...question, store: false, include }
        const first = await responses.create(body)
        const second = await responses.create({ ...body, input: [...question.input, ...first.output, ...outputs(first)] })
        assert.equal(second.status, 'completed')
        assert.match(second.output_text, /get_weather.*get_time/s)
      })
    }

    test('function tools, streamed', async () => {
      const stream = responses.stream(question)
      let args = ''
      stream.on('response.function_call_arguments.delta', (e) => (args += e.delta))
      const first = await stream.finalResponse()
      assert.equal(calls(first).map((c) => c.arguments).join(''), args)
      assert.equal(calls(first).length, 2)
      const second = await responses.stream({ ...question, input: outputs(first), previous_response_id: first.id }).finalResponse()
      assert.match(second.output_text, /get_weather.*get_time/s)
    })

    test('image as data URL', async () => {
      const content = [{ type: 'input_text', text: 'What is it?' }, { type: 'input_image', image_url: `data:image/png;base64,${pixel}`, detail: 'auto' }]
      assert.match((await responses.create({ model: plain, input: [{ role: 'user', content }] })).output_text, /image\/png/)
    })

    test('reasoning', async () => {
      const r = await responses.create({ ...hello, model: signing, reasoning: { effort: 'low', summary: 'auto' } })
      const item = r.output.find((i) => i.type === 'reasoning')
      assert.ok(item.summary[0].text.length > 0)
      assert.ok(r.usage.output_tokens_details.reasoning_tokens > 0)
    })

    test('cut by max_output_tokens', async () => {
      const r = await responses.create({ ...hello, reasoning: { effort: 'none' }, max_output_tokens: 16, input: 'Say [[size 500]]' })
      assert.equal(r.status, 'incomplete')
      assert.equal(r.incomplete_details.reason, 'max_output_tokens')
    })

    test('input tokens', async () => {
      const counted = await responses.inputTokens.count(hello)
      assert.equal(counted.object, 'response.input_tokens')
      assert.ok(counted.input_tokens > 0)
    })

    test('a chain of models', async () => {
      const { data, response } = await responses.create({ ...hello, model: 'smart' }).withResponse()
      assert.equal(data.status, 'completed')
      assert.equal(response.headers.get('x-gemini-balance-model'), plain)
    })

    test('errors are typed', async () => {
      await rejects(at({ ...healthy, key: 'gb-wrong' }).responses.create(hello), sdk.AuthenticationError, 401, 'invalid_api_key')
      await rejects(responses.create({ ...hello, model: 'gemini-none' }), sdk.NotFoundError, 404, 'model_not_found')
      await rejects(responses.create({ ...hello, background: true }), sdk.BadRequestError, 400)
      for (const stream of [false, true]) await rejects(at(exhausted).responses.create({ ...hello, stream }), sdk.RateLimitError, 429)
    })

    test('a stream that fails', async () => {
      const seen = []
      const stream = await responses.create({ ...hello, input: '[[events 9]] [[pace 20ms]] [[error_event 4]]', stream: true })
      await (async () => { for await (const e of stream) seen.push(e) })().catch((e) => seen.push(e))
      const last = seen.at(-1)
      assert.ok(last instanceof sdk.APIError || (last.type === 'response.failed' && last.response.error.message), JSON.stringify(last))
    })

    test('abort', () =>
      upstreamFeels(async () => {
        for await (const e of await responses.create({ model: plain, input: slow, stream: true })) if (e.type === 'response.output_text.delta') break
        return performance.now()
      }))
  })

  describe(`${name}: other endpoints`, () => {
    test('completions, whole and streamed', async () => {
      const body = { model: plain, prompt: 'Say it. [[say once upon a time]]' }
      const whole = await client.completions.create(body)
      assert.equal(whole.choices[0].text, 'once upon a time')
      assert.equal(whole.object, 'text_completion')
      let text = ''
      for await (const c of await client.completions.create({ ...body, stream: true })) text += c.choices[0]?.text ?? ''
      assert.equal(text, 'once upon a time')
    })

    test('embeddings, base64 by default and float', async () => {
      const body = { model: embedder, input: 'a text' }
      const [packed, plainly] = [await embeddings.create(body), await embeddings.create({ ...body, encoding_format: 'float' })]
      assert.equal(packed.data[0].embedding.length, 3072)
      close(packed.data[0].embedding, plainly.data[0].embedding)
      assert.ok(packed.usage.prompt_tokens > 0)
      const raw = await embeddings.create({ ...body, encoding_format: 'base64', dimensions: 256 })
      assert.equal(Buffer.from(raw.data[0].embedding, 'base64').length, 4 * 256)
    })

    test('embeddings of 150 inputs', async () => {
      const input = Array.from({ length: 150 }, (_, i) => `text ${i}`)
      const many = await embeddings.create({ model: embedder, input, dimensions: 128 })
      assert.deepEqual(many.data.map((d) => d.index), input.map((_, i) => i))
      const one = await embeddings.create({ model: embedder, input: input[149], dimensions: 128 })
      close(many.data[149].embedding, one.data[0].embedding)
      assert.equal(new Set(many.data.map((d) => d.embedding.join())).size, 150)
    })

    test('embeddings of token arrays are refused', () =>
      rejects(embeddings.create({ model: embedder, input: [[1, 2, 3]] }), sdk.BadRequestError, 400))

    test('images.generate', async () => {
      const one = await images.generate({ model: painter, prompt: 'A cat' })
      assert.equal(Buffer.from(one.data[0].b64_json, 'base64').subarray(1, 4).toString(), 'PNG')
      const two = await images.generate({ model: painter, prompt: 'A cat', n: 2, size: '1024x1024' })
      assert.equal(two.data.length, 2)
      assert.ok(two.usage.total_tokens > 0)
    })

    test('images.generate, streamed', async () => {
      const events = []
      for await (const e of await images.generate({ model: painter, prompt: 'A cat', stream: true })) events.push(e)
      assert.equal(events.at(-1).type, 'image_generation.completed')
      assert.ok(events.at(-1).b64_json)
    })

    test('audio.speech', async () => {
      const wav = await audio.speech.create({ model: speaker, voice: 'alloy', input: 'Hello.', response_format: 'wav' })
      assert.equal(wav.headers.get('content-type'), 'audio/wav')
      const bytes = Buffer.from(await wav.arrayBuffer())
      assert.equal(bytes.subarray(0, 4).toString(), 'RIFF')
      assert.equal(bytes.readUInt32LE(4), bytes.length - 8)
      const pcm = await audio.speech.create({ model: speaker, voice: 'Kore', input: 'Hello.', response_format: 'pcm' })
      assert.equal((await pcm.arrayBuffer()).byteLength, bytes.length - 44)
      await rejects(audio.speech.create({ model: speaker, voice: 'alloy', input: 'Hello.', response_format: 'mp3' }), sdk.BadRequestError, 400)
    })

    test('images.edit', async () => {
      const image = await sdk.toFile(Buffer.from(pixel, 'base64'), 'cat.png', { type: 'image/png' })
      const edited = await images.edit({ model: painter, image, prompt: 'A hat on it' })
      assert.equal(Buffer.from(edited.data[0].b64_json, 'base64').subarray(1, 4).toString(), 'PNG')
    })

    test('audio.transcriptions, audio.translations', async () => {
      const wav = await audio.speech.create({ model: speaker, voice: 'alloy', input: 'Hello.', response_format: 'wav' })
      const file = await sdk.toFile(Buffer.from(await wav.arrayBuffer()), 'hello.wav', { type: 'audio/wav' })
      assert.match((await audio.transcriptions.create({ model: plain, file })).text, /audio/)
      let text = ''
      for await (const e of await audio.transcriptions.create({ model: plain, file, stream: true })) if (e.type === 'transcript.text.delta') text += e.delta
      assert.match(text, /audio/)
      assert.match((await audio.translations.create({ model: plain, file })).text, /audio/)
    })

    test('what is not served is refused', async () => {
      await rejects(client.moderations.create({ input: 'x' }), sdk.NotFoundError, 404)
      await rejects(client.batches.list(), sdk.NotFoundError, 404)
    })
  })
}
