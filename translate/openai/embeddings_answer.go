// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"runtime"
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
	_, _, err := x.vectors(nil, &vectorEncoder{base64: x.base64}, i, body, 0)
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

// vectors appends the elements of an answer's list, which must be as many as the
// call's inputs; first is the index of the first one.
func (x *Embeddings) vectors(dst []byte, e *vectorEncoder, i int, body []byte, first int) (_ []byte, u gemini.Usage, err error) {
	doc, err := rawjson.Parse(body)
	if err != nil {
		return dst, u, translate.Unreadable(err, len(body))
	}
	n, sound := 0, true
	c := doc.Cursor()
	for open := c.Open('{'); open; {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "embeddings":
			for open := c.Open('['); open && c.Elem(); {
				if n > 0 {
					runtime.Gosched() // a vector takes 60 µs: a thousand are not to keep a short request waiting
				}
				dst, ok = e.element(dst, &c, first+n)
				sound = sound && ok
				n++
			}
		case "usageMetadata":
			u.Prompt, u.Reported = c.Value().Get("promptTokenCount").Int()
		case "error":
			if v := c.Value(); !v.IsNull() {
				return dst, u, translate.ErrorInAnswer(v)
			}
		default:
			c.Value()
		}
	}
	switch {
	case n == 0:
		return dst, u, translate.NoContent()
	case n != x.counts[i]:
		return dst, u, unusableMedia("Gemini answered with " + strconv.Itoa(n) + " embeddings for " + strconv.Itoa(x.counts[i]) + " inputs.")
	case !sound:
		return dst, u, unusableMedia("Gemini answered with an embedding that is not a list of numbers.")
	}
	if !u.Reported || u.Prompt < 0 || u.Prompt > math.MaxInt32 {
		u = gemini.Usage{Prompt: x.estimate[i]}
	}
	u.Total = u.Prompt
	return dst, u, nil
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
		var u gemini.Usage
		var err error
		if out, u, err = x.vectors(out, &e, i, body, n); err != nil {
			return dst, err
		}
		n += x.counts[i]
		if x.usage = x.usage.Plus(u); i == 0 {
			x.usage = u
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

// element appends what the client gets for the element of Google's list that c stands
// before; ok is false where that has no vector.
func (e *vectorEncoder) element(dst []byte, c *rawjson.Cursor, index int) (_ []byte, ok bool) {
	if index > 0 {
		dst = append(dst, ',')
	}
	dst = appendInt(append(dst, `{"object":"embedding","index":`...), int64(index))
	dst = append(dst, `,"embedding":`...)
	for open := c.Open('{'); open; {
		key, more := c.Key()
		if !more {
			break
		}
		if string(key) == "values" && !ok {
			dst, ok = e.append(dst, c)
		} else {
			c.Value()
		}
	}
	return append(dst, '}'), ok
}

// unitTolerance is how far a length may be from one. Google's whole vectors have
// length one; those it cuts to fewer dimensions do not, which OpenAI promises.
const unitTolerance = 1e-3

// append appends the vector that c stands before, of length one.
func (e *vectorEncoder) append(dst []byte, c *rawjson.Cursor) (_ []byte, ok bool) {
	e.values, ok = e.values[:0], c.Kind() == rawjson.Array
	from, square := len(dst), 0.0
	for open := c.Open('['); open && c.Elem(); {
		v := c.Value()
		f, number := v.Float()
		ok = ok && number
		if e.values, square = append(e.values, f), square+f*f; !e.base64 {
			dst = append(append(dst, ','), v...) // as Google wrote it, where that is of length one
		}
	}
	length := math.Sqrt(square)
	if !ok || len(e.values) == 0 || math.IsInf(length, 0) {
		return dst, false
	}
	scale := 1.0
	if math.Abs(length-1) > unitTolerance && length > 0 {
		scale = 1 / length
	}
	switch {
	case e.base64:
		return e.appendBase64(dst, scale), true
	case scale != 1:
		dst = dst[:from]
		for _, f := range e.values {
			dst = strconv.AppendFloat(append(dst, ','), f*scale, 'g', -1, 32)
		}
	}
	dst[from] = '['
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
