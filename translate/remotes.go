// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// Limits of media named by URL. What Google takes inline is so many bytes of
// base64. Source: specs/openai.md §4.3.
const (
	MaxRemote = 16 // different URLs of a request
	maxInline = 100 << 20
)

// Remotes are the parts of a request that wait for the media at URLs. The zero
// value has none. See [Linked], whose methods it backs.
type Remotes struct {
	urls    []string // different ones, at most MaxRemote
	waiting []remote
}

type remote struct {
	url, param string
	blob       *gemini.Blob
}

// NotFetched is why the media of a field did not come.
type NotFetched struct {
	Param string // the field
	Size  bool   // because of the size of all together
	Err   error  // in words for the client
}

// Add makes p a part whose data comes from a URL that the field param names. It
// reports false where the request names too many.
func (r *Remotes) Add(p *gemini.Part, url, param string) bool {
	if !slices.Contains(r.urls, url) {
		if len(r.urls) >= MaxRemote {
			return false
		}
		r.urls = append(r.urls, url)
	}
	p.InlineData = &gemini.Blob{}
	r.waiting = append(r.waiting, remote{url, param, p.InlineData})
	return true
}

// URLs lists what [Remotes.Provide] has to be given, each once, in the order of the
// request.
func (r *Remotes) URLs() []string { return r.urls }

// Provide fills in the media that find has for each URL. The encoded request grows
// by the size it returns, and little more. Its fault is that of the first field
// whose media did not come, nil for none.
func (r *Remotes) Provide(find func(url string) (mimeType string, data []byte, err error)) (size int, fault *NotFetched) {
	for i := range r.waiting {
		w := &r.waiting[i]
		mime, data, err := find(w.url)
		if err != nil {
			return 0, &NotFetched{Param: w.param, Err: err}
		}
		if size += base64.StdEncoding.EncodedLen(len(data)); size > maxInline {
			return 0, &NotFetched{w.param, true, fmt.Errorf("the remote files of the request are larger than the %d bytes of base64 that Gemini takes", maxInline)}
		}
		w.blob.MIMEType, w.blob.Raw = mime, data
	}
	r.urls, r.waiting = nil, nil
	return size, nil
}
