// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// The answer's way: the images among the parts, drafts (thoughts) left out →
// data[] in one answer, or one event per image where the client reads a stream.

// codes of answers without an image. Source: specs/openai.md §16.
const (
	codeModeration = "moderation_blocked" // of type image_generation_user_error, see classify
	codeNoImage    = "no_image"
)

// picture is an image and what the model wrote beside it, encoded.
type picture struct {
	data    []byte // base64
	format  string // png, jpeg, webp
	mime    string
	revised []byte
}

// Check implements [translate.Batch].
func (x *Image) Check(_ int, body []byte) error {
	_, _, err := x.pictures(body)
	return err
}

// pictures finds the images of one answer.
func (x *Image) pictures(body []byte) (list []picture, answer gemini.Response, err error) {
	if err := readAnswer(&answer, body); err != nil {
		return nil, answer, err
	}
	var text []byte
	for p := range visible(&answer) {
		switch b := p.InlineData; {
		case b != nil && strings.HasPrefix(b.MIMEType, "image/") && len(b.Data) > 0:
			list = append(list, picture{data: b.Data, mime: b.MIMEType, format: strings.TrimPrefix(b.MIMEType, "image/")})
		case b == nil:
			text = append(text, p.Text.Inner()...)
		}
	}
	if len(list) == 0 {
		return nil, answer, noImage(&answer, text)
	}
	for i := range list {
		list[i].revised = text
	}
	return list, answer, nil
}

// noImage says why there is none: a filter, which is final, or the model had
// words instead, which one more attempt may change.
func noImage(answer *gemini.Response, text []byte) *translate.Failure {
	if reason, ok := refused(answer); ok {
		return filtered(codeModeration, reason)
	}
	f := &translate.Failure{Kind: translate.InvalidRequest, Code: codeNoImage, Status: 200, Retry: true}
	f.Message = strings.TrimSpace(rawjson.Value(slices.Concat([]byte{'"'}, text, []byte{'"'})).Text())
	if len(f.Message) > maxWords {
		f.Message = strings.ToValidUTF8(f.Message[:maxWords], "") + "…"
	}
	if f.Message == "" {
		f.Message = "The model drew no image for this prompt."
	}
	return f
}

// maxWords is how much of what a model says instead of drawing is told.
const maxWords = 2000

// Response implements [translate.Exchange].
func (x *Image) Response(dst, body []byte) ([]byte, error) {
	return x.Join(dst, [][]byte{body})
}

// Join implements [translate.Batch].
func (x *Image) Join(dst []byte, answers [][]byte) ([]byte, error) {
	var all []picture
	size, first := 0, true
	for _, body := range answers {
		if body == nil {
			continue
		}
		list, answer, err := x.pictures(body)
		if err != nil {
			return dst, err
		}
		if x.usage = x.usage.Plus(answer.Usage); first {
			x.usage, x.said = answer.Usage, answer.Summary
		}
		first = false
		all = append(all, list...)
	}
	if first {
		return dst, translate.NoContent()
	}
	for i := range all {
		x.convert(&all[i])
		size += len(all[i].data) + len(all[i].revised) + 512
	}
	dst = slices.Grow(dst, size)
	if x.stream {
		return x.appendEvents(dst, all)
	}
	return x.appendList(dst, all), nil
}

func (x *Image) appendList(dst []byte, all []picture) []byte {
	dst = appendInt(append(dst, `{"created":`...), x.env.Now.Unix())
	dst = append(dst, `,"data":[`...)
	for i := range all {
		p := &all[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		if x.url {
			dst = rawjson.AppendEscaped(append(dst, `{"url":"data:`...), p.mime)
			dst = append(dst, `;base64,`...)
		} else {
			dst = append(dst, `{"b64_json":"`...)
		}
		dst = append(append(dst, p.data...), '"')
		dst = appendMember(dst, `,"revised_prompt":"`, p.revised, `"`)
		dst = append(dst, '}')
	}
	dst = rawjson.AppendQuoted(append(dst, `],"output_format":`...), all[0].format)
	dst = append(dst, `,"usage":`...)
	return append(appendImageUsage(dst, x.usage), '}')
}

// appendEvents appends one event per image; the last one has the usage of all,
// the others none of it.
func (x *Image) appendEvents(dst []byte, all []picture) ([]byte, error) {
	kind := "image_generation.completed"
	if x.edit {
		kind = "image_edit.completed"
	}
	start := len(dst)
	for i := range all {
		p := &all[i]
		if len(p.data) > maxLine-(64<<10) {
			return dst[:start], unusableMedia("Gemini's answer has an image that is too large for a streamed answer; ask without stream.")
		}
		dst = append(append(append(dst, "event: "...), kind...), "\ndata: "...)
		dst = append(append(append(dst, `{"type":"`...), kind...), `","b64_json":"`...)
		dst = append(dst, p.data...)
		dst = appendInt(append(dst, `","created_at":`...), x.env.Now.Unix())
		dst = rawjson.AppendQuoted(append(dst, `,"size":`...), cmp.Or(x.size, "auto"))
		dst = rawjson.AppendQuoted(append(dst, `,"quality":`...), cmp.Or(x.level, "auto"))
		dst = rawjson.AppendQuoted(append(dst, `,"background":"opaque","output_format":`...), p.format)
		dst = append(dst, `,"usage":`...)
		if i == len(all)-1 {
			dst = appendImageUsage(dst, x.usage)
		} else {
			dst = appendImageUsage(dst, gemini.Usage{})
		}
		dst = append(dst, "}\n\n"...)
	}
	return dst, nil
}

func appendImageUsage(dst []byte, u gemini.Usage) []byte {
	dst = appendInt(append(dst, `{"input_tokens":`...), u.Input())
	dst = appendInt(append(dst, `,"input_tokens_details":{"text_tokens":`...), max(0, u.Input()-u.PromptImage))
	dst = appendInt(append(dst, `,"image_tokens":`...), u.PromptImage)
	dst = appendInt(append(dst, `},"output_tokens":`...), u.Output())
	dst = appendInt(append(dst, `,"total_tokens":`...), u.Input()+u.Output())
	return append(dst, '}')
}
