// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"errors"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// The faults an answer of status 200 can have, as every dialect reports them.

// ErrorInAnswer is the [UpstreamError] for the value of an answer's "error"
// member, which may be of any shape.
func ErrorInAnswer(object rawjson.Value) *UpstreamError {
	e := &UpstreamError{}
	if code, ok := object.Get("code").Int(); ok && code >= 400 && code <= 599 {
		e.Status = int(code)
	}
	e.Body = append(append(append(e.Body, `{"error":`...), object...), '}')
	return e
}

// NoContent is the [Failure] for an answer with nothing in it.
func NoContent() *Failure {
	return &Failure{
		Kind: EmptyAnswer, Status: 200, Retry: true,
		Message: "Gemini answered without any content.",
	}
}

// CutOff is the [Failure] for an answer that stopped before its end.
func CutOff() *Failure {
	return &Failure{
		Kind: Truncated, Status: 200, Retry: true,
		Message: "Gemini's answer was cut off before its end.",
	}
}

// Unreadable is the [Failure] for an answer, or a piece of one, of n bytes that
// did not decode with err. A document that only lacks its end was cut off.
func Unreadable(err error, n int) *Failure {
	var syntax *rawjson.SyntaxError
	if errors.As(err, &syntax) && syntax.Offset >= n {
		return CutOff()
	}
	return &Failure{
		Kind: MalformedAnswer, Status: 200, Retry: true,
		Message: "Gemini's answer is not valid JSON.",
	}
}
