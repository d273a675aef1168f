// SPDX-License-Identifier: Apache-2.0

// Package native is Gemini's own dialect. Bytes pass through untouched in both
// directions; the answer is only read, to hold it back until it is useful, to
// book its usage, and to notice when it is none.
//
// Source: specs/native-anthropic.md A.
package native

import (
	"bytes"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// Exchange is a native request. It implements [translate.Exchange].
type Exchange struct {
	call     *translate.Call
	answer   gemini.Response
	held     []byte // frames that came before the first useful one
	useful   bool   // some frame had output
	finished bool   // some candidate finished, or the prompt was blocked
	began    uint64 // the candidates with output, a bit for each index
	done     uint64 // those that finished
	closed   bool   // the array's closing bracket came
}

var _ translate.Released = (*Exchange)(nil)

// New returns the exchange of a request that goes to Google as call says.
func New(call *translate.Call) *Exchange { return &Exchange{call: call} }

// Call implements [translate.Exchange].
func (x *Exchange) Call() *translate.Call { return x.call }

// Begin implements [translate.Exchange].
func (x *Exchange) Begin() {
	x.answer.Reset()
	x.held = x.held[:0]
	x.useful, x.finished, x.closed = false, false, false
	x.began, x.done = 0, 0
}

// Response implements [translate.Exchange]. Only calls that generate are judged
// by their content; any other 200 passes.
func (x *Exchange) Response(dst, body []byte) ([]byte, error) {
	err := x.answer.Decode(body)
	if x.call.Generate {
		if err == nil {
			err = x.judge()
		} else {
			err = translate.Unreadable(err, len(body))
		}
		if err != nil {
			return dst, err
		}
		if !x.useful {
			return dst, translate.NoContent()
		}
	}
	return append(dst, body...), nil
}

// Event implements [translate.Exchange].
func (x *Exchange) Event(dst []byte, frame translate.Frame) ([]byte, error) {
	if !x.call.Generate {
		return append(dst, frame.Raw...), nil
	}
	if len(frame.Data) == 0 {
		x.closed = x.closed || x.call.Stream == translate.JSONArray && bytes.IndexByte(frame.Raw, ']') >= 0
	} else if err := x.answer.Decode(frame.Data); err != nil {
		return dst, translate.Unreadable(err, len(frame.Data))
	} else if err := x.judge(); err != nil {
		return dst, err
	}
	if !x.useful {
		x.held = append(x.held, frame.Raw...)
		return dst, nil
	}
	if len(x.held) > 0 {
		dst = append(dst, x.held...)
		x.held = x.held[:0]
	}
	return append(dst, frame.Raw...), nil
}

// judge looks at the decoded answer for an error, for output and for an end.
func (x *Exchange) judge() error {
	a := &x.answer
	if a.Error != nil {
		return translate.ErrorInAnswer(a.Error)
	}
	for i := range a.Candidates {
		c := &a.Candidates[i]
		bit := uint64(1) << min(uint(c.Index), 63) // Google gives eight at most
		switch {
		case c.FinishReason != nil:
			x.useful, x.finished = true, true
			x.done |= bit
		case len(c.Parts) > 0:
			x.useful = true
			x.began |= bit
		}
	}
	if a.BlockReason != nil {
		x.useful, x.finished, x.done = true, true, ^uint64(0)
	}
	return nil
}

// End implements [translate.Exchange]. Clients take a stream without a finish
// reason for a success, so it must not end like one.
func (x *Exchange) End(dst []byte) ([]byte, error) {
	switch {
	case !x.call.Generate:
	case !x.useful:
		return dst, translate.NoContent()
	case !x.finished || x.began&^x.done != 0:
		return dst, translate.CutOff()
	case x.call.Stream == translate.JSONArray && !x.closed:
		dst = append(dst, "\n]"...)
	}
	return dst, nil
}

// Heartbeat implements [translate.Exchange]. Google's own SDKs break on
// anything but events. Source: specs/native-anthropic.md A.5.
func (x *Exchange) Heartbeat() string { return "" }

// ContentType implements [translate.Exchange].
func (x *Exchange) ContentType() string {
	if x.call.Stream == translate.SSE {
		return "text/event-stream"
	}
	return contentType
}

// Unsign implements [translate.Exchange]. A native client keeps its own
// signatures; it gets Google's words about them.
func (x *Exchange) Unsign() bool { return false }

// Release implements [translate.Released].
func (x *Exchange) Release() { x.call.Body, x.call.Pieces = nil, nil }

// Usage implements [translate.Exchange].
func (x *Exchange) Usage() gemini.Usage { return x.answer.Usage }

// Summary implements [translate.Summarized].
func (x *Exchange) Summary() *gemini.Summary { return &x.answer.Summary }
