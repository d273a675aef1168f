// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"slices"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// Completion reads a stream as [Chat] reads whole answers, event after event into
// the same choices, and sends of each choice's content what it did not send yet.

// Begin implements [translate.Exchange].
func (x *Completion) Begin() {
	x.Chat.Begin()
	x.sent = nil
}

// ContentType implements [translate.Exchange].
func (x *Completion) ContentType() string {
	if x.stream {
		return eventStream
	}
	return contentType
}

// completion appends the members that a completion and its chunks share.
func (x *Completion) completion(dst []byte) []byte {
	from := len(dst)
	dst = x.envelope(dst, "text_completion")
	return slices.Replace(dst, from, from+len(`{"id":"chatcmpl-`), []byte(`{"id":"cmpl-`)...)
}

// start appends everything before the first choice of a chunk.
func (x *Completion) start(dst []byte) []byte {
	if len(x.head) == 0 {
		x.head = append(x.completion(append(x.head, "data: "...)), `,"choices":[`...)
	}
	return append(dst, x.head...)
}

// Event implements [translate.Exchange].
func (x *Completion) Event(dst []byte, frame translate.Frame) ([]byte, error) {
	if len(frame.Data) == 0 || string(frame.Data) == "[DONE]" {
		return dst, nil
	}
	if err := eachDocument(frame.Data, x.take); err != nil {
		return dst, err
	}
	out := dst
	for i := range x.choices {
		c := &x.choices[i]
		if i == len(x.sent) {
			x.sent = append(x.sent, 0)
		}
		fresh := c.content[x.sent[i]:]
		if len(fresh) == 0 {
			continue
		}
		x.sent[i] = len(c.content)
		out = x.chunk(out, c, fresh)
		out = append(out, `null}]`...)
		out = append(append(out, x.noUsage()...), "}\n\n"...)
	}
	return out, nil
}

// take takes over one document.
func (x *Completion) take(doc []byte) error {
	if err := x.decode(doc); err != nil {
		return err
	}
	for i := range x.answer.Candidates {
		if _, err := x.candidate(nil, x.choice(i), &x.answer.Candidates[i]); err != nil {
			return err
		}
	}
	if x.answer.BlockReason != nil {
		if x.blocked = true; len(x.choices) == 0 {
			x.choices = append(x.choices, choice{})
		}
	}
	return nil
}

// chunk appends a chunk up to the value of finish_reason.
func (x *Completion) chunk(dst []byte, c *choice, text []byte) []byte {
	dst = appendInt(append(x.start(dst), `{"index":`...), int64(c.index))
	dst = append(append(append(dst, `,"text":"`...), text...), '"')
	return append(dst, `,"logprobs":null,"finish_reason":`...)
}

// End implements [translate.Exchange].
func (x *Completion) End(dst []byte) ([]byte, error) {
	if !x.blocked {
		if err := x.complete(); err != nil {
			return dst, err
		}
	}
	for i := range x.choices {
		c := &x.choices[i]
		c.sawCall = false // finish_reason knows no calls here
		dst = append(append(append(x.chunk(dst, c, nil), '"'), x.finishWord(c)...), `"}]`...)
		dst = append(dst, x.noUsage()...)
		dst = append(dst, "}\n\n"...)
		c.giveBack()
	}
	x.choices, x.sent = nil, nil
	if x.req.IncludeUsage {
		dst = append(x.start(dst), `],"usage":`...)
		dst = append(appendUsage(dst, x.answer.Usage), "}\n\n"...)
	}
	return append(dst, "data: [DONE]\n\n"...), nil
}
