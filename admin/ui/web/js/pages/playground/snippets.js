// Ready code for the SDKs and tools that people use. key is the user key, or a
// placeholder; base is the gateway's address without a slash at the end.

export const PLACEHOLDER = 'YOUR_USER_KEY';

// q quotes for a shell: nothing in it is expanded.
const q = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;
const json = (value) => JSON.stringify(value, null, 2);
const indent = (text, by) => text.replaceAll('\n', '\n' + ' '.repeat(by));

// tools: [id, name, language for the reader, (base, key, model) → text]
/** @type {[string, string, string, (base: string, key: string, model: string) => string][]} */
export const tools = [
  ['openai', 'OpenAI SDK', 'python', (base, key, model) => `from openai import OpenAI

client = OpenAI(base_url="${base}/v1", api_key="${key}")
answer = client.chat.completions.create(
    model="${model}",
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.choices[0].message.content)`],
  ['anthropic', 'Anthropic SDK', 'python', (base, key, model) => `from anthropic import Anthropic

client = Anthropic(base_url="${base}", api_key="${key}")
answer = client.messages.create(
    model="${model}",
    max_tokens=1024,
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.content[0].text)`],
  ['gemini', 'Google Gen AI SDK', 'python', (base, key, model) => `from google import genai

client = genai.Client(api_key="${key}", http_options={"base_url": "${base}"})
answer = client.models.generate_content(model="${model}", contents="Hello")
print(answer.text)`],
  ['curl', 'curl', 'sh', (base, key, model) => `curl ${base}/v1/chat/completions \\
  -H ${q(`Authorization: Bearer ${key}`)} \\
  -H 'Content-Type: application/json' \\
  -d ${q(JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] }))}`],
  ['claude-code', 'Claude Code', 'sh', (base, key, model) => `export ANTHROPIC_BASE_URL=${base}
export ANTHROPIC_AUTH_TOKEN=${key}
export ANTHROPIC_MODEL=${model}
claude`],
  ['gemini-cli', 'Gemini CLI', 'sh', (base, key, model) => `export GOOGLE_GEMINI_BASE_URL=${base}
export GEMINI_API_KEY=${key}
gemini --model ${model}`],
  ['cherry-studio', 'Cherry Studio', 'text', (base, key, model) => `Provider type: OpenAI
API Host: ${base}
API Key: ${key}
Model: ${model}`],
];

const python = (value) => json(value).replace(/\btrue\b(?=,?$)/gm, 'True').replace(/\bfalse\b(?=,?$)/gm, 'False')
  .replace(/\bnull\b(?=,?$)/gm, 'None');

// code shows a playground request in a language: 'curl', 'python' or 'js'. The key
// is always a placeholder or the name of an environment variable.
export function code(language, base, { path, headers, body }, authorize) {
  const url = `${base}/${path}`, all = { 'Content-Type': 'application/json', ...headers, ...authorize(PLACEHOLDER) };
  if (language === 'curl') {
    const lines = Object.entries(all).map(([k, v]) => `  -H ${q(`${k}: ${v}`)} \\\n`).join('');
    return `curl -N ${q(url)} \\\n${lines}  -d ${q(json(body))}`;
  }
  if (language === 'python') {
    return `import httpx

with httpx.stream(
    "POST",
    "${url}",
    headers=${indent(json(all), 4)},
    json=${indent(python(body), 4)},
    timeout=None,
) as answer:
    for line in answer.iter_lines():
        print(line)`;
  }
  return `const answer = await fetch(${JSON.stringify(url)}, {
  method: "POST",
  headers: ${indent(json(all), 2)},
  body: JSON.stringify(${indent(json(body), 2)}),
});
for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
  console.log(chunk);
}`;
}

// asCurl rebuilds a logged request as far as the log knows it.
export function asCurl(base, request) {
  const path = /^\//.test(request.endpoint ?? '') ? request.endpoint : {
    openai: '/v1/chat/completions', anthropic: '/v1/messages', gemini: `/v1beta/models/${request.asked}:generateContent`,
  }[request.dialect];
  const header = { openai: `Authorization: Bearer ${PLACEHOLDER}`, anthropic: `x-api-key: ${PLACEHOLDER}`,
    gemini: `x-goog-api-key: ${PLACEHOLDER}` };
  const text = [{ role: 'user', content: 'Hello' }];
  const body = {
    openai: { model: request.asked, messages: text, stream: request.stream },
    anthropic: { model: request.asked, max_tokens: 1024, messages: text, stream: request.stream },
    gemini: { contents: [{ role: 'user', parts: [{ text: 'Hello' }] }] },
  }[request.dialect];
  const known = request.bodies?.request;
  return `curl ${q(base + path)} \\\n  -H 'Content-Type: application/json' \\\n  -H ${q(header[request.dialect])} \\\n  -d ${q(known
    ?? JSON.stringify(body))}`;
}
