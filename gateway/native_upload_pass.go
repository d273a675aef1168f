// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// passing is a request of an upload whose body goes to Google as it comes.
type passing struct {
	x      *exchange
	path   string // at Google, escaped
	query  string
	head   []byte // of the body, which can be sent again
	rest   io.Reader
	length int64 // of the whole body; -1 = unknown
	answer uploadAnswer
	body   []byte // of the answer, as the client gets it
}

// passChunk passes a request to an upload's own URL, once. What went wrong on the
// way the client asks Google with the command "query", and goes on from there.
func (x *exchange) passChunk() *translate.Failure {
	target := x.uploadTarget(x.session.URL)
	if target == nil { // the gateway speaks to another Google now
		return &translate.Failure{Kind: translate.NotFound, Message: lostUpload}
	}
	p := &passing{x: x, path: target.EscapedPath(), query: target.RawQuery, length: x.r.ContentLength}
	if f := p.limit(); f != nil {
		return f
	}
	want, retry := x.want()
	want.Unmetered = true
	f := x.try(want, retry, p.attempt)
	if f == nil {
		return x.uploadAnswer(p.answer, p.body)
	}
	if p.answer.status == http.StatusNotFound || p.answer.status == http.StatusGone {
		f = &translate.Failure{Kind: translate.NotFound, Message: lostUpload}
	}
	x.uploadStatus(p.answer.header)
	return f
}

const lostUpload = "Gemini does not know this upload any more. Start it again."

// limit bounds the body.
func (p *passing) limit() *translate.Failure {
	x := p.x
	if f := x.unencoded(); f != nil {
		return f
	}
	if limit := x.site().maxRequestSize; x.r.ContentLength > limit {
		return tooLarge(limit)
	}
	x.r.Body = http.MaxBytesReader(x.out.w, x.r.Body, x.site().maxRequestSize)
	p.rest = x.r.Body
	if p.length == 0 {
		p.rest = nil
	}
	return nil
}

// whole uploads what comes in one request. A body up to the size of a chunk is held,
// so that another key can take over; a larger one goes the way of chunks.
func (u *nativeUpload) whole() *translate.Failure {
	x := u.x
	p := &passing{x: x, path: u.path, query: uploadQuery(x.r), length: x.r.ContentLength}
	if f := p.limit(); f != nil {
		return f
	}
	if p.rest != nil {
		if f := p.read(); f != nil {
			return f
		}
	}
	moved := false
	f := u.try(func(lease *balancer.Lease) result {
		res := p.attempt(lease)
		moved = res.failure != nil && res.outcome.Retry == balancer.RetryNever
		return res
	}, func(f *translate.Failure) bool { return !moved && mendable(f) })
	if f != nil {
		x.uploadStatus(p.answer.header)
		return f
	}
	return x.uploadAnswer(p.answer, p.body)
}

// read reads the beginning of the body, at most a chunk.
func (p *passing) read() *translate.Failure {
	x := p.x
	defer x.readWithin(0)
	size := int64(64 << 10) // a declared length saves the growing
	if p.length > 0 {
		size = min(p.length+1, uploadChunk)
	}
	p.head = make([]byte, 0, size)
	for len(p.head) < uploadChunk {
		if len(p.head) == cap(p.head) {
			grown := make([]byte, len(p.head), min(2*cap(p.head), uploadChunk))
			copy(grown, p.head)
			p.head = grown
		}
		x.readWithin(x.site().timeouts.Idle)
		n, err := p.rest.Read(p.head[len(p.head):cap(p.head)])
		p.head = p.head[:len(p.head)+n]
		if err == io.EOF {
			p.rest, p.length = nil, int64(len(p.head))
			return nil
		}
		if err != nil {
			if x.r.Context().Err() != nil {
				return x.gone().failure
			}
			return x.unreadBody(err)
		}
	}
	return nil
}

// attempt makes the request with one key.
func (p *passing) attempt(lease *balancer.Lease) (res result) {
	x, started := p.x, time.Now()
	x.record.Attempts++
	x.leased(lease)
	defer func() { x.observe(lease, res.outcome, started) }()
	// What Google has the last byte of, it makes: the record must not depend on a client
	// that does not wait for the answer.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(x.ctx))
	defer cancel(nil)
	body := x.passBody(p.rest, cancel)
	defer body.stop()
	defer context.AfterFunc(x.ctx, body.abandoned)()

	request := &upstream.Request{
		Method: x.r.Method, Path: p.path, Query: p.query, Header: x.uploadHeaders(), Type: x.r.Header.Get("Content-Type"),
	}
	if p.rest == nil {
		if request.Body = p.head; request.Body == nil {
			request.Body = []byte{} // a POST has a length
		}
	} else {
		request.Length, request.Stream = p.length, body
		if len(p.head) > 0 {
			request.Stream = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(bytes.NewReader(p.head), body), body}
		}
	}
	a, err := x.uploadRequest(ctx, lease, request)
	p.answer = a
	body.stop()
	if err != nil {
		if failed, ok := body.clientFailed(); ok {
			return failed
		}
		res = x.broken(ctx, err, false)
	} else {
		res = p.settle(lease)
	}
	if body.sent() {
		res.outcome.Retry = balancer.RetryNever
	}
	return res
}

// settle is the end of an attempt that Google answered. 308 asks for more, in the
// older protocol.
func (p *passing) settle(lease *balancer.Lease) (res result) {
	switch a := p.answer; a.status {
	case http.StatusOK, http.StatusCreated, http.StatusPermanentRedirect:
		p.body, res = p.x.finished(lease, a)
		return res
	default:
		return p.x.refused(a.status, a.header, a.body, lease.Secret())
	}
}

// uploaded is the record of what an answer says that an upload made: a file, or an
// operation that goes on with it. A document that names neither makes a record
// without a name; known is false where it is none that can be trusted.
func (x *exchange) uploaded(lease *balancer.Lease, body []byte) (made resource, known bool) {
	doc, err := rawjson.Parse(body)
	if err != nil || doc.Kind() != rawjson.Object {
		return made, false
	}
	if file, ok := gemini.DecodeFile(body); ok {
		return x.fileResource(lease, file), true
	}
	if doc.Get("file") != nil {
		return made, false
	}
	name := doc.Get("name").Text()
	if !strings.HasPrefix(name, "operations/") { // others are their store's, which has a record
		return made, true
	}
	return resource{Name: name, Bound: lease.Binding(), Created: x.accepted, Expires: x.accepted.Add(lifetimes["operations"])}, true
}
