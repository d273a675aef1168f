// Reading the three dialects' streams: bytes of SSE in, small events out. No DOM.
//
// Events: {type: 'text' | 'thought', text}, {type: 'image', mime, data},
// {type: 'usage', input, output, thoughts, cached}, {type: 'end', reason},
// {type: 'error', message, code}. Unknown fields and events are passed over.

// sseReader cuts text that comes in any pieces into {event, data}. CR, LF and CRLF
// end lines; a CRLF cut in two counts once.
export function sseReader() {
  let rest = '', event = '', data = [], skipLF = false;
  const line = (text, out) => {
    if (text === '') {
      if (data.length) out.push({ event: event || 'message', data: data.join('\n') });
      event = ''; data = [];
      return;
    }
    const colon = text.indexOf(':');
    if (colon === 0) return; // a comment: the gateway's heartbeat
    const name = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? '' : text.slice(colon + 1).replace(/^ /, '');
    if (name === 'event') event = value;
    if (name === 'data') data.push(value);
  };
  return {
    feed(chunk) {
      const out = [];
      let text = rest + chunk;
      if (skipLF && text[0] === '\n') text = text.slice(1);
      skipLF = false;
      let at;
      while ((at = text.search(/[\r\n]/)) >= 0) {
        line(text.slice(0, at), out);
        if (text[at] === '\r' && at + 1 === text.length) skipLF = true;
        text = text.slice(text[at] === '\r' && text[at + 1] === '\n' ? at + 2 : at + 1);
      }
      rest = text;
      return out;
    },
    // end gives what a stream without a last empty line still holds.
    end() {
      const out = [];
      if (rest) line(rest, out);
      line('', out);
      rest = '';
      return out;
    },
  };
}

const error = (e) => ({ type: 'error', message: String(e?.message ?? e ?? ''), code: e?.code ?? e?.type ?? e?.status ?? '' });

function openai(m) {
  const out = [];
  if (m.error) return [error(m.error)];
  for (const choice of m.choices ?? []) {
    const delta = choice.delta ?? choice.message ?? {};
    const thought = delta.reasoning_content ?? delta.reasoning;
    if (thought) out.push({ type: 'thought', text: thought });
    if (delta.content) out.push({ type: 'text', text: delta.content });
    if (delta.refusal) out.push({ type: 'text', text: delta.refusal });
    for (const image of delta.images ?? []) out.push(...imageOf(image?.image_url?.url));
    if (choice.finish_reason) out.push({ type: 'end', reason: choice.finish_reason });
  }
  const u = m.usage;
  if (u) {
    out.push({
      type: 'usage', input: u.prompt_tokens ?? 0, output: u.completion_tokens ?? 0,
      thoughts: u.completion_tokens_details?.reasoning_tokens ?? 0, cached: u.prompt_tokens_details?.cached_tokens ?? 0,
    });
  }
  return out;
}

function imageOf(url) {
  const found = /^data:(image\/[\w.+-]+);base64,(.+)$/s.exec(url ?? '');
  return found ? [{ type: 'image', mime: found[1], data: found[2] }] : [];
}

function anthropic(m) {
  switch (m.type) {
    case 'content_block_delta':
      if (m.delta?.type === 'text_delta') return [{ type: 'text', text: m.delta.text ?? '' }];
      if (m.delta?.type === 'thinking_delta') return [{ type: 'thought', text: m.delta.thinking ?? '' }];
      return [];
    case 'message_start': return usageOf(m.message?.usage);
    case 'message_delta': {
      const end = m.delta?.stop_reason ? [{ type: 'end', reason: m.delta.stop_reason }] : [];
      return [...usageOf(m.usage), ...end];
    }
    case 'error': return [error(m.error)];
    default: return [];
  }
}

function usageOf(u) {
  if (!u) return [];
  const cached = u.cache_read_input_tokens ?? 0, input = u.input_tokens === undefined ? undefined : u.input_tokens + cached;
  return [{ type: 'usage', input, output: u.output_tokens ?? 0, thoughts: 0, cached }];
}

function gemini(m) {
  if (m.error) return [error(m.error)];
  const out = [];
  for (const candidate of m.candidates ?? []) {
    for (const part of candidate.content?.parts ?? []) {
      if (part.text) out.push({ type: part.thought ? 'thought' : 'text', text: part.text });
      if (part.inlineData && /^image\//.test(part.inlineData.mimeType)) {
        out.push({ type: 'image', mime: part.inlineData.mimeType, data: part.inlineData.data });
      }
      if (part.executableCode?.code) out.push({ type: 'text', text: '\n```\n' + part.executableCode.code + '\n```\n' });
    }
    if (candidate.finishReason) out.push({ type: 'end', reason: candidate.finishReason });
  }
  if (m.promptFeedback?.blockReason) out.push({ type: 'end', reason: m.promptFeedback.blockReason });
  const u = m.usageMetadata;
  if (u) {
    out.push({
      type: 'usage', input: u.promptTokenCount ?? 0, output: (u.candidatesTokenCount ?? 0) + (u.thoughtsTokenCount ?? 0),
      thoughts: u.thoughtsTokenCount ?? 0, cached: u.cachedContentTokenCount ?? 0,
    });
  }
  return out;
}

const parsers = { openai, anthropic, gemini };

// read turns one SSE event into events; what is no JSON is an error of the stream.
export function read(dialect, { data }) {
  if (data === '[DONE]') return [];
  let message;
  try { message = JSON.parse(data); } catch { return [{ type: 'error', message: data.slice(0, 500), code: 'not_json' }]; }
  return parsers[dialect](message);
}

// failure reads an answer that is no stream: an error in the dialect's form, or
// whatever a proxy in between said.
export function failure(text, status) {
  try {
    const m = JSON.parse(text), e = Array.isArray(m) ? m[0]?.error : m.error ?? m;
    const message = e.message ?? e.detail;
    if (message) return { type: 'error', message, code: e.code ?? e.type ?? e.status ?? String(status) };
  } catch { /* no JSON */ }
  return { type: 'error', message: text.slice(0, 500) || `HTTP ${status}`, code: String(status) };
}

// The reply so far: what the conversation shows.
export const emptyReply = () => ({ text: '', thought: '', images: [], usage: null, end: '', error: null });

// fold adds events to a reply. Usage overwrites field by field: the last one counts.
export function fold(reply, events) {
  const next = { ...reply };
  for (const e of events) {
    if (e.type === 'text') next.text += e.text;
    if (e.type === 'thought') next.thought += e.text;
    if (e.type === 'image') next.images = [...next.images, { type: e.mime, data: e.data }];
    if (e.type === 'end') next.end = e.reason;
    if (e.type === 'error') next.error = { message: e.message, code: e.code };
    if (e.type === 'usage') {
      const { type: _, ...counts } = e;
      next.usage = { ...next.usage, ...Object.fromEntries(Object.entries(counts).filter(([, v]) => v !== undefined)) };
    }
  }
  return next;
}

// blocks splits an answer at Markdown's code fences, so that code is shown as
// code; everything stays text. An open fence at the end is a code block too.
export function blocks(text) {
  const out = [];
  let code = null, lines = [];
  const flush = () => {
    if (lines.length && (code !== null || lines.join('').trim())) out.push({ code: code !== null, lang: code ?? '',
      text: lines.join('\n') });
    lines = [];
  };
  for (const line of text.split('\n')) {
    const fence = /^\s{0,3}```+\s*([\w+#.-]*)\s*$/.exec(line);
    if (!fence) { lines.push(line); continue; }
    flush();
    code = code === null ? fence[1] : null;
  }
  flush();
  return out;
}
