// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"hash/maphash"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Signatures of text and images are better sent back: text gains from them, and
// image models need them to go on with a picture. Clients that drop extra_content
// lose them, so they are remembered by what they sign; text together with what the
// user had said before it, as the same words may be said for other reasons.
// Source: specs/openai.md §7.3.

// seal is the memo's key for what signs a part of so many bytes after a turn.
func seal(model, kind string, turn uint64, content []byte) string {
	return capability.Of(model).Name + kind + strconv.FormatUint(turn^maphash.Bytes(hashSeed, content), 36)
}

func textSeal(model string, turn uint64, text []byte) string {
	return seal(model, "/text/", turn, bytes.TrimSpace(text))
}

func imageSeal(model string, data []byte) string { return seal(model, "/image/", 0, data) }

// sealed reports whether signatures of text and images are worth looking for.
func (d *decoder) sealed() bool { return d.env.Memo != nil && d.family.Has(capability.Signed) }

// turnHash tells what the user said last, 0 where that were results of tools.
func (d *decoder) turnHash() (sum uint64) {
	t := d.last()
	if t == nil || t.model || !d.sealed() {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(hashSeed)
	for i := range t.parts {
		_, _ = h.Write(t.parts[i].Text)
	}
	return h.Sum64()
}

// recallText looks for the signature of a message's text.
func (d *decoder) recallText(parts []gemini.Part) rawjson.Value {
	if !d.sealed() || len(parts) == 0 {
		return nil
	}
	var text []byte
	for i := range parts {
		if parts[i].ThoughtSignature != nil {
			return nil
		}
		if len(parts) == 1 {
			text = textBytes(parts[i].Text)
		} else {
			text = append(text, textBytes(parts[i].Text)...)
		}
	}
	if len(text) == 0 {
		return nil
	}
	return d.recalled(textSeal(d.req.Target, d.turnHash(), text))
}

// recallImages looks for the signatures of a message's images.
func (d *decoder) recallImages(parts []gemini.Part) {
	if !d.sealed() || !d.family.Has(capability.Draws) {
		return
	}
	for i := range parts {
		if p := &parts[i]; p.InlineData != nil && p.ThoughtSignature == nil {
			p.ThoughtSignature = d.recalled(imageSeal(d.req.Target, p.InlineData.Data))
		}
	}
}

func (d *decoder) recalled(key string) rawjson.Value {
	if s, ok := d.env.Memo.Signature(key); ok && s != "" {
		return rawjson.Quote(s)
	}
	return nil
}

// rememberText keeps the signature of a choice's text.
func (x *Chat) rememberText(c *choice) {
	if x.env.Memo == nil || len(c.textSigned) == 0 || len(c.content) == 0 {
		return
	}
	text := rawjson.AppendText(nil, quoted(c.content))
	if c.tagged {
		_, text, _ = bytes.Cut(text, []byte(thoughtEnd))
	}
	x.env.Memo.Remember(textSeal(x.req.Target, x.req.turn, text), quoted(c.textSigned).Text())
}

// rememberImage keeps the signature of an image.
func (x *Chat) rememberImage(p *gemini.Part) {
	if x.env.Memo != nil && len(p.ThoughtSignature.Inner()) > 0 {
		x.env.Memo.Remember(imageSeal(x.req.Target, p.InlineData.Data), p.ThoughtSignature.Text())
	}
}
