// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"encoding/base64"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// The signature of a thinking block is the one slot that clients send back as they
// got it, so Google's thought signatures travel in there:
//
//	gw1.<sealed {"m": family, "c": [{"i": tool_use id, "s": thoughtSignature}], "p": [part, …]}>
//
// p has parts of the turn that the protocol has no form for, calls and results of
// Google's own tools, as Google wrote them; they stand where the block stands.
// Source: specs/native-anthropic.md C.5.

const (
	envelopeMark = "gw1."
	// maxEnvelope is from what size on, in bytes, an envelope does without parts.
	maxEnvelope = 64 << 10
)

// envelope is the content of a signature.
type envelope struct {
	family string
	calls  []signedCall
	parts  []gemini.Part
}

// signedCall is a call and its thought signature, a JSON string.
type signedCall struct {
	id        string // of the tool_use block
	signature rawjson.Value
}

// seal returns the envelope as text that needs no escaping in JSON; it is never
// empty.
func (e *envelope) seal(o *Options) string {
	doc := append([]byte(`{"m":`), rawjson.Quote(e.family)...)
	if len(e.calls) > 0 {
		doc = append(doc, `,"c":[`...)
		for i, c := range e.calls {
			if i > 0 {
				doc = append(doc, ',')
			}
			doc = append(rawjson.AppendQuoted(append(doc, `{"i":`...), c.id), `,"s":`...)
			doc = append(append(doc, c.signature...), '}')
		}
		doc = append(doc, ']')
	}
	if n := len(doc); len(e.parts) > 0 {
		doc = append(doc, `,"p":[`...)
		for i := range e.parts {
			if i > 0 {
				doc = append(doc, ',')
			}
			doc = e.parts[i].Append(doc)
		}
		if doc = append(doc, ']'); len(doc) > maxEnvelope {
			doc = doc[:n]
		}
	}
	doc = append(doc, '}')
	if o.Seal == nil {
		return envelopeMark + base64.RawURLEncoding.EncodeToString(doc)
	}
	return envelopeMark + o.Seal(doc)
}

// openEnvelope reads a signature; ok is false for one that is not ours.
func openEnvelope(o *Options, signature rawjson.Value) (e envelope, ok bool) {
	sealed, ok := strings.CutPrefix(signature.Text(), envelopeMark)
	if !ok {
		return e, false
	}
	var doc []byte
	if o.Open != nil {
		doc, ok = o.Open(sealed)
	} else {
		var err error
		doc, err = base64.RawURLEncoding.DecodeString(sealed)
		ok = err == nil
	}
	if !ok {
		return e, false
	}
	root, err := rawjson.Parse(doc)
	if err != nil || root.Kind() != rawjson.Object {
		return e, false
	}
	e.family = root.Get("m").Text()
	for _, v := range root.Get("c").Elems() {
		if s := v.Get("s"); gemini.ValidSignature(s) {
			e.calls = append(e.calls, signedCall{v.Get("i").Text(), s})
		}
	}
	for _, v := range root.Get("p").Elems() {
		if p, ok := gemini.DecodeNativePart(v); ok {
			e.parts = append(e.parts, p)
		}
	}
	return e, true
}

// memoKey is what a call's signature is remembered under. The family is part of
// it, because models do not take each other's signatures. Source: OS§7.3.
func memoKey(model, callID string) string { return familyOf(model) + "/" + callID }

// familyOf names the models that take each other's thought signatures.
func familyOf(model string) string { return capability.Of(model).Name }
