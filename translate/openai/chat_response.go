// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Response implements [translate.Exchange]. Source: specs/openai.md §10.
func (x *Chat) Response(dst, body []byte) ([]byte, error) {
	if err := x.whole(body); err != nil {
		return dst, err
	}
	dst = x.envelope(dst, "chat.completion")
	dst = append(dst, `,"choices":[`...)
	for i := range x.choices {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = x.appendChoice(dst, &x.choices[i])
	}
	dst = append(dst, `],"usage":`...)
	dst = appendUsage(dst, x.answer.Usage)
	return append(dst, '}'), nil
}

// whole takes over an answer in one piece and sorts its choices.
func (x *Chat) whole(body []byte) error {
	err := eachDocument(body, func(doc []byte) error {
		if x.answer.BlockReason != nil {
			return nil
		}
		if err := x.decode(doc); err != nil {
			return err
		}
		for i := range x.answer.Candidates {
			if _, err := x.candidate(nil, x.choice(i), &x.answer.Candidates[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(x.choices, func(a, b choice) int { return a.index - b.index })
	if x.answer.BlockReason != nil {
		x.blocked = true
		if len(x.choices) == 0 {
			x.choices = append(x.choices, choice{})
		}
		return nil
	}
	return x.usable()
}

// eachDocument calls do with doc or, where that is an array, with each of its elements:
// streamGenerateContent answers so where alt=sse gets lost on the way.
func eachDocument(doc []byte, do func(doc []byte) error) error {
	if doc = bytes.TrimLeft(doc, " \t\r\n"); len(doc) == 0 || doc[0] != '[' {
		return do(doc)
	}
	list, err := rawjson.Parse(doc)
	if err != nil {
		return translate.Unreadable(err, len(doc))
	}
	if list.Len() == 0 {
		return translate.NoContent()
	}
	for _, e := range list.Elems() {
		if err := do(e); err != nil {
			return err
		}
	}
	return nil
}

// usable is [Chat.complete] for an answer in one piece, where a missing finish
// reason does not mean that something is missing.
func (x *Chat) usable() error {
	for i := range x.choices {
		if c := &x.choices[i]; c.finish == nil && c.seen {
			c.finish = []byte(`""`)
		}
	}
	return x.complete()
}

func (x *Chat) appendChoice(dst []byte, c *choice) []byte {
	if c.tagOpen {
		x.closeTag(nil, c)
	}
	if x.req.JSONMode {
		c.unfence()
	}
	x.rememberNative(c)
	x.rememberText(c)
	dst = append(dst, `{"index":`...)
	dst = strconv.AppendInt(dst, int64(c.index), 10)
	dst = append(dst, `,"message":{"role":"assistant","content":`...)
	dst = x.appendContent(dst, c)
	dst = append(dst, `,"refusal":`...)
	if x.blocked && !c.output {
		dst = append(x.refusal(append(dst, '"')), '"')
	} else {
		dst = append(dst, "null"...)
	}
	dst = appendMember(dst, `,"annotations":[`, c.annotations(nil), `]`)
	if x.req.LegacyFunctions {
		dst = appendMember(dst, `,"function_call":`, c.calls, "")
	} else {
		dst = appendMember(dst, `,"tool_calls":[`, c.calls, `]`)
	}
	dst = appendMember(dst, `,"reasoning_content":"`, c.reasoning, `"`)
	dst = appendMember(dst, `,"images":[`, c.images, `]`)
	if len(c.sound) > 0 {
		dst = x.appendAudio(append(dst, `,"audio":`...), c, joined(c.sound), x.req.AudioFormat != "pcm16")
	}
	if extra, ok := c.appendExtra(append(dst, ','), c.tagged); ok {
		dst = extra
	}
	dst = append(dst, `},"logprobs":`...)
	if len(c.logprobs) > 0 {
		dst = append(append(dst, c.logprobs...), ',')
	} else {
		dst = append(dst, `null,`...)
	}
	dst = x.appendFinish(dst, c)
	dst = appendMetadata(dst, c.metadata())
	return append(dst, '}')
}

// appendMember appends a member unless its value is empty.
func appendMember(dst []byte, before string, value []byte, after string) []byte {
	if len(value) == 0 {
		return dst
	}
	return append(append(append(dst, before...), value...), after...)
}

// appendContent appends the content: null beside calls and media, the empty
// string where there is nothing at all.
func (x *Chat) appendContent(dst []byte, c *choice) []byte {
	if len(c.content) == 0 && (c.output || x.blocked) {
		return append(dst, "null"...)
	}
	return append(append(append(dst, '"'), c.content...), '"')
}

// refusal appends why the prompt was blocked, encoded, without quotes.
// Source: specs/openai.md §10.5.
func (x *Chat) refusal(dst []byte) []byte {
	return appendRefusal(dst, &x.answer)
}

func appendRefusal(dst []byte, answer *gemini.Response) []byte {
	dst = append(dst, "The request was blocked by Gemini ("...)
	dst = append(append(dst, answer.BlockReason.Inner()...), ")."...)
	if message := answer.BlockMessage.Inner(); len(message) > 0 {
		dst = append(append(dst, ' '), message...)
	}
	return dst
}
