// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"hash/maphash"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

var (
	_ translate.Relaxed = (*Chat)(nil)
	_ translate.Relaxed = (*Responses)(nil)
)

// hashSeed is the process's own, so that nobody can prepare values of one hash.
var hashSeed = maphash.MakeSeed()

// Relax implements [translate.Relaxed].
func (x *Chat) Relax() bool {
	if !x.req.schemas.Relax(&x.req.Gemini, x.env.Memo) {
		return false
	}
	x.call.Body, x.call.Pieces = x.req.Gemini.Encode(nil, x.call.Length())
	return true
}

// Relax implements [translate.Relaxed].
func (x *Responses) Relax() bool {
	if !x.req.schemas.Relax(&x.req.Gemini, x.env.Memo) {
		return false
	}
	x.call.Body, x.call.Pieces = x.req.Gemini.Encode(nil, x.call.Length())
	return true
}

// relaxed starts from the form that the model took last.
func (d *decoder) relaxed() {
	d.req.schemas.Start(&d.req.Gemini, d.req.Target, d.family, d.env.Memo)
}
