// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Each function here takes over one kind of part: in a stream it appends chunks
// to dst, otherwise it collects what the message will have.

const (
	thoughtStart = "<thought>"
	thoughtEnd   = "</thought>"
)

// text takes over visible text. The signature of an empty one, where streams of
// Gemini 3 often end, shows nothing.
func (x *Chat) text(dst []byte, c *choice, inner, signature []byte) []byte {
	if len(signature) > 0 {
		c.signature = append(c.signature[:0], signature...)
		c.textSigned = append(c.textSigned[:0], signature...)
	}
	if len(inner) == 0 {
		return dst
	}
	end := ""
	if c.tagOpen {
		c.tagOpen, end = false, thoughtEnd
		from := len(c.content)
		c.content = append(c.content, end...)
		c.addGap(from)
	}
	c.content = append(c.content, inner...)
	c.output = true
	if !x.req.Stream {
		return dst
	}
	if x.req.JSONMode {
		if inner = c.flow(inner); inner == nil {
			return dst
		}
	}
	return x.textDelta(dst, c, end, inner)
}

// textDelta appends a chunk of text, after the end of a tag.
func (x *Chat) textDelta(dst []byte, c *choice, end string, inner []byte) []byte {
	dst = x.open(dst, c, false)
	dst = append(append(append(dst, `{"content":"`...), end...), inner...)
	dst = append(dst, '"')
	if len(c.signature) > 0 {
		dst = appendSignature(append(dst, ','), c.signature)
		c.signature = c.signature[:0]
	}
	dst = append(dst, '}')
	if x.logprobs == nil {
		return x.close(dst)
	}
	return x.closeWithLogprobs(dst)
}

// thought takes over reasoning. Source: specs/openai.md §8.3.
func (x *Chat) thought(dst []byte, c *choice, inner []byte) []byte {
	if len(inner) == 0 || x.req.Reasoning == ReasoningOff {
		return dst
	}
	if x.req.Reasoning == ReasoningTags {
		return x.taggedThought(dst, c, inner)
	}
	if !x.req.Stream {
		c.reasoning = append(c.reasoning, inner...)
		return dst
	}
	dst = x.open(dst, c, false)
	dst = append(append(dst, `{"reasoning_content":"`...), inner...)
	return x.close(append(dst, '"', '}'))
}

// taggedThought takes over reasoning in the style of Google's own endpoint.
func (x *Chat) taggedThought(dst []byte, c *choice, inner []byte) []byte {
	start := ""
	if !c.tagOpen {
		start = thoughtStart
	}
	c.tagOpen, c.tagged = true, true
	from := len(c.content)
	c.content = append(append(c.content, start...), inner...)
	c.addGap(from)
	if !x.req.Stream {
		return dst
	}
	dst = x.open(dst, c, false)
	dst = append(append(append(dst, `{"content":"`...), start...), inner...)
	return x.close(append(dst, `","extra_content":{"google":{"thought":true}}}`...))
}

// appendSignature appends the member that carries a thought signature. Google's
// own endpoint puts it there. Source: specs/openai.md §7.2.
func appendSignature(dst, inner []byte) []byte {
	dst = append(dst, `"extra_content":{"google":{"thought_signature":"`...)
	return append(append(dst, inner...), `"}}`...)
}

// appendExtra appends the member extra_content with what Google wants back and
// no other member has, and reports false where that is nothing.
func (c *choice) appendExtra(dst []byte, thought bool) ([]byte, bool) {
	if !thought && len(c.signature)+len(c.native) == 0 {
		return dst, false
	}
	dst = append(dst, `"extra_content":{"google":{`...)
	if thought {
		dst = append(dst, `"thought":true,`...)
	}
	if len(c.signature) > 0 {
		dst = append(append(append(dst, `"thought_signature":"`...), c.signature...), `",`...)
	}
	if len(c.native) > 0 {
		dst = append(append(append(dst, `"parts":[`...), c.native...), `],`...)
	}
	return append(dst[:len(dst)-1], `}}`...), true // in place of the last comma
}

