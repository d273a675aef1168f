// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// nativeUpload answers what is below /upload:
//
//	start   → Google's upload URL, sealed into one of ours
//	chunk   → passed to that URL; the last one's answer names what was made
//	no start, no upload id: the whole in one request
//
// Source: specs/native-anthropic.md A.6.
func (x *exchange) nativeUpload() *translate.Failure {
	switch {
	case x.g.Resources == nil:
		return &translate.Failure{Kind: translate.UnknownURL, Message: "This gateway does not keep files."}
	case x.session != nil:
		return x.passChunk()
	}
	u := &nativeUpload{x: x, path: x.uploadPath(x.rt.version)}
	if f := u.place(); f != nil {
		return f
	}
	if startsUpload(x.r) {
		return u.open()
	}
	return u.whole()
}

// nativeUpload is one that has no session yet.
type nativeUpload struct {
	x      *exchange
	path   string            // at Google
	body   []byte            // of the request, or its beginning
	answer uploadAnswer      // Google's last
	bound  *balancer.Binding // of what the file goes into; nil for a file of its own
	wander bool              // another project may have the name free that this one has not
	id     string            // of the session, sealed
}

// startsUpload tells the first request of a resumable upload from one that has it
// all. Google knows two protocols of that kind.
func startsUpload(r *http.Request) bool {
	return strings.EqualFold(strings.TrimSpace(r.Header.Get("X-Goog-Upload-Command")), "start") ||
		r.URL.Query().Get("uploadType") == "resumable"
}

// uploadPath is the path that the request has at Google.
func (x *exchange) uploadPath(version string) string {
	path := "/upload/" + version + strings.TrimPrefix(x.rt.name, "upload")
	if x.rt.verb != "" {
		path += ":" + x.rt.verb
	}
	return (&url.URL{Path: path}).EscapedPath()
}

// uploadQuery are the parameters that mean something to Google and hold no
// credential; the upload id is none of Google's.
func uploadQuery(r *http.Request) string {
	query := r.URL.Query()
	for k := range query {
		switch k {
		case "alt", "$alt", "prettyPrint", "uploadType", "upload_protocol":
		default:
			query.Del(k)
		}
	}
	return query.Encode()
}

// uploadHeaders are those of the client that Google gets. No others: what follows
// X-Goog-Upload-Header- is for Google a header of the file's own request, be it
// Authorization.
func (x *exchange) uploadHeaders() http.Header {
	h := x.forwarded()
	for _, name := range uploadNames {
		if v := x.r.Header[name]; len(v) > 0 {
			h[name] = v[:1]
		}
	}
	return h
}

// uploadNames are the headers of both protocols that say how a file comes and what
// it is.
var uploadNames = []string{
	"X-Goog-Upload-Protocol", "X-Goog-Upload-Command", "X-Goog-Upload-Offset", "X-Goog-Upload-File-Name",
	"X-Goog-Upload-Header-Content-Type", "X-Goog-Upload-Header-Content-Length",
	"X-Goog-Upload-Content-Type", "X-Goog-Upload-Content-Length",
	"X-Upload-Content-Type", "X-Upload-Content-Length", "Content-Range",
}

// place finds the project that the upload must go to, if there is one, and refuses
// one file too many.
func (u *nativeUpload) place() *translate.Failure {
	x := u.x
	parts := strings.SplitN(x.rt.name, "/", 4) // upload/environments/E/…
	if len(parts) > 2 {
		parent, err := x.g.Resources.get(x.record.UserID, parts[1]+"/"+parts[2])
		switch {
		case errors.Is(err, errNoResource):
			return noSuchResource(parts[1] + "/" + parts[2])
		case err != nil:
			return storeFailed("The upload was not started")
		}
		u.bound = &parent.Bound
		return nil
	}
	existing, err := x.g.Resources.list(x.record.UserID, "files/")
	if err != nil {
		return storeFailed("The file was not uploaded")
	}
	if len(existing) >= maxResources {
		return translate.Invalid("", "This user key has %d files already. Delete some, or wait until they expire.", maxResources)
	}
	return nil
}

// noSuchResource is what a client is told of what does not exist for it.
func noSuchResource(name string) *translate.Failure {
	return &translate.Failure{Kind: translate.NotFound, Message: "The requested object " + clipText(name, 100) + " does not exist."}
}

// try makes attempts in the project that it must be, or in the user's home.
func (u *nativeUpload) try(attempt func(*balancer.Lease) result, elsewhere func(*translate.Failure) bool) *translate.Failure {
	x := u.x
	if u.bound == nil {
		return x.make(attempt, elsewhere)
	}
	x.refs.bound = u.bound
	want, retry := x.want()
	want.Unmetered = true
	return x.try(want, retry, attempt)
}

