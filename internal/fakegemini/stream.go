// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// generate answers generateContent and streamGenerateContent.
func (x *exchange) generate(q *request) {
	if kind, ok := benchKinds[x.e.Model]; ok {
		x.bench(kind)
		return
	}
	if l := x.s.cfg.Latency; l.Output > 0 && !x.pause(l.output(x.random(), x.slow)) {
		return
	}
	r := x.compose(q)
	x.payOutput(&r)
	if x.stream {
		x.streamReply(q, r)
		return
	}
	doc := x.whole(q, r)
	body := pretty(doc)
	if x.steer.Break == "" {
		x.bill(doc.UsageMetadata)
	}
	switch x.steer.Break {
	case ResetEvent:
		x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		x.header(200, jsonType)
		x.write(body[:len(body)/2])
		_ = x.rc.Flush() // the reset follows anyway
		x.reset()
	case Cut, WrongLength:
		x.w.Header().Set("Content-Length", strconv.Itoa(len(body)+100))
		x.header(200, jsonType)
		x.write(body)
		panic(http.ErrAbortHandler)
	case Silence:
		x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		x.header(200, jsonType)
		x.write(body[:len(body)/2])
		_ = x.rc.Flush() // the client learns soon enough
		x.silence()
	default:
		x.json(body)
	}
}

// whole is a reply in one document.
func (x *exchange) whole(q *request, r reply) document {
	doc := x.document()
	doc.UsageMetadata = r.usage(q, len(r.output))
	if r.block != "" {
		doc.PromptFeedback = object{"blockReason": r.block}
	} else {
		doc.Candidates = x.candidates(q, r.joined(), r)
		if r.token != "" {
			doc.Candidates[0]["continuationToken"] = r.token
		}
	}
	return doc
}

func (x *exchange) document() document {
	return document{ModelVersion: x.model.base(), ResponseID: x.id(-1)}
}

func (x *exchange) candidates(q *request, parts []object, r reply) (out []object) {
	n, ok := get(q.config, "candidateCount").Int()
	if !ok {
		n = 1
	}
	for i := range n {
		out = append(out, candidate(parts, r.finish, r.message, i))
	}
	return out
}

func candidate(parts []object, finish, message string, index int64) object {
	c := object{"index": index, "content": object{"role": "model"}}
	if len(parts) > 0 {
		c["content"] = object{"parts": parts, "role": "model"}
	} else if silent[finish] {
		delete(c, "content")
	}
	if finish != "" {
		c["finishReason"] = finish
	}
	if finish != "" && message != "" {
		c["finishMessage"] = message
	}
	if finish == "SAFETY" {
		c["safetyRatings"] = []object{{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": true}}
	}
	return c
}

// streamReply writes a reply event by event, and breaks where the steer says.
func (x *exchange) streamReply(q *request, r reply) {
	if x.steer.Break == WrongLength {
		x.w.Header().Set("Content-Length", "1000000")
	}
	x.header(200, x.successType())
	if r.block != "" {
		doc := x.document()
		doc.UsageMetadata, doc.PromptFeedback = r.usage(q, 0), object{"blockReason": r.block}
		x.bill(doc.UsageMetadata)
		x.event(doc, 0)
		x.endArray()
		return
	}
	if len(r.events) == 0 {
		r.events, r.output = [][]object{nil}, []int64{0}
	}
	for i, parts := range r.events {
		if i > 0 && !x.pause(x.steer.Pace) {
			return
		}
		last := i == len(r.events)-1
		doc := x.document()
		doc.UsageMetadata = r.usage(q, i+1)
		finish, message := "", ""
		if last {
			finish, message = r.finish, r.message
		}
		doc.Candidates = []object{candidate(parts, finish, message, 0)}
		if token := r.tokenAt(i); token != "" {
			doc.Candidates[0]["continuationToken"] = token
		}
		if x.steer.Hold && i > 0 && i == x.steer.After && !x.hold() {
			return
		}
		if x.steer.Break != "" && (i >= x.steer.After || last) {
			x.breakStream(doc, i)
			return
		}
		x.bill(doc.UsageMetadata)
		if !x.event(doc, i) {
			return
		}
	}
	x.endArray()
}

// breakStream ends a stream badly in place of event i.
func (x *exchange) breakStream(doc document, i int) {
	x.note("stream broken: " + string(x.steer.Break))
	switch x.steer.Break {
	case ResetEvent:
		b := x.frame(doc, i)
		x.write(b[:len(b)/2])
		x.reset()
	case Silence:
		x.silence()
	case ErrorEvent:
		x.event(json.RawMessage(compact(failure(503, messages[503]).body)), i)
		x.endArray()
	case ErrorBare:
		x.write(failure(503, messages[503]).body)
	case WrongLength:
		panic(http.ErrAbortHandler)
	default: // Cut: a clean end, as if that had been all
	}
}

func compact(b []byte) []byte {
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		panic(err) // our own JSON
	}
	return out.Bytes()
}

// frame is event i in the form of the stream.
// Source: specs/native-anthropic.md A.5.
func (x *exchange) frame(v any, i int) []byte {
	if !x.sse {
		open := ",\r\n"
		if i == 0 {
			open = "["
		}
		return append([]byte(open), pretty(v)...)
	}
	var b strings.Builder
	b.WriteString("data: ")
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // only our own types come here
	}
	return []byte(strings.TrimSuffix(b.String(), "\n") + "\r\n\r\n")
}

func (x *exchange) event(v any, i int) bool { return x.write(x.frame(v, i)) }

func (x *exchange) endArray() {
	if !x.sse {
		x.write([]byte("]"))
	}
}
