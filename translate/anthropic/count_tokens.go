// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// CountTokens is one POST /v1/messages/count_tokens, which counts what a request would
// cost. It implements [translate.Exchange]; there is nothing to stream. Clients send
// dozens at once and take an estimate for an error: see [CountTokens.Estimate].
// Source: specs/native-anthropic.md C.9.
type CountTokens struct {
	whole
	env translate.Env
	req *request
}

var (
	_ translate.Linked  = (*CountTokens)(nil)
	_ translate.Relaxed = (*CountTokens)(nil)
)

// NewCountTokens decodes a request to count. The result aliases body.
func NewCountTokens(env translate.Env, o Options, body []byte) (*CountTokens, *translate.Failure) {
	req, f := decodeCountTokens(env, &o, body)
	if f != nil {
		return nil, f
	}
	x := &CountTokens{env: env, req: req}
	x.call = req.call("countTokens")
	x.encode(len(body))
	return x, nil
}

// encode wraps the request as countTokens wants it: the whole one, with its model.
func (x *CountTokens) encode(size int) {
	head := []byte(`{"generateContentRequest":{"model":"models/` + x.req.target + `"`)
	body, pieces := x.req.gemini.Encode(head, size)
	body[len(head)] = ',' // for the brace; the request has contents
	x.call.Body, x.call.Pieces = append(body, '}'), pieces
}

// Response implements [translate.Exchange].
func (x *CountTokens) Response(dst, body []byte) ([]byte, error) {
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
	return appendCount(dst, n), nil
}

func appendCount(dst []byte, tokens int64) []byte {
	return append(strconv.AppendInt(append(dst, `{"input_tokens":`...), tokens, 10), '}')
}

// Estimate appends an answer for the case that Google cannot be asked: about what
// the request has, by its size.
func (x *CountTokens) Estimate(dst []byte) []byte {
	g := &x.req.gemini
	var n size
	n.parts(g.SystemInstruction)
	for i := range g.Contents {
		n.parts(g.Contents[i].Parts)
	}
	for i := range g.Tools {
		for _, f := range g.Tools[i].Functions {
			n.json += len(f.Name) + len(f.Description) + len(f.Schema) + len(f.JSONSchema)
		}
	}
	n.json += len(g.Config.ResponseSchema) + len(g.Config.ResponseJSONSchema)
	return appendCount(dst, n.tokens())
}

// size is how much of each kind a request has: bytes, and units of media.
type size struct{ text, json, media int }

// What a token and a medium is worth. Source: specs/native-anthropic.md C.9.
const (
	mediaTokens = 258     // a small image, or a page
	mediaUnit   = 256_000 // base64 bytes of a large one that count as another
)

func (n *size) tokens() int64 {
	return max(1, int64(n.text)*10/36+int64(n.json)/4+int64(n.media)*mediaTokens)
}

func (n *size) parts(parts []gemini.Part) {
	for i := range parts {
		p := &parts[i]
		n.text += len(p.Text.Inner())
		if c := p.FunctionCall; c != nil {
			n.json += len(c.Name) + len(c.Args)
		}
		if r := p.FunctionResponse; r != nil {
			n.text += len(r.Response)
			n.parts(r.Parts)
		}
		if b := p.InlineData; b != nil {
			n.media += 1 + (len(b.Data)+len(b.Raw)*4/3)/mediaUnit
		}
		if p.FileData != nil {
			n.media++
		}
		n.json += len(p.ServerTool) + len(p.ExecutableCode) + len(p.CodeResult)
	}
}

// Error implements [translate.Exchange].
func (x *CountTokens) Error(f *translate.Failure) translate.Answer {
	return Error(namedModel(f, x.req.model))
}

// Unsign implements [translate.Exchange].
func (x *CountTokens) Unsign() bool {
	if !x.req.unsign() {
		return false
	}
	x.encode(x.call.Length())
	return true
}

// Relax implements [translate.Relaxed].
func (x *CountTokens) Relax() bool {
	if !x.req.relax(x.env.Memo) {
		return false
	}
	x.encode(x.call.Length())
	return true
}

// Remote implements [translate.Linked].
func (x *CountTokens) Remote() []string { return x.req.remotes.URLs() }

// Provide implements [translate.Linked].
func (x *CountTokens) Provide(find func(url string) (mimeType string, data []byte, err error)) *translate.Failure {
	size, f := x.req.provide(find)
	if f != nil {
		return f
	}
	x.encode(x.call.Length() + size)
	return nil
}
