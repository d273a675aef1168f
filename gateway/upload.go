// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// uploading is a file on its way from a client to Google, in chunks. Until the
// client was asked for a second chunk, another key can take over.
type uploading struct {
	x      *exchange
	form   *uploadForm
	lease  *balancer.Lease
	target *url.URL // of the upload; its query is a credential
	offset int64    // of form.chunk in the file
	moved  bool     // there is no way back to the file's beginning
	made   gemini.File
}

// upload answers POST /v1/files.
func (x *exchange) upload() *translate.Failure {
	existing, err := x.g.Resources.list(x.record.UserID, "files/")
	if err != nil {
		return storeFailed("The file was not uploaded")
	}
	if len(existing) >= maxResources {
		return translate.Invalid("", "This user key has %d files already. Delete some, or wait until they expire.", maxResources)
	}
	form, f := x.newUploadForm()
	if f != nil {
		x.readWithin(drain)
		return f
	}
	defer func() {
		if form.whole {
			x.readWithin(0)
		} else {
			x.readWithin(drain)
		}
	}()
	u := &uploading{x: x, form: form}
	if f := x.make(u.attempt, u.elsewhere); f != nil {
		return f
	}
	return x.json(fileObject(u.record()).Append(nil))
}

// readWithin sets when reading from the client ends; 0 = never. An upload holds a
// lease while it waits for a client.
func (x *exchange) readWithin(d time.Duration) {
	var deadline time.Time
	if d > 0 {
		deadline = time.Now().Add(d)
		if total, ok := x.ctx.Deadline(); ok && total.Before(deadline) {
			deadline = total
		}
	}
	_ = x.out.rc.SetReadDeadline(deadline) // not every writer has deadlines
}

// elsewhere reports whether another project may do better.
func (u *uploading) elsewhere(f *translate.Failure) bool {
	switch f.Kind {
	case translate.InvalidRequest, translate.TooLarge, translate.Canceled, translate.Internal:
		return false
	}
	return !u.moved
}

// attempt uploads with one key.
func (u *uploading) attempt(lease *balancer.Lease) (res result) {
	x, started := u.x, time.Now()
	x.record.Attempts++
	x.leased(lease)
	defer func() { x.observe(lease, res.outcome, started) }()
	u.lease = lease
	if res = u.start(); res.failure != nil {
		return res
	}
	for {
		answer, res := u.send()
		if res.failure != nil {
			return u.final(res)
		}
		if u.form.whole {
			return u.finish(answer)
		}
		u.moved = true
		u.offset = u.form.size
		if f := u.form.next(); f != nil {
			u.cancel()
			if x.r.Context().Err() != nil && !u.form.stalled {
				return x.gone()
			}
			return result{balancer.Outcome{Verdict: balancer.Canceled, Reason: "the client's upload failed"}, f}
		}
	}
}

// final makes a failure the request's last where the file cannot be sent again.
func (u *uploading) final(res result) result {
	if u.moved {
		res.outcome.Retry = balancer.RetryNever
		u.cancel()
	}
	return res
}

// start opens an upload at Google.
func (u *uploading) start() result {
	x, form := u.x, u.form
	type fields struct {
		DisplayName string `json:"display_name"`
	}
	body, _ := json.Marshal(map[string]fields{"file": {form.filename}}) // a string has no errors
	header := http.Header{
		"X-Goog-Upload-Protocol":            {"resumable"},
		"X-Goog-Upload-Command":             {"start"},
		"X-Goog-Upload-Header-Content-Type": {form.mime},
	}
	if form.whole {
		header.Set("X-Goog-Upload-Header-Content-Length", strconv.FormatInt(form.size, 10))
	}
	answer, err := u.post(&upstream.Request{Path: "/upload/v1beta/files", Header: header, Body: body})
	if err != nil {
		return x.broken(answer.ctx, err, false)
	}
	if answer.status != http.StatusOK {
		return x.refused(answer.status, answer.header, answer.body, u.lease.Secret())
	}
	u.offset = 0
	u.target, err = url.Parse(answer.header.Get("X-Goog-Upload-Url"))
	if err != nil || u.target.Host != x.g.Upstream.Host() || u.target.Path == "" {
		return unreadable("Gemini did not say where to upload the file.")
	}
	return result{}
}

// uploadAnswer is what Google said to one request of an upload.
type uploadAnswer struct {
	ctx    context.Context // that the request was made in
	status int
	header http.Header
	body   []byte
}

// maxUploadAnswer bounds what Google says to a request of an upload.
const maxUploadAnswer = 1 << 20

// post makes one request of an upload.
func (u *uploading) post(r *upstream.Request) (a uploadAnswer, err error) {
	ctx, cancel := context.WithTimeoutCause(u.x.ctx, u.x.site().timeouts.FirstOutput, errFirstOutput)
	defer cancel()
	r.Method = http.MethodPost
	return u.x.uploadRequest(ctx, u.lease, r)
}

// uploadRequest makes one request of an upload and reads the answer.
func (x *exchange) uploadRequest(ctx context.Context, lease *balancer.Lease, r *upstream.Request) (a uploadAnswer, err error) {
	a.ctx = ctx
	r.Secret, r.Proxy = lease.Secret(), lease.Proxy()
	res, err := x.g.Upstream.Do(ctx, r)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	a.status, a.header = res.StatusCode, res.Header
	a.body, err = io.ReadAll(io.LimitReader(res.Body, maxUploadAnswer))
	return a, err
}

