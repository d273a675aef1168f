// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Thought signatures come from the first of three layers that has one: the envelope
// in a thinking block of the message, the memo, and for the first call of a turn of
// models that insist, Google's placeholder. Source: C.5.

// signedText is the id under which an envelope keeps the signature of the text that
// follows it.
const signedText = "text"

// envelope takes over what the signature of a thinking block carries, if it is one of
// ours and of a model whose signatures the present one takes. Parts of Google's own
// tools stand where the block does.
func (d *decoder) envelope(s *spoken, signature rawjson.Value) {
	e, ok := openEnvelope(d.opts, signature)
	if !ok || e.family != d.req.family {
		return
	}
	for _, c := range e.calls {
		if c.id == signedText {
			s.signature = c.signature
			continue
		}
		if s.signed == nil {
			s.signed = map[string]rawjson.Value{}
		}
		s.signed[c.id] = c.signature
	}
	for i := range e.parts {
		if p := &e.parts[i]; d.takesNative(p) {
			s.parts = append(s.parts, *p)
		}
	}
}

// takesNative reports whether the model takes a part of Google's own tools in its
// history, where it is going to be. Source: OS§5.5.
func (d *decoder) takesNative(p *gemini.Part) bool {
	if p.ServerToolKey == "" {
		return d.req.features.Has(capability.Validated)
	}
	if !d.req.features.Has(capability.MixedTools) {
		return false
	}
	d.replays = true
	return true
}

// signatureOf is the first two layers for a call of a message.
func (d *decoder) signatureOf(s *spoken, id string) rawjson.Value {
	if signature := s.signed[id]; signature != nil {
		return signature
	}
	if d.env.Memo == nil {
		return nil
	}
	if signature, ok := d.env.Memo.Signature(memoKey(d.req.target, id)); ok && signature != "" {
		return rawjson.Quote(signature)
	}
	return nil
}

// sign is the third layer. Calls beside the first stay as they are.
func (d *decoder) sign(t *turn) {
	if len(t.calls) == 0 || !d.req.features.Has(capability.Signed) {
		return
	}
	if p := &t.parts[t.calls[0].part]; p.ThoughtSignature == nil {
		p.ThoughtSignature = gemini.Sentinel
	}
}
