// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// nativeDownload answers files/ID:download and what is like it, with what only the
// project that has it can load. Redirects are followed here: they need a Gemini key
// at times. Source: specs/native-anthropic.md A.7.
func (x *exchange) nativeDownload() *translate.Failure {
	res, f := x.downloadable()
	if f != nil {
		return f
	}
	if f := x.refer(res); f != nil {
		return f
	}
	if res.Charged != nil {
		x.lines = &batchLines{res: res, prices: x.site().prices}
	}
	want, retry := x.want()
	want.Unmetered = true
	f = x.try(want, retry, x.download)
	if f != nil && x.out.started() {
		// Bytes of any kind have gone out; a broken connection is the only thing that
		// cannot be taken for more of them.
		x.noteFailure(f)
		x.record.Partial = true
		panic(http.ErrAbortHandler)
	}
	return f
}

// downloadable finds the record of what the path names, or of what has it.
func (x *exchange) downloadable() (res resource, f *translate.Failure) {
	parts := strings.SplitN(strings.TrimPrefix(x.rt.name, "download/"), "/", 3)
	if x.g.Resources == nil || len(parts) < 2 {
		return res, noSuchResource(x.rt.name)
	}
	name := parts[0] + "/" + parts[1]
	res, err := x.g.Resources.get(x.record.UserID, name)
	switch {
	case errors.Is(err, errNoResource):
		return res, noSuchResource(name)
	case err != nil:
		return res, storeFailed("The download was not started")
	}
	return res, nil
}

// downloadRequest is what an attempt sends.
func (x *exchange) downloadRequest(lease *balancer.Lease) *upstream.Request {
	path := "/" + x.rt.version + "/" + x.rt.name
	if rest, ok := strings.CutPrefix(x.rt.name, "download/"); ok {
		path = "/download/" + x.rt.version + "/" + rest
	}
	if x.rt.verb != "" {
		path += ":" + x.rt.verb
	}
	query := url.Values{}
	for k, v := range x.r.URL.Query() {
		if k == "alt" || k == "$alt" || k == "prettyPrint" {
			query[k] = v
		}
	}
	header := x.forwarded()
	for _, name := range []string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if v := x.r.Header.Get(name); v != "" {
			header.Set(name, v)
		}
	}
	return &upstream.Request{
		Method: http.MethodGet, Path: (&url.URL{Path: path}).EscapedPath(), Query: query.Encode(), Header: header,
		Secret: lease.Secret(), Proxy: lease.Proxy(),
	}
}

// download is an attempt, which passes the bytes on as they come.
func (x *exchange) download(lease *balancer.Lease) (res result) {
	started := time.Now()
	x.record.Attempts++
	x.leased(lease)
	defer func() { x.observe(lease, res.outcome, started) }()
	dog := newWatchdog(x.ctx, x.site().timeouts.FirstOutput, started)
	defer dog.end(context.Canceled)
	answer, err := x.g.Upstream.Download(dog, x.downloadRequest(lease))
	if errors.Is(err, upstream.ErrRedirect) {
		return unreadable("Gemini sent the download to an address that this gateway does not follow.")
	}
	if err != nil {
		return x.broken(dog, err, false)
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK, http.StatusPartialContent, http.StatusNotModified:
		lease.Accepted()
		return x.passDownload(answer, dog)
	}
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxErrorBody))
	return x.refusedDownload(answer, body, lease.Secret())
}

// downloadHeaders are those of Google's that clients get.
var downloadHeaders = []string{
	"Content-Type", "Content-Length", "Content-Range", "Content-Disposition", "Content-Encoding", "Accept-Ranges", "Etag", "Last-Modified",
}

// passDownload passes an answer on.
func (x *exchange) passDownload(answer *http.Response, dog *watchdog) result {
	h := x.out.w.Header()
	for _, name := range downloadHeaders {
		if v := answer.Header.Get(name); v != "" {
			h.Set(name, v)
		}
	}
	ok := result{outcome: balancer.Outcome{Verdict: balancer.OK, Status: http.StatusOK}}
	x.record.FirstOutput = time.Since(x.accepted)
	x.out.begin(answer.StatusCode)
	if x.r.Method == http.MethodHead || answer.StatusCode == http.StatusNotModified {
		return ok
	}
	buf := downloadBuffers.Get().(*[downloadBuffer]byte)
	defer downloadBuffers.Put(buf)
	for {
		n, err := answer.Body.Read(buf[:])
		dog.feed(x.site().timeouts.Idle, time.Now())
		if n > 0 && x.out.raw(buf[:n]) != nil {
			return x.gone()
		}
		if x.lines != nil {
			x.lines.write(buf[:n])
		}
		dog.feed(x.site().timeouts.Idle, time.Now())
		if err == io.EOF {
			if x.lines != nil && answer.StatusCode == http.StatusOK {
				x.collectLines()
			}
			return ok
		}
		if err != nil {
			return x.broken(dog, err, true)
		}
	}
}

const downloadBuffer = 64 << 10

var downloadBuffers = sync.Pool{New: func() any { return new([downloadBuffer]byte) }}

// begin sends the header of an answer whose bytes follow by raw; no other key can
// take over from here on.
func (c *clientWriter) begin(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.useful = true
	c.set("X-Content-Type-Options", "nosniff")
	c.header(status)
}

// raw writes bytes of an answer that has begun. net/http sends them on when it has
// a buffer full, which is at once for a download's.
func (c *clientWriter) raw(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.arm(time.Now())
		_, c.err = c.w.Write(p) //nolint:gosec // a download, never HTML of ours; nosniff is set
	}
	return c.err
}

// conditions are the answers to conditional requests, which tell of no key, and
// their names.
var conditions = map[int]string{
	http.StatusPreconditionFailed:           "FAILED_PRECONDITION",
	http.StatusRequestedRangeNotSatisfiable: "OUT_OF_RANGE",
}

// refusedDownload is the end of an attempt that was answered with an error. What a
// host of bytes says, where a download was redirected to, says nothing of the key.
func (x *exchange) refusedDownload(answer *http.Response, body []byte, secret string) result {
	status := answer.StatusCode
	bad := balancer.Outcome{Verdict: balancer.BadRequest, Status: status, Reason: answer.Status}
	if name := conditions[status]; name != "" {
		if v := answer.Header.Get("Content-Range"); v != "" {
			x.out.w.Header().Set("Content-Range", v)
		}
		f := &translate.Failure{Kind: translate.InvalidRequest, Status: status, Message: http.StatusText(status) + "."}
		f.Details = []byte(`{"code":` + answer.Status[:3] + `,"message":"` + f.Message + `","status":"` + name + `"}`)
		return result{bad, f}
	}
	if answer.Request.URL.Host == x.g.Upstream.Host() {
		return x.refused(status, answer.Header, body, secret)
	}
	switch {
	case status == http.StatusNotFound || status == http.StatusGone:
		return result{bad, noSuchResource(x.rt.name)}
	case status >= 500 || status == http.StatusTooManyRequests:
		return result{
			balancer.Outcome{Verdict: balancer.Overloaded, Status: status, Reason: answer.Status, Retry: balancer.RetryBackoff},
			&translate.Failure{Kind: translate.Overloaded, Message: "Google's storage does not give the file out at the moment."},
		}
	}
	return result{bad, &translate.Failure{Kind: translate.Upstream, Status: status, Message: "Google's storage refused to give the file out."}}
}