// open starts a resumable upload.
func (u *nativeUpload) open() (f *translate.Failure) {
	x := u.x
	if u.body, f = x.readBody(); f != nil {
		return f
	}
	if u.body == nil {
		u.body = []byte{}
	}
	f = u.try(u.start, mendable)
	if u.bound == nil && u.answer.status == http.StatusConflict && u.free() {
		// Names are a project's, and this one is another user's there.
		want, retry := x.want()
		want.Unmetered, u.wander = true, true
		f = x.try(want, retry, u.start)
	}
	if f != nil {
		return f
	}
	base := x.g.PublicURL(x.r) + x.uploadPath(x.rt.version) + "?upload_id=" + u.id + "&upload_protocol=resumable"
	h := x.out.w.Header()
	for _, name := range uploadURLs {
		if u.answer.header.Get(name) != "" {
			h.Set(name, base)
		}
	}
	return x.uploadAnswer(u.answer, u.answer.body)
}

// mendable reports whether another project may do better.
func mendable(f *translate.Failure) bool {
	switch f.Kind {
	case translate.InvalidRequest, translate.TooLarge, translate.Canceled, translate.Internal:
		return false
	}
	return true
}

// uploadURLs are the headers that name an upload's URL; the last is of the older
// protocol.
var uploadURLs = []string{"X-Goog-Upload-Url", "X-Goog-Upload-Control-Url", "Location"}

// free reports whether the user has no file of the name that was asked for.
func (u *nativeUpload) free() bool {
	doc, err := rawjson.Parse(u.body)
	if err != nil {
		return false
	}
	name := doc.Get("file").Get("name").Text()
	_, err = u.x.g.Resources.get(u.x.record.UserID, "files/"+strings.TrimPrefix(name, "files/"))
	return name != "" && errors.Is(err, errNoResource)
}

// start is an attempt to open the upload at Google.
func (u *nativeUpload) start(lease *balancer.Lease) (res result) {
	x, started := u.x, time.Now()
	x.record.Attempts++
	x.leased(lease)
	defer func() { x.observe(lease, res.outcome, started) }()
	ctx, cancel := context.WithTimeoutCause(x.ctx, x.site().timeouts.FirstOutput, errFirstOutput)
	defer cancel()
	request := upstream.Request{
		Method: x.r.Method, Path: u.path, Query: uploadQuery(x.r), Header: x.uploadHeaders(), Body: u.body, Type: x.r.Header.Get("Content-Type"),
	}
	a, err := x.uploadRequest(ctx, lease, &request)
	if err == nil && a.status == http.StatusNotFound && x.rt.version != "v1beta" {
		// Not every version has uploads, but SDKs use theirs for all methods.
		request.Path = x.uploadPath("v1beta")
		a, err = x.uploadRequest(ctx, lease, &request)
	}
	u.answer = a
	switch {
	case err != nil:
		return x.broken(ctx, err, false)
	case a.status != http.StatusOK && a.status != http.StatusCreated:
		res = x.refused(a.status, a.header, a.body, lease.Secret())
		if u.wander && a.status == http.StatusConflict {
			res.outcome.Retry = balancer.RetryOther
		}
		return res
	}
	for _, name := range uploadURLs {
		address := a.header.Get(name)
		if address == "" {
			continue
		}
		if x.uploadTarget(address) == nil {
			break
		}
		u.id = x.g.Resources.sealUpload(uploadSession{
			User: x.record.UserID, Bound: lease.Binding(), URL: address, Expires: x.accepted.Add(uploadLife).Unix(),
		})
		return result{outcome: balancer.Outcome{Verdict: balancer.OK, Status: a.status}}
	}
	return unreadable("Gemini did not say where to upload the file.")
}

// uploadAnswer passes on what Google says to a request of an upload.
func (x *exchange) uploadAnswer(a uploadAnswer, body []byte) *translate.Failure {
	x.uploadStatus(a.header)
	err := x.out.answer(translate.Answer{Status: a.status, ContentType: a.header.Get("Content-Type"), Body: body})
	if err != nil {
		return x.gone().failure
	}
	return nil
}

// uploadStatus passes on the headers that SDKs go by, of errors, too: without the
// first they send a chunk again, three times.
func (x *exchange) uploadStatus(google http.Header) {
	h := x.out.w.Header()
	for _, name := range []string{"X-Goog-Upload-Status", "X-Goog-Upload-Size-Received", "X-Goog-Upload-Chunk-Granularity", "Range"} {
		if v := google.Get(name); v != "" {
			h.Set(name, v)
		}
	}
}

// finished reads an answer that may name what an upload made, and keeps the record
// of it before the client hears of it.
func (x *exchange) finished(lease *balancer.Lease, a uploadAnswer) (body []byte, res result) {
	ok := result{outcome: balancer.Outcome{Verdict: balancer.OK, Status: a.status}}
	if len(a.body) >= maxUploadAnswer {
		return nil, unreadable("Gemini's answer about the upload is too large.")
	}
	if len(bytes.TrimSpace(a.body)) == 0 {
		return a.body, ok
	}
	made, known := x.uploaded(lease, a.body)
	if !known {
		return nil, unreadable("Gemini's answer about the uploaded file cannot be read.")
	}
	if made.Name == "" {
		return a.body, ok
	}
	if err := x.g.Resources.put(x.record.UserID, made, true); err != nil {
		if made.File != nil {
			x.discard(lease, made.Name)
		}
		ok.failure = storeFailed("The file was not kept")
		return nil, ok
	}
	return x.publicBody(a.body), ok
}
