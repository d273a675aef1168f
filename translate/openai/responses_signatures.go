// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/base64"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// A thought signature travels to the client and back in the encrypted_content of
// a reasoning item, as "gs1." + base64url of {"t":kind,"c":call id,"s":signature}.
// Parts that there are no items for travel whole, as {"t":"part","p":part}.
// Source: specs/openai.md §20.4.

const envelopeMark = "gs1."

// signedPart says which part a signature belongs to.
type signedPart string

// The kinds of signed parts. Streams tell a text's signature only after the text,
// so that an item can refer to what stands before it, too.
const (
	signedCall    signedPart = "fc"      // the function call with the id
	signedText    signedPart = "text"    // the message that follows
	signedLast    signedPart = "last"    // the message before
	signedTail    signedPart = "tail"    // an empty text of its own at this place
	signedThought signedPart = "thought" // the thought that the item itself summarizes
	signedImage   signedPart = "image"   // the image that follows
	nativeWhole   signedPart = "part"    // a native part, which stands at this place; it is carried itself
)

// maxEnvelope is the longest encrypted_content that is looked at.
const maxEnvelope = 2 * maxNative

// appendEnvelope appends an encrypted_content. signature is encoded JSON text
// without quotes, as it came from Google, or the JSON of a native part.
func appendEnvelope(dst []byte, kind signedPart, callID string, signature []byte) []byte {
	doc := append([]byte(`{"t":"`), kind...)
	if kind == nativeWhole {
		doc = append(append(append(doc, `","p":`...), signature...), '}')
		return base64.RawURLEncoding.AppendEncode(append(dst, envelopeMark...), doc)
	}
	doc = append(doc, '"')
	if callID != "" {
		doc = append(doc, `,"c":`...)
		doc = rawjson.AppendQuoted(doc, callID)
	}
	doc = append(append(append(doc, `,"s":"`...), signature...), `"}`...)
	return base64.RawURLEncoding.AppendEncode(append(dst, envelopeMark...), doc)
}

// openEnvelope reads an encrypted_content. It reports false for what is none of
// ours, such as the blobs of OpenAI's own models, and for what cannot be a
// signature. A native part comes as the signature.
func openEnvelope(v rawjson.Value) (kind signedPart, callID string, signature rawjson.Value, ok bool) {
	text, ok := bytes.CutPrefix(textBytes(v), []byte(envelopeMark))
	if !ok || len(text) > maxEnvelope {
		return "", "", nil, false
	}
	doc, err := base64.RawURLEncoding.AppendDecode(nil, bytes.TrimRight(text, "="))
	if err != nil {
		return "", "", nil, false
	}
	e, err := rawjson.Parse(doc)
	if err != nil {
		return "", "", nil, false
	}
	kind, callID, signature = signedPart(e.Get("t").Text()), e.Get("c").Text(), e.Get("s")
	switch kind {
	case signedCall:
		ok = callID != ""
	case signedText, signedLast, signedTail, signedThought, signedImage:
	case nativeWhole:
		part := e.Get("p")
		_, ok := gemini.DecodeNativePart(part)
		return kind, "", part, ok
	default:
		ok = false
	}
	return kind, callID, signature, ok && gemini.ValidSignature(signature)
}
