// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// The answer's way: {"embeddings":[{"values":[…]}]} of each call → one list, in
// the order of the inputs.

// Response implements [translate.Exchange].
func (x *Embeddings) Response(dst, body []byte) ([]byte, error) {
	return x.Join(dst, [][]byte{body})
}

// Check implements [translate.Batch].
func (x *Embeddings) Check(i int, body []byte) error {
	if i >= len(x.counts) {
		_, err := countedTokens(body)
		return err
	}
	_, _, err := x.vectors(i, body)
	return err
}

// countedTokens reads the answer of countTokens.
func countedTokens(body []byte) (int64, error) {
	doc, err := rawjson.Parse(body)
	if err != nil {
		return 0, translate.Unreadable(err, len(body))
	}
	if e := doc.Get("error"); !e.IsNull() {
		return 0, translate.ErrorInAnswer(e)
	}
	n, ok := doc.Get("totalTokens").Int()
	if !ok || n < 0 || n > math.MaxInt32 {
		return 0, translate.NoContent()
	}
	return n, nil
}

// vectors returns the elements of an answer's list, which must be as many as the
// call's inputs.
func (x *Embeddings) vectors(i int, body []byte) (list rawjson.Value, u gemini.Usage, err error) {
	doc, err := rawjson.Parse(body)
	if err != nil {
		return nil, u, translate.Unreadable(err, len(body))
	}
	c := doc.Cursor()
	for open := c.Open('{'); open; {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch v := c.Value(); string(key) {
		case "embeddings":
			list = v
		case "usageMetadata":
			u.Prompt, u.Reported = v.Get("promptTokenCount").Int()
		case "error":
			if !v.IsNull() {
				return nil, u, translate.ErrorInAnswer(v)
			}
		}
	}
	n := list.Len()
	if list.Kind() != rawjson.Array || n == 0 {
		return nil, u, translate.NoContent()
	}
	if n != x.counts[i] {
		return nil, u, unusableMedia("Gemini answered with " + strconv.Itoa(n) + " embeddings for " + strconv.Itoa(x.counts[i]) + " inputs.")
	}
	if !u.Reported || u.Prompt < 0 || u.Prompt > math.MaxInt32 {
		u = gemini.Usage{Prompt: x.estimate[i]}
	}
	u.Total = u.Prompt
	return list, u, nil
}

// Join implements [translate.Batch].
func (x *Embeddings) Join(dst []byte, answers [][]byte) ([]byte, error) {
	size := 256
	counts := answers[min(len(answers), len(x.counts)):]
	answers = answers[:len(answers)-len(counts)]
	for _, body := range answers {
		size += len(body)
	}
	if dst == nil {
		dst = make([]byte, 0, size)
	}
	out := append(dst, `{"object":"list","model":`...)
	out = append(rawjson.AppendQuoted(out, x.model), `,"data":[`...)
	e := vectorEncoder{base64: x.base64}
	n := 0
	for i, body := range answers {
		list, u, err := x.vectors(i, body)
		if err != nil {
			return dst, err
		}
		if x.usage = x.usage.Plus(u); i == 0 {
			x.usage = u
		}
		for _, v := range list.Elems() {
			if n > 0 {
				out = append(out, ',')
			}
			out = appendInt(append(out, `{"object":"embedding","index":`...), int64(n))
			n++
			var ok bool
			if out, ok = e.append(append(out, `,"embedding":`...), v.Get("values")); !ok {
				return dst, unusableMedia("Gemini answered with an embedding that is not a list of numbers.")
			}
			out = append(out, '}')
		}
	}
	for i, body := range counts {
		n, err := countedTokens(body)
		if err != nil {
			return dst, err
		}
		if i == 0 {
			x.usage = gemini.Usage{Reported: true}
		}
		x.usage.Prompt += n
		x.usage.Total = x.usage.Prompt
	}
	out = appendInt(append(out, `],"usage":{"prompt_tokens":`...), x.usage.Prompt)
	out = appendInt(append(out, `,"total_tokens":`...), x.usage.Prompt)
	return append(out, '}', '}'), nil
}

// vectorEncoder writes vectors; its memory is used again for each.
type vectorEncoder struct {
	base64 bool
	values []float64
	bytes  []byte
}

// unitTolerance is how far a length may be from one. Google's whole vectors have
// length one; those it cuts to fewer dimensions do not, which OpenAI promises.
const unitTolerance = 1e-3

// append appends one vector, of length one.
func (e *vectorEncoder) append(dst []byte, list rawjson.Value) (_ []byte, ok bool) {
	if list.Kind() != rawjson.Array {
		return dst, false
	}
	e.values = e.values[:0]
	square := 0.0
	c := list.Cursor()
	for open := c.Open('['); open && c.Elem(); {
		f, ok := c.Value().Float()
		if !ok {
			return dst, false
		}
		e.values = append(e.values, f)
		square += f * f
	}
	length := math.Sqrt(square)
	if len(e.values) == 0 || math.IsInf(length, 0) {
		return dst, false
	}
	scale := 1.0
	if math.Abs(length-1) > unitTolerance && length > 0 {
		scale = 1 / length
	}
	if e.base64 {
		return e.appendBase64(dst, scale), true
	}
	if scale == 1 {
		return rawjson.Compact(dst, list), true
	}
	dst = append(dst, '[')
	for i, f := range e.values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, f*scale, 'g', -1, 32)
	}
	return append(dst, ']'), true
}

// appendBase64 is the form that OpenAI's SDKs ask for by themselves.
func (e *vectorEncoder) appendBase64(dst []byte, scale float64) []byte {
	e.bytes = e.bytes[:0]
	for _, f := range e.values {
		e.bytes = binary.LittleEndian.AppendUint32(e.bytes, math.Float32bits(float32(f*scale)))
	}
	dst = append(dst, '"')
	return append(base64.StdEncoding.AppendEncode(dst, e.bytes), '"')
}
