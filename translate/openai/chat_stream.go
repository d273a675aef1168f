// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"slices"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Event implements [translate.Exchange]. What a choice ends with waits for
// [Chat.End]: models repeat finishReason in every event and send more text, or
// another reason, after it. Source: specs/openai.md §12.
func (x *Chat) Event(dst []byte, frame translate.Frame) ([]byte, error) {
	if len(frame.Data) == 0 || string(frame.Data) == "[DONE]" {
		return dst, nil
	}
	out := dst
	err := eachDocument(frame.Data, func(doc []byte) (err error) {
		out, err = x.event(out, doc)
		return err
	})
	if err != nil {
		return dst, err
	}
	return out, nil
}

// event converts one document.
func (x *Chat) event(dst, doc []byte) ([]byte, error) {
	if err := x.decode(doc); err != nil {
		return dst, err
	}
	for i := range x.answer.Candidates {
		var err error
		if dst, err = x.candidate(dst, x.choice(i), &x.answer.Candidates[i]); err != nil {
			return dst, err
		}
	}
	if x.answer.BlockReason != nil && !x.blocked {
		dst = x.refuse(dst)
	}
	return dst, nil
}

// refuse tells that the prompt was blocked.
func (x *Chat) refuse(dst []byte) []byte {
	x.blocked = true
	if len(x.choices) == 0 {
		x.choices = append(x.choices, choice{})
	}
	c := &x.choices[0]
	dst = x.open(dst, c, false)
	dst = append(dst, `{"refusal":"`...)
	dst = x.refusal(dst)
	return x.close(append(dst, '"', '}'))
}

// open starts a chunk of c, after the one with the role where that was not sent.
func (x *Chat) open(dst []byte, c *choice, call bool) []byte {
	if !c.role {
		c.role = true
		dst = x.chunk(dst, c)
		content := `{"role":"assistant","content":""}`
		if call {
			content = `{"role":"assistant","content":null}`
		}
		dst = append(append(dst, content...), x.tail...)
	}
	return x.chunk(dst, c)
}

// chunk appends everything before the delta.
func (x *Chat) chunk(dst []byte, c *choice) []byte {
	dst = x.start(dst)
	dst = append(dst, `{"index":`...)
	dst = strconv.AppendInt(dst, int64(c.index), 10)
	return append(dst, `,"delta":`...)
}

// start appends everything before the first choice.
func (x *Chat) start(dst []byte) []byte {
	if len(x.head) == 0 {
		x.head = append(x.head, "data: "...)
		x.head = x.envelope(x.head, "chat.completion.chunk")
		x.head = append(x.head, `,"choices":[`...)
	}
	return append(dst, x.head...)
}

// close ends a chunk.
func (x *Chat) close(dst []byte) []byte { return append(dst, x.tail...) }

// End implements [translate.Exchange].
func (x *Chat) End(dst []byte) ([]byte, error) {
	slices.SortStableFunc(x.choices, func(a, b choice) int { return a.index - b.index })
	if !x.blocked {
		if err := x.complete(); err != nil {
			return dst, err
		}
	}
	for i := range x.choices {
		dst = x.endChoice(dst, &x.choices[i])
		x.choices[i].giveBack()
	}
	x.choices = nil // and with them what points into their content
	if x.req.IncludeUsage {
		dst = x.start(dst)
		dst = append(dst, `],"usage":`...)
		dst = appendUsage(dst, x.answer.Usage)
		dst = append(dst, '}', '\n', '\n')
	}
	return append(dst, "data: [DONE]\n\n"...), nil
}

// complete reports why the choices are no whole answer.
func (x *Chat) complete() error {
	var fault *translate.Failure
	output := false
	for i := range x.choices {
		c := &x.choices[i]
		output = output || c.output
		if c.finish == nil {
			if c.role || c.seen {
				return translate.CutOff()
			}
			fault = translate.NoContent()
		} else if _, f := x.finishReason(c); f != nil {
			fault = f
		}
	}
	if len(x.choices) == 0 {
		return translate.NoContent()
	}
	if fault != nil && !output {
		return fault
	}
	return nil
}

// endChoice appends the last chunks of a choice.
func (x *Chat) endChoice(dst []byte, c *choice) []byte {
	if c.tagOpen {
		dst = x.closeTag(dst, c)
	}
	if x.req.JSONMode && !c.flowing && len(c.content) > 0 {
		c.unfence()
		dst = x.textDelta(dst, c, "", c.content)
	}
	x.rememberNative(c)
	x.rememberText(c)
	if len(c.signature)+len(c.native) > 0 {
		dst = x.open(dst, c, false)
		dst, _ = c.appendExtra(append(dst, '{'), false)
		dst = x.close(append(dst, '}'))
	}
	annotations := c.annotations(nil)
	metadata := c.metadata()
	if len(annotations) > 0 || metadata != nil {
		dst = x.open(dst, c, false)
		dst = append(dst, '{')
		if len(annotations) > 0 {
			dst = append(append(append(dst, `"annotations":[`...), annotations...), ']')
		}
		dst = append(dst, `},"logprobs":null,"finish_reason":null`...)
		dst = appendMetadata(dst, metadata)
		dst = append(append(dst, `}]`...), x.noUsage()...)
		dst = append(dst, '}', '\n', '\n')
	}
	dst = x.open(dst, c, false)
	dst = append(dst, `{},"logprobs":null,`...)
	dst = x.appendFinish(dst, c)
	dst = append(append(dst, `}]`...), x.noUsage()...)
	return append(dst, '}', '\n', '\n')
}

// appendFinish appends finish_reason, and Gemini's own word for it.
func (x *Chat) appendFinish(dst []byte, c *choice) []byte {
	dst = append(append(append(dst, `"finish_reason":"`...), x.finishWord(c)...), '"')
	if len(rawjson.Value(c.finish).Inner()) > 0 {
		dst = append(append(dst, `,"native_finish_reason":`...), c.finish...)
	}
	return dst
}

// finishWord is the finish_reason of a choice among others that are whole.
func (x *Chat) finishWord(c *choice) string {
	reason, fault := x.finishReason(c)
	switch {
	case x.blocked && (c.finish == nil || fault != nil):
		return finishFilter
	case fault != nil:
		return finishStop
	}
	return reason
}
