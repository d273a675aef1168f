// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// InputTokens is one POST /v1/responses/input_tokens, which counts what a
// request would cost. It implements [translate.Exchange]; there is nothing to
// stream. Source: specs/openai.md §19.3.
type InputTokens struct {
	unary
	req *responsesRequest
}

var _ translate.Exchange = (*InputTokens)(nil)

// NewInputTokens decodes a request to count. The result aliases body.
func NewInputTokens(env translate.Env, o Options, body []byte) (*InputTokens, *translate.Failure) {
	req, f := decodeResponses(env, &o, body)
	if f != nil {
		return nil, f
	}
	x := &InputTokens{req: req}
	x.call = callTo(req.ChatRequest, "countTokens")
	x.encode(len(body) + len(req.previous))
	return x, nil
}

// encode wraps the request as countTokens wants it: the whole one, with its model.
func (x *InputTokens) encode(size int) {
	head := []byte(`{"generateContentRequest":{"model":"models/` + x.req.Target + `"`)
	body, pieces := x.req.Gemini.Encode(head, size)
	body[len(head)] = ',' // for the brace; the request has contents
	x.call.Body, x.call.Pieces = append(body, '}'), pieces
}

// Response implements [translate.Exchange].
func (x *InputTokens) Response(dst, body []byte) ([]byte, error) {
	v, err := rawjson.Parse(body)
	if err != nil {
		return dst, translate.Unreadable(err, len(body))
	}
	if e := v.Get("error"); !e.IsNull() {
		return dst, translate.ErrorInAnswer(e)
	}
	n, ok := v.Get("totalTokens").Int()
	if !ok {
		return dst, translate.NoContent()
	}
	dst = append(dst, `{"object":"response.input_tokens","input_tokens":`...)
	return append(strconv.AppendInt(dst, n, 10), '}'), nil
}

// Unsign implements [translate.Exchange].
func (x *InputTokens) Unsign() bool {
	if !x.req.Unsign() {
		return false
	}
	x.encode(x.call.Length())
	return true
}
