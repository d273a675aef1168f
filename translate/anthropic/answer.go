// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Response implements [translate.Exchange]. Source: specs/native-anthropic.md C.6.
func (x *Messages) Response(dst, body []byte) ([]byte, error) {
	out := dst
	err := eachDocument(body, func(doc []byte) error {
		if err := x.decode(doc); err != nil {
			return err
		}
		out = x.take(out)
		return nil
	})
	if err == nil {
		if x.finishReason == nil && x.seen { // in one piece, no end is missing
			x.finishReason = []byte(`""`)
		}
		err = x.complete()
	}
	if err != nil {
		return dst, err
	}
	out = x.closeAll(x.begin(out))
	out = append(out, ']', ',')
	out = x.appendStop(out, true)
	out = append(out, `,"container":null,"usage":`...)
	out = appendUsage(out, x.answer.Usage, x.served)
	return append(out, '}'), nil
}

// decode reads a document and reports what is no answer.
func (x *Messages) decode(doc []byte) error {
	if err := x.answer.Decode(doc); err != nil {
		return translate.Unreadable(err, len(doc))
	}
	if e := x.answer.Error; !e.IsNull() {
		return translate.ErrorInAnswer(e)
	}
	if id := x.answer.ResponseID.Inner(); len(x.id) == 0 && len(id) <= 128 {
		x.id = append(x.id, id...) // the document is gone when the next frame comes
	}
	if reason := x.answer.BlockReason; reason != nil && x.blocked == nil {
		x.blocked = append(append(x.blocked, '"'), reason.Inner()...)
		x.blocked = append(x.blocked, '"')
		x.why = append(x.why[:0], x.answer.BlockMessage.Inner()...)
	}
	return nil
}

// take takes over what the decoded document has of the answer. There is one
// candidate: nobody asks for more.
func (x *Messages) take(dst []byte) []byte {
	for i := range x.answer.Candidates {
		c := &x.answer.Candidates[i]
		if c.Index != 0 || x.ended {
			continue
		}
		x.ground(c)
		x.upcoming(c.Parts)
		for j := range c.Parts {
			x.seen = true
			x.now.at = j
			x.startPart(&c.Parts[j], j > 0 || !x.plan.stream)
			dst = x.part(dst, &c.Parts[j])
			if x.ended {
				return dst
			}
		}
		x.upcoming(nil)
		if !c.FinishReason.IsNull() {
			x.finishReason = append(x.finishReason[:0], c.FinishReason...)
			x.why = append(x.why[:0], c.FinishMessage.Inner()...)
		}
		break
	}
	return dst
}

// part takes over one part. Source: specs/native-anthropic.md C.6 and C.13.
func (x *Messages) part(dst []byte, p *gemini.Part) []byte {
	switch {
	case p.FunctionCall != nil:
		return x.toolUse(dst, p)
	case p.Thought:
		// Drafts of image models are thoughts with media: not for the client.
		return x.thought(dst, p.Text.Inner())
	case p.InlineData != nil:
		return x.aside(dst, mediaNote(p.InlineData))
	case p.FileData != nil:
		uri := p.FileData.URI.Inner()
		return x.aside(dst, concat("[", uri, "](", uri, ")"))
	case p.ExecutableCode != nil || p.CodeResult != nil || p.ServerToolKey != "":
		return x.native(dst, p)
	default:
		return x.text(dst, p.Text)
	}
}

// mediaNote says in words what no block of an answer can hold, encoded.
func mediaNote(b *gemini.Blob) []byte {
	kind := b.MIMEType
	if kind == "" {
		kind = "media"
	}
	note := rawjson.AppendEscaped(nil, "[Gemini answered with "+kind+", which the Messages API has no block for.]")
	return note
}

// concat joins pieces of encoded text.
func concat(a string, b []byte, c string, d []byte, e string) []byte {
	out := append(append([]byte(a), b...), c...)
	return append(append(out, d...), e...)
}