// toolCall takes over a function call. Source: specs/openai.md §10.4.
func (x *Chat) toolCall(dst []byte, c *choice, p *gemini.Part) []byte {
	name := x.req.ToolName(p.FunctionCall.Name.Text())
	if name == "" {
		return dst
	}
	c.sawCall, c.output = true, true
	if c.callCount > 0 && (!x.req.ParallelCalls || x.req.LegacyFunctions) {
		return dst // the client asked for one at a time
	}
	if c.tagOpen {
		dst = x.closeTag(dst, c)
	}
	if x.req.LegacyFunctions { // a function_call has no id and no place for it
		c.signature = append(c.signature[:0], p.ThoughtSignature.Inner()...)
	}
	if x.req.Stream {
		dst = x.open(dst, c, true)
		dst = x.appendCallDelta(dst, c, p, name)
		dst = x.close(dst)
	} else if x.req.LegacyFunctions {
		c.calls = x.appendFunction(c.calls, p.FunctionCall, name)
	} else {
		if c.callCount > 0 {
			c.calls = append(c.calls, ',')
		}
		c.calls = x.appendCall(append(c.calls, '{'), c, p, name)
	}
	c.callCount++
	return dst
}

// closeTag ends a thought that no text follows.
func (x *Chat) closeTag(dst []byte, c *choice) []byte {
	output := c.output
	from := len(c.content)
	c.tagOpen = false
	dst = x.text(dst, c, []byte(thoughtEnd), nil)
	c.addGap(from)
	c.output = output
	return dst
}

func (x *Chat) appendCallDelta(dst []byte, c *choice, p *gemini.Part, name string) []byte {
	if x.req.LegacyFunctions {
		dst = append(dst, `{"function_call":`...)
		return append(x.appendFunction(dst, p.FunctionCall, name), '}')
	}
	dst = append(dst, `{"tool_calls":[{"index":`...)
	dst = strconv.AppendInt(dst, int64(c.callCount), 10)
	dst = x.appendCall(append(dst, ','), c, p, name)
	return append(dst, ']', '}')
}

// appendCall appends the members of a tool call and its closing brace.
func (x *Chat) appendCall(dst []byte, c *choice, p *gemini.Part, name string) []byte {
	id := x.ids.take(p.FunctionCall.ID, x.env.NewID)
	if c.callCount == 0 {
		c.firstCall = id
	}
	dst = append(append(append(dst, `"id":"`...), id...), '"')
	if x.req.CustomTool(name) {
		dst = append(dst, `,"type":"custom","custom":{"name":`...)
		dst = rawjson.AppendQuoted(dst, name)
		dst = append(dst, `,"input":"`...)
		if input := p.FunctionCall.Args.Get("input"); input.Kind() == rawjson.String {
			dst = append(dst, input.Inner()...)
		} else {
			dst = x.appendArguments(dst, p.FunctionCall.Args)
		}
		dst = append(dst, '"', '}')
	} else {
		dst = append(dst, `,"type":"function","function":`...)
		dst = x.appendFunction(dst, p.FunctionCall, name)
	}
	if signature := p.ThoughtSignature; len(signature.Inner()) > 0 {
		if x.env.Memo != nil {
			x.env.Memo.Remember(memoKey(x.req.Target, id), signature.Text())
		}
		dst = appendSignature(append(dst, ','), signature.Inner())
	}
	return append(dst, '}')
}

func (x *Chat) appendFunction(dst []byte, call *gemini.FunctionCall, name string) []byte {
	dst = append(dst, `{"name":`...)
	dst = rawjson.AppendQuoted(dst, name)
	dst = append(dst, `,"arguments":"`...)
	dst = x.appendArguments(dst, call.Args)
	return append(dst, '"', '}')
}

// appendArguments appends a JSON value for the inside of a JSON string. In
// compact JSON only quotes and backslashes need an escape.
func (x *Chat) appendArguments(dst []byte, args rawjson.Value) []byte {
	return appendArguments(dst, &x.scratch, args)
}

func appendArguments(dst []byte, scratch *[]byte, args rawjson.Value) []byte {
	if args.IsNull() {
		return append(dst, '{', '}')
	}
	*scratch = rawjson.Compact((*scratch)[:0], args)
	for _, b := range *scratch {
		if b == '"' || b == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, b)
	}
	return dst
}
