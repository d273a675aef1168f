// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/base64"
	"slices"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// Limits of media named by URL. What Google takes inline is so many bytes of
// base64. Source: specs/openai.md §4.3.
const (
	maxRemote = 16 // different URLs of a request
	maxInline = 100 << 20
)

// remote is a part that waits for the media at a URL.
type remote struct {
	url, param string
	image      bool // sent as an image_url
	blob       *gemini.Blob
}

// remote makes p a part whose data comes with [ChatRequest.Provide].
// Source: specs/openai.md §4.2.
func (d *decoder) remote(p *gemini.Part, url, key, tail string) {
	if !slices.ContainsFunc(d.req.remote, func(r remote) bool { return r.url == url }) && len(d.req.Remote()) >= maxRemote {
		d.rejectPart(tail, "At most %d different remote files are supported in a request.", maxRemote)
		return
	}
	p.InlineData = &gemini.Blob{}
	d.req.remote = append(d.req.remote, remote{url, d.path(tail), key == "image_url", p.InlineData})
}

// Remote lists the URLs that [ChatRequest.Provide] has to be given, each once, in
// the order of the request.
func (r *ChatRequest) Remote() []string {
	var urls []string
	for i := range r.remote {
		if u := r.remote[i].url; !slices.Contains(urls, u) {
			urls = append(urls, u)
		}
	}
	return urls
}

// Provide fills in the media that find has for each URL of [ChatRequest.Remote].
// The encoded request grows by the size it returns, and little more. Failures
// name the first field whose media did not come.
func (r *ChatRequest) Provide(find func(url string) (mimeType string, data []byte, err error)) (size int, f *translate.Failure) {
	for i := range r.remote {
		m := &r.remote[i]
		mime, data, err := find(m.url)
		if err != nil {
			f := translate.Invalid(m.param, "'%s': %v", m.param, err)
			if m.image {
				f.Code = "invalid_image_url"
			}
			return 0, f
		}
		if size += base64.StdEncoding.EncodedLen(len(data)); size > maxInline {
			f := translate.Invalid(m.param, "The remote files of the request are larger than the %d bytes of base64 that Gemini takes.", maxInline)
			f.Kind = translate.TooLarge
			return 0, f
		}
		m.blob.MIMEType, m.blob.Raw = mime, data
	}
	r.remote = nil
	return size, nil
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
