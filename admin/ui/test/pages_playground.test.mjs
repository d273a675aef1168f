import assert from 'node:assert/strict';
import test from 'node:test';
import { dialects, request, shown } from '../web/js/pages/playground/dialects.js';
import { PLACEHOLDER, asCurl, code, tools } from '../web/js/pages/playground/snippets.js';
import { blocks, emptyReply, failure, fold, read, sseReader } from '../web/js/pages/playground/stream.js';

const form = { dialect: 'openai', model: 'm', system: '', temperature: '', top_p: '', max_tokens: '', thinking: '', schema: '', search: false };
const hello = [{ role: 'user', text: 'Hello' }];
const full = { ...form, system: 'S', temperature: '0', top_p: '.9', max_tokens: '100', thinking: '2000', schema: '{"type":"object"}', search: true };

test('request: only what is set is sent', () => {
  assert.deepEqual(request(form, hello).body, { model: 'm', messages: [{ role: 'user', content: 'Hello' }], stream: true, stream_options: { include_usage: true } });
  assert.deepEqual(request({ ...form, dialect: 'gemini', model: 'a/b' }, hello), {
    path: 'v1beta/models/a%2Fb:streamGenerateContent?alt=sse', headers: {}, body: { contents: [{ role: 'user', parts: [{ text: 'Hello' }] }] } });
  assert.deepEqual(request({ ...form, dialect: 'anthropic' }, hello).body, { model: 'm', max_tokens: 4096, messages: [{ role: 'user', content: 'Hello' }], stream: true });
});

test('request: everything set', () => {
  const o = request(full, hello).body, a = request({ ...full, dialect: 'anthropic' }, hello).body, g = request({ ...full, dialect: 'gemini' }, hello).body;
  assert.equal(o.messages[0].role, 'system');
  assert.equal(o.temperature, 0);
  assert.equal(o.reasoning_effort, 'medium');
  assert.equal(o.response_format.json_schema.schema.type, 'object');
  assert.equal(a.thinking.budget_tokens, 2000);
  assert.equal(a.max_tokens, 2100, 'the budget must be below max_tokens');
  assert.equal(g.generationConfig.thinkingConfig.thinkingBudget, 2000);
  assert.deepEqual(g.tools, [{ googleSearch: {} }]);
  assert.throws(() => request({ ...form, schema: '{' }, hello), SyntaxError);
});

test('request: images and turns', () => {
  const turns = [{ role: 'user', text: 'What?', images: [{ type: 'image/png', data: 'AAAA' }] }, { role: 'model', text: 'A dot' }, ...hello];
  assert.equal(request(form, turns).body.messages[0].content[1].image_url.url, 'data:image/png;base64,AAAA');
  assert.equal(request({ ...form, dialect: 'anthropic' }, turns).body.messages[0].content[0].source.data, 'AAAA');
  assert.equal(request({ ...form, dialect: 'gemini' }, turns).body.contents[0].parts[0].inlineData.mimeType, 'image/png');
  assert.equal(request({ ...form, dialect: 'gemini' }, turns).body.contents[1].role, 'model');
  const big = request(form, [{ role: 'user', text: '', images: [{ type: 'image/png', data: 'A'.repeat(9000) }] }]);
  assert.ok(shown(big).length < 1000);
});

test('SSE: any cut gives the same events', () => {
  const wire = ': hi\r\nevent: a\r\ndata: 1\r\ndata: 2\r\n\r\ndata:x\n\nid: 3\rdata: y\r\rdata: last';
  const want = [{ event: 'a', data: '1\n2' }, { event: 'message', data: 'x' }, { event: 'message', data: 'y' }, { event: 'message', data: 'last' }];
  for (let size = 1; size <= wire.length; size++) {
    const reader = sseReader(), got = [];
    for (let i = 0; i < wire.length; i += size) got.push(...reader.feed(wire.slice(i, i + size)));
    got.push(...reader.end());
    assert.deepEqual(got, want, `pieces of ${size}`);
  }
});

const reply = (dialect, ...messages) => messages.reduce((r, m) => fold(r, read(dialect, { data: typeof m === 'string' ? m : JSON.stringify(m) })), emptyReply());

