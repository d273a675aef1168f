// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// request is a decoded request of the Messages API: what Gemini is asked, and what
// the answer's conversion has to know. It aliases the client's body.
type request struct {
	plan
	gemini gemini.Request

	features *capability.Family // what the model takes
	schemas  translate.Schemas
	remotes  translate.Remotes
}

// call returns the request to a method of the model, without its body.
func (r *request) call(method string) translate.Call {
	return translate.Call{
		Method: "POST",
		Path:   "/v1beta/models/" + r.target + ":" + method,
		Model:  r.target,
		Asked:  r.asked,
		Named:  r.named,

		Conversation: r.conversation,
	}
}

// unsign is [translate.Exchange.Unsign] for the request: it has to be encoded again
// where it returns true. So it has for relax and provide.
func (r *request) unsign() bool { return r.gemini.Unsign(r.features.Has(capability.Signed)) }

// relax is [translate.Relaxed.Relax].
func (r *request) relax(memo translate.Memo) bool { return r.schemas.Relax(&r.gemini, memo) }

// provide is [translate.Linked.Provide] for the URLs of remotes; the encoding grows
// by size.
func (r *request) provide(find func(url string) (mimeType string, data []byte, err error)) (size int, f *translate.Failure) {
	size, fault := r.remotes.Provide(find)
	if fault == nil {
		return size, nil
	}
	f = translate.Invalid(fault.Param, "%v", fault.Err)
	if fault.Size {
		f.Kind = translate.TooLarge
	}
	return 0, f
}
