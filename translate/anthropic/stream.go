// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"bytes"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

const pingEvent = "event: ping\ndata: {\"type\":\"ping\"}\n\n"

// Event implements [translate.Exchange]. What the message ends with waits for
// [Messages.End]: models repeat finishReason in every event and send more text, or
// another reason, after it. Source: specs/native-anthropic.md C.13.
func (x *Messages) Event(dst []byte, frame translate.Frame) ([]byte, error) {
	if x.ended || len(frame.Data) == 0 || string(frame.Data) == "[DONE]" {
		if x.ended { // by a stop sequence; only the counts still matter
			_ = x.decode(frame.Data)
		}
		return dst, nil
	}
	out := dst
	err := eachDocument(frame.Data, func(doc []byte) error {
		if err := x.decode(doc); err != nil {
			return err
		}
		out = x.take(out)
		return nil
	})
	if err != nil {
		return dst, err
	}
	return out, nil
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

// End implements [translate.Exchange].
func (x *Messages) End(dst []byte) ([]byte, error) {
	if x.ended {
		return dst, nil
	}
	if err := x.complete(); err != nil {
		return dst, err
	}
	return x.finish(dst), nil
}

// finish appends the end of the last block, message_delta and message_stop. There
// is exactly one message_delta, and it comes last: one SDK lets each overwrite the
// stop reason.
func (x *Messages) finish(dst []byte) []byte {
	dst = x.closeAll(x.begin(dst))
	x.ended = true
	dst = append(dst, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"...)
	dst = x.appendStop(dst, false)
	dst = append(dst, `},"usage":`...)
	dst = appendEndUsage(dst, x.answer.Usage, x.served)
	dst = append(dst, endEvent...)
	return append(dst, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"...)
}

// begin appends what comes before the first block, once.
func (x *Messages) begin(dst []byte) []byte {
	if x.begun {
		return dst
	}
	x.begun = true
	if x.plan.stream {
		dst = append(dst, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":"...)
	}
	dst = append(dst, `{"id":"msg_`...)
	if len(x.id) > 0 {
		dst = append(dst, x.id...)
	} else {
		dst = append(dst, x.env.NewID(24)...)
	}
	dst = append(dst, `","type":"message","role":"assistant","model":`...)
	dst = rawjson.AppendQuoted(dst, x.plan.model)
	dst = append(dst, `,"content":[`...)
	if !x.plan.stream {
		return dst
	}
	dst = append(dst, `],"stop_reason":null,"stop_sequence":null,"usage":`...)
	dst = appendStartUsage(dst, x.answer.Usage, x.estimate)
	return append(dst, `}`+endEvent+pingEvent...)
}
