// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// remote makes p a part whose data comes with [ChatRequest.Provide].
// Source: specs/openai.md §4.2.
func (d *decoder) remote(p *gemini.Part, url, tail string) {
	if !d.req.remote.Add(p, url, d.path(tail)) {
		d.rejectPart(tail, "At most %d different remote files are supported in a request.", translate.MaxRemote)
	}
}

// Remote lists the URLs that [ChatRequest.Provide] has to be given, each once, in
// the order of the request.
func (r *ChatRequest) Remote() []string { return r.remote.URLs() }

// Provide fills in the media that find has for each URL of [ChatRequest.Remote].
// The encoded request grows by the size it returns, and little more. Failures
// name the first field whose media did not come.
func (r *ChatRequest) Provide(find func(url string) (mimeType string, data []byte, err error)) (size int, f *translate.Failure) {
	size, fault := r.remote.Provide(find)
	if fault == nil {
		return size, nil
	}
	f = translate.Invalid(fault.Param, "'%s': %v", fault.Param, fault.Err)
	if fault.Size {
		f.Kind = translate.TooLarge
	} else if strings.Contains(fault.Param, "image_url") {
		f.Code = "invalid_image_url"
	}
	return 0, f
}

var (
	_ translate.Linked = (*Chat)(nil)
	_ translate.Linked = (*Responses)(nil)
	_ translate.Linked = (*InputTokens)(nil)
)

// Remote implements [translate.Linked].
func (x *Chat) Remote() []string { return x.req.Remote() }

// Provide implements [translate.Linked].
func (x *Chat) Provide(find func(url string) (string, []byte, error)) *translate.Failure {
	size, f := x.req.Provide(find)
	if f == nil {
		x.call.Body, x.call.Pieces = x.req.Gemini.Encode(nil, x.call.Length()+size)
	}
	return f
}

// Remote implements [translate.Linked].
func (x *Responses) Remote() []string { return x.req.Remote() }

// Provide implements [translate.Linked].
func (x *Responses) Provide(find func(url string) (string, []byte, error)) *translate.Failure {
	size, f := x.req.Provide(find)
	if f == nil {
		x.call.Body, x.call.Pieces = x.req.Gemini.Encode(nil, x.call.Length()+size)
	}
	return f
}

// Remote implements [translate.Linked].
func (x *InputTokens) Remote() []string { return x.req.Remote() }

// Provide implements [translate.Linked].
func (x *InputTokens) Provide(find func(url string) (string, []byte, error)) *translate.Failure {
	size, f := x.req.Provide(find)
	if f == nil {
		x.encode(x.call.Length() + size)
	}
	return f
}
