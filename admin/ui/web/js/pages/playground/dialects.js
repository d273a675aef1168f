// How each dialect is asked: a form becomes {path, headers, body}. No DOM, no key:
// the key is added by send, so that "Raw request" can never show it.
//
// form: {dialect, model, system, temperature, top_p, max_tokens, thinking, schema, search}
// turns: [{role: 'user' | 'model', text, images: [{type, data}]}], data in base64

const set = (target, entries) => {
  for (const [name, value] of Object.entries(entries)) if (value !== undefined) target[name] = value;
  return target;
};
const number = (text) => (text === '' || text == null ? undefined : Number(text));
const schemaOf = (form) => (form.schema?.trim() ? JSON.parse(form.schema) : undefined);

const dataUrl = (image) => `data:${image.type};base64,${image.data}`;

const openai = {
  request(form, turns) {
    const messages = form.system ? [{ role: 'system', content: form.system }] : [];
    for (const turn of turns) messages.push({ role: turn.role === 'model' ? 'assistant' : 'user', content: openai.content(turn) });
    const schema = schemaOf(form);
    const body = set({ model: form.model, messages, stream: true, stream_options: { include_usage: true } }, {
      temperature: number(form.temperature),
      top_p: number(form.top_p),
      max_completion_tokens: number(form.max_tokens),
      reasoning_effort: effort(number(form.thinking)),
      response_format: schema && { type: 'json_schema', json_schema: { name: 'answer', schema } },
      web_search_options: form.search ? {} : undefined,
    });
    return { path: 'v1/chat/completions', headers: {}, body };
  },
  content({ text, images }) {
    if (!images?.length) return text;
    const parts = images.map((image) => ({ type: 'image_url', image_url: { url: dataUrl(image) } }));
    return text ? [{ type: 'text', text }, ...parts] : parts;
  },
  authorize: (key) => ({ Authorization: `Bearer ${key}` }),
};

// OpenAI has no number of thinking tokens; these are the steps that Gemini's
// OpenAI layer documents for them.
function effort(budget) {
  if (budget === undefined || budget < 0) return undefined;
  if (budget === 0) return 'none';
  return budget <= 1024 ? 'low' : budget <= 8192 ? 'medium' : 'high';
}

const anthropic = {
  request(form, turns) {
    const budget = number(form.thinking), max = number(form.max_tokens) ?? 4096;
    const schema = schemaOf(form);
    const body = set({ model: form.model, max_tokens: max, messages: [], stream: true }, {
      system: form.system || undefined,
      temperature: number(form.temperature),
      top_p: number(form.top_p),
      thinking: budget > 0 ? { type: 'enabled', budget_tokens: Math.max(1024, budget) } : budget === 0 ? { type: 'disabled' } : undefined,
      tools: form.search ? [{ type: 'web_search_20250305', name: 'web_search' }] : undefined,
      output_config: schema && { format: { type: 'json_schema', schema } },
    });
    if (body.thinking?.budget_tokens >= max) body.max_tokens = body.thinking.budget_tokens + max;
    body.messages = turns.map((turn) => ({ role: turn.role === 'model' ? 'assistant' : 'user', content: anthropic.content(turn) }));
    return { path: 'v1/messages', headers: { 'anthropic-version': '2023-06-01' }, body };
  },
  content({ text, images }) {
    if (!images?.length) return text;
    const parts = images.map(({ type, data }) => ({ type: 'image', source: { type: 'base64', media_type: type, data } }));
    return text ? [...parts, { type: 'text', text }] : parts;
  },
  authorize: (key) => ({ 'x-api-key': key }),
};

const gemini = {
  request(form, turns) {
    const schema = schemaOf(form), budget = number(form.thinking);
    const config = set({}, {
      temperature: number(form.temperature),
      topP: number(form.top_p),
      maxOutputTokens: number(form.max_tokens),
      thinkingConfig: budget === undefined ? undefined : { thinkingBudget: budget, includeThoughts: budget !== 0 },
      responseMimeType: schema && 'application/json',
      responseJsonSchema: schema,
    });
    const body = set({ contents: turns.map((turn) => ({ role: turn.role, parts: gemini.parts(turn) })) }, {
      systemInstruction: form.system ? { parts: [{ text: form.system }] } : undefined,
      generationConfig: Object.keys(config).length ? config : undefined,
      tools: form.search ? [{ googleSearch: {} }] : undefined,
    });
    return { path: `v1beta/models/${encodeURIComponent(form.model)}:streamGenerateContent?alt=sse`, headers: {}, body };
  },
  parts({ text, images }) {
    const parts = (images ?? []).map(({ type, data }) => ({ inlineData: { mimeType: type, data } }));
    return text || !parts.length ? [...parts, { text }] : parts;
  },
  authorize: (key) => ({ 'x-goog-api-key': key }),
};

export const dialects = { openai, anthropic, gemini };

// request builds what is sent but for the key. It throws SyntaxError for a schema
// that is no JSON.
export const request = (form, turns) => dialects[form.dialect].request(form, turns);

// shown is the request for people to read: image bytes are cut.
export function shown({ path, headers, body }) {
  const text = JSON.stringify(body, (_, v) => (typeof v === 'string' && v.length > 2000 && /^[\w+/=:;,.-]+$/.test(v)
    ? `${v.slice(0, 60)}…` : v), 2);
  const lines = Object.entries({ 'Content-Type': 'application/json', ...headers }).map(([k, v]) => `${k}: ${v}`);
  return `POST /${path}\n${lines.join('\n')}\n\n${text}`;
}
