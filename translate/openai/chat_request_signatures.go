// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// litellmMark parts an id from a signature that one client library appends.
var litellmMark = []byte("__thought__")

// signature returns v where it is a string that says something.
func signature(v rawjson.Value) rawjson.Value {
	if v.Kind() != rawjson.String || v.IsEmptyString() {
		return nil
	}
	return v
}

// googleSignature reads extra_content as Google's own endpoint writes it.
func googleSignature(extra rawjson.Value) rawjson.Value {
	if extra == nil {
		return nil
	}
	return signature(extra.Get("google").Get("thought_signature"))
}

// callSignature looks for a call's signature in all the places where clients
// keep it, the first that has one (§7.2).
func callSignature(call, function rawjson.Value) rawjson.Value {
	var extra, plain, provider rawjson.Value
	for k, m := range call.Members() {
		switch string(k.Inner()) {
		case "extra_content":
			extra = googleSignature(m)
		case "thought_signature", "thoughtSignature":
			plain = signature(m)
		case "provider_specific_fields":
			provider = signature(m.Get("thought_signature"))
		}
	}
	for _, s := range [...]rawjson.Value{
		extra,
		googleSignature(function.Get("extra_content")),
		plain,
		signature(function.Get("thought_signature")),
		provider,
		signature(function.Get("provider_specific_fields").Get("thought_signature")),
	} {
		if s != nil {
			return s
		}
	}
	return nil
}

// splitID cuts a signature off an id.
func splitID(id rawjson.Value) (bare, sig rawjson.Value) {
	inner := id.Inner()
	before, after, ok := bytes.Cut(inner, litellmMark)
	if !ok {
		return id, nil
	}
	return quoteInner(before), signature(quoteInner(after))
}

func quoteInner(inner []byte) rawjson.Value {
	out := make([]byte, 0, len(inner)+2)
	return append(append(append(out, '"'), inner...), '"')
}

// firstSignature is what a message knows for the first call of its turn.
func firstSignature(m *message, t *turn) rawjson.Value {
	if len(t.calls) > 0 {
		return nil
	}
	for _, list := range [...]rawjson.Value{m.reasoningDetails, m.thinkingBlocks} {
		for _, e := range list.Elems() {
			if s := signature(e.Get("signature")); s != nil {
				return s
			}
			if e.Get("type").Is("reasoning.encrypted") && e.Get("format").Is("google-gemini-v1") {
				if s := signature(e.Get("data")); s != nil {
					return s
				}
			}
		}
	}
	return nil
}

// memoKey is what a call's signature is remembered under. The family is part of
// it, because models do not take each other's signatures.
// Source: specs/openai.md §7.3.
func memoKey(model, callID string) string {
	return capability.Of(model).Name + "/" + callID
}

// recall asks the memo where the client brought no signature.
func (d *decoder) recall(sig, id rawjson.Value) rawjson.Value {
	if sig != nil || d.env.Memo == nil {
		return sig
	}
	if s, ok := d.env.Memo.Signature(memoKey(d.req.Target, id.Text())); ok && s != "" {
		return rawjson.Quote(s)
	}
	return nil
}

// signText puts a message's own signature on its last text part. Without text it
// travels on an empty one, which is legal and meant so.
func signText(parts []gemini.Part, sig rawjson.Value) []gemini.Part {
	if sig == nil {
		return parts
	}
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i].Text != nil {
			parts[i].ThoughtSignature = sig
			return parts
		}
	}
	return append(parts, gemini.Part{Text: rawjson.Value(`""`), ThoughtSignature: sig})
}

// sign gives the first call of a turn the placeholder where the model insists
// on one. Calls beside it stay as they are.
func (t *turn) sign(f *capability.Family) {
	if len(t.calls) == 0 || !f.Has(capability.Signed) {
		return
	}
	if p := &t.parts[t.calls[0].part]; p.ThoughtSignature == nil {
		p.ThoughtSignature = gemini.Sentinel
	}
}

// Unsign replaces all thought signatures, which Google refused; see
// [gemini.Request.Unsign].
func (r *ChatRequest) Unsign() bool {
	return r.Gemini.Unsign(r.family != nil && r.family.Has(capability.Signed))
}