test('stream: OpenAI', () => {
  const r = reply('openai', { choices: [{ delta: { role: 'assistant', content: '' } }] }, { choices: [{ delta: { reasoning_content: 'hm' } }] },
    { choices: [{ delta: { content: 'Hel' } }] }, { choices: [{ delta: { content: 'lo' }, finish_reason: 'stop' }] },
    { choices: [], usage: { prompt_tokens: 5, completion_tokens: 7, completion_tokens_details: { reasoning_tokens: 2 } } }, '[DONE]');
  assert.deepEqual(r, { text: 'Hello', thought: 'hm', images: [], usage: { input: 5, output: 7, thoughts: 2, cached: 0 }, end: 'stop', error: null });
});

test('stream: Anthropic', () => {
  const r = reply('anthropic', { type: 'message_start', message: { usage: { input_tokens: 5, cache_read_input_tokens: 3, output_tokens: 1 } } }, { type: 'ping' },
    { type: 'content_block_delta', delta: { type: 'thinking_delta', thinking: 'hm' } }, { type: 'content_block_delta', delta: { type: 'text_delta', text: 'Hi' } },
    { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 9, input_tokens: 5, cache_read_input_tokens: 3 } }, { type: 'message_stop' });
  assert.deepEqual([r.text, r.thought, r.end, r.usage], ['Hi', 'hm', 'end_turn', { input: 8, output: 9, thoughts: 0, cached: 3 }]);
  assert.equal(reply('anthropic', { type: 'error', error: { type: 'overloaded_error', message: 'busy' } }).error.code, 'overloaded_error');
});

test('stream: Gemini', () => {
  const r = reply('gemini', { candidates: [{ content: { parts: [{ text: 'hm', thought: true }, { text: 'Hi' }, { inlineData: { mimeType: 'image/png', data: 'AA' } }] } }] },
    { candidates: [{ finishReason: 'STOP' }], usageMetadata: { promptTokenCount: 4, candidatesTokenCount: 6, thoughtsTokenCount: 2 } });
  assert.deepEqual([r.text, r.thought, r.images, r.end, r.usage], ['Hi', 'hm', [{ type: 'image/png', data: 'AA' }], 'STOP', { input: 4, output: 8, thoughts: 2, cached: 0 }]);
});

test('stream: errors', () => {
  assert.equal(reply('openai', { error: { message: 'no', code: 'x' } }).error.message, 'no');
  assert.equal(reply('openai', '<html>').error.code, 'not_json');
  assert.deepEqual(failure('{"error":{"message":"limit rpm","code":429}}', 429), { type: 'error', message: 'limit rpm', code: 429 });
  assert.equal(failure('[{"error":{"message":"m","status":"S"}}]', 400).message, 'm');
  assert.equal(failure('', 502).message, 'HTTP 502');
  assert.equal(failure('<h1>bad', 502).message, '<h1>bad');
});

test('blocks: fences only; everything is text', () => {
  assert.deepEqual(blocks('a\n```js\nlet x;\n```\n<script>x</script>'), [
    { code: false, lang: '', text: 'a' }, { code: true, lang: 'js', text: 'let x;' }, { code: false, lang: '', text: '<script>x</script>' }]);
  assert.deepEqual(blocks('```\nopen'), [{ code: true, lang: '', text: 'open' }]);
  assert.deepEqual(blocks(''), []);
});

test('code: no key but the placeholder, and the shell expands nothing', () => {
  const built = request(form, [{ role: 'user', text: "it's $HOME `id`" }]);
  for (const language of ['curl', 'python', 'js']) {
    const text = code(language, 'https://g', built, dialects.openai.authorize);
    assert.ok(text.includes(PLACEHOLDER) && text.includes('https://g/v1/chat/completions'), language);
  }
  assert.ok(code('curl', 'https://g', built, dialects.openai.authorize).includes(`it'\\''s $HOME`));
  assert.ok(code('python', 'https://g', built, dialects.openai.authorize).includes('"stream": True'));
  for (const [id, , , make] of tools) assert.ok(make('https://g', 'gb-k', 'm').includes('gb-k'), id);
  assert.ok(asCurl('https://g', { dialect: 'gemini', asked: 'm', endpoint: 'generate' }).includes('/v1beta/models/m:generateContent'));
});