// command makes a request to the upload's own URL.
func (u *uploading) command(word string, body []byte) (uploadAnswer, error) {
	r := &upstream.Request{
		Path: u.target.EscapedPath(), Query: u.target.RawQuery, Body: body, Type: "application/octet-stream",
		Header: http.Header{"X-Goog-Upload-Command": {word}},
	}
	if body != nil {
		r.Header.Set("X-Goog-Upload-Offset", strconv.FormatInt(u.offset, 10))
	} else {
		r.Body = []byte{} // a POST has a length
	}
	return u.post(r)
}

// send sends the present chunk, again from where Google has it where something
// breaks on the way.
func (u *uploading) send() (uploadAnswer, result) {
	x := u.x
	retry := x.g.Settings.Current().Retry
	rest := u.form.chunk
	for try := 1; ; try++ {
		word := "upload"
		if u.form.whole {
			word = "upload, finalize"
		}
		answer, err := u.command(word, rest)
		if err == nil && answer.status == http.StatusOK {
			return answer, result{}
		}
		res := u.classify(answer, err)
		passing := err != nil || answer.status >= 500
		if !passing || try >= max(retry.Attempts, 1) || x.ctx.Err() != nil || !x.g.budget.take(retry.Budget) || !pause(x.ctx, try) {
			return answer, res
		}
		now, err := u.command("query", nil)
		if err != nil || now.status != http.StatusOK {
			continue
		}
		switch got, err := strconv.ParseInt(now.header.Get("X-Goog-Upload-Size-Received"), 10, 64); {
		case now.header.Get("X-Goog-Upload-Status") == "final" && u.form.whole: // only its answer was lost
			return now, result{}
		case err != nil || got < u.offset || got > u.offset+int64(len(rest)):
			return answer, res
		case got == u.offset+int64(len(rest)) && !u.form.whole:
			return now, result{}
		default:
			rest, u.offset = rest[got-u.offset:], got
		}
	}
}

func (u *uploading) classify(answer uploadAnswer, err error) result {
	if err != nil {
		return u.x.broken(answer.ctx, err, false)
	}
	return u.x.refused(answer.status, answer.header, answer.body, u.lease.Secret())
}

// cancel tells Google to forget what it has; if that fails, it does so by itself.
func (u *uploading) cancel() {
	if u.target == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(u.x.ctx), 2*time.Second)
	defer stop()
	res, err := u.x.g.Upstream.Do(ctx, &upstream.Request{
		Method: http.MethodPost, Path: u.target.EscapedPath(), Query: u.target.RawQuery, Body: []byte{},
		Header: http.Header{"X-Goog-Upload-Command": {"cancel"}}, Secret: u.lease.Secret(), Proxy: u.lease.Proxy(),
	})
	if err == nil {
		_ = res.Body.Close()
	}
}

// finish keeps the record of the file before the client hears of it.
func (u *uploading) finish(answer uploadAnswer) result {
	x := u.x
	file, ok := gemini.DecodeFile(answer.body)
	if !ok || len(bytes.TrimSpace([]byte(file.URI))) == 0 {
		return unreadable("Gemini's answer about the uploaded file cannot be read.")
	}
	if file.Size != u.form.size {
		return unreadable("Gemini has another number of bytes of the file than were sent.")
	}
	u.made = file
	ok200 := balancer.Outcome{Verdict: balancer.OK, Status: http.StatusOK}
	if err := x.g.Resources.put(x.record.UserID, u.record(), true); err != nil {
		x.discard(u.lease, file.Name)
		return result{ok200, storeFailed("The file was not kept")}
	}
	return result{outcome: ok200}
}

// record is what is kept of the file.
func (u *uploading) record() resource {
	res := u.x.fileResource(u.lease, u.made)
	if limit := res.Created.Add(u.form.life); u.form.life > 0 && limit.Before(res.Expires) {
		res.Expires = limit
	}
	res.File.Filename, res.File.Purpose = u.form.filename, u.form.purpose
	res.File.MIMEType = cmp.Or(res.File.MIMEType, u.form.mime)
	return res
}

// fileResource is the record of a file that was made with a lease.
func (x *exchange) fileResource(lease *balancer.Lease, file gemini.File) resource {
	if file.Created.IsZero() {
		file.Created = x.accepted
	}
	if file.Expires.IsZero() {
		file.Expires = file.Created.Add(fileLife)
	}
	return resource{
		Name: file.Name, Bound: lease.Binding(), Created: file.Created, Expires: file.Expires,
		File: &fileRecord{
			Filename: clipText(cmp.Or(file.DisplayName, strings.TrimPrefix(file.Name, "files/")), maxFilename),
			URI:      file.URI, MIMEType: file.MIMEType, Size: file.Size, State: file.State, Error: clipText(file.Error, 500),
		},
	}
}

// discard deletes a file that nobody will be able to name.
func (x *exchange) discard(lease *balancer.Lease, name string) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(x.ctx), 5*time.Second)
	defer stop()
	res, err := x.g.Upstream.Do(ctx, &upstream.Request{
		Method: http.MethodDelete, Path: "/v1beta/" + name, Secret: lease.Secret(), Proxy: lease.Proxy(),
	})
	if err == nil {
		_ = res.Body.Close()
	}
}

// unreadable is the end of an attempt whose 200 does not say what it must.
func unreadable(message string) result {
	return result{
		balancer.Outcome{Verdict: balancer.Unusable, Status: http.StatusOK, Reason: message, Retry: balancer.RetryNever},
		&translate.Failure{Kind: translate.MalformedAnswer, Message: message},
	}
}
