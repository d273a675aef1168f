// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
)

// references are what a request names of what only one project has. The zero
// value names nothing.
type references struct {
	bound *balancer.Binding // who may serve the request; nil for anybody
	list  []resource
}

// refer binds the request to the project of one more resource.
func (x *exchange) refer(res resource) *translate.Failure {
	refs := &x.refs
	switch {
	case refs.bound == nil:
		refs.bound = &res.Bound
	case x.g.projectOf(res.Bound) != x.g.projectOf(*refs.bound):
		if x.rt.dialect == Gemini {
			return translate.Invalid("", "The resources of a request belong to different upstream projects: %s and %s. Make them again, one after the other.", res.Name, refs.list[0].Name)
		}
		return translate.Invalid("", "The files of a request must be in one Gemini project, but %s is in another one than %s. Upload them again, one after the other.",
			shownID(res), shownID(refs.list[0]))
	}
	refs.list = append(refs.list, res)
	return nil
}

// projectOf is the project that a binding means now: that of the key, which
// answers may have revealed to belong to a larger one since.
func (g *Gateway) projectOf(b balancer.Binding) string {
	if key, ok := g.Pool.Get(b.KeyID); ok {
		return cmp.Or(key.Project, key.ID)
	}
	return b.Project
}

// shownID is how OpenAI's clients know a resource.
func shownID(res resource) string {
	if res.File == nil {
		return res.Name
	}
	return openai.FileID(res.Created, res.Name)
}

// file implements openai.Options.File.
func (x *exchange) file(id string) (uri, mimeType string, f *translate.Failure) {
	res, f := x.findFile(id)
	if f == nil {
		f = x.refer(res)
	}
	if f != nil {
		return "", "", f
	}
	return res.File.URI, res.File.MIMEType, nil
}

// findFile finds one of the user's files by OpenAI's id or Google's name. Those of
// others look like those that never were.
func (x *exchange) findFile(id string) (res resource, f *translate.Failure) {
	name := id
	created, named, ok := openai.ParseFileID(id)
	if ok {
		name = named
	}
	if x.g.Resources == nil || !gemini.ValidFileName(name) {
		return res, openai.NoSuchFile("", id)
	}
	res, err := x.g.Resources.get(x.record.UserID, name)
	switch {
	case errors.Is(err, errNoResource) || err == nil && (res.File == nil || ok && res.Created.Unix() != created.Unix()):
		return res, openai.NoSuchFile("", id)
	case err != nil:
		return res, storeFailed("The file could not be looked up")
	}
	return res, nil
}

const (
	fileReady    = 60 * time.Second // how long a request waits for its files
	filePause    = time.Second      // between two looks at a file
	maxFilePause = 5 * time.Second
)

// await waits until the files of the request can be used.
// Source: specs/openai.md §4.4.
func (x *exchange) await() *translate.Failure {
	if x.rt.dialect == Gemini { // Google says so, and its clients wait by themselves
		return nil
	}
	deadline := time.Now().Add(fileReady)
	for i := range x.refs.list {
		res := &x.refs.list[i]
		for wait := filePause; res.File != nil && res.File.State != gemini.FileActive; wait = min(2*wait, maxFilePause) {
			if f := x.refresh(res); f != nil {
				return f
			}
			switch {
			case res.File.State == gemini.FileActive:
			case res.File.State == gemini.FileFailed:
				return translate.Invalid("", "Gemini could not process %s: %s", shownID(*res), cmp.Or(res.File.Error, "it gives no reason."))
			case time.Until(deadline) < wait:
				f := translate.Invalid("", "%s is not in an ACTIVE state yet: Gemini is still processing it. Wait until its status is processed.", shownID(*res))
				f.Status, f.RetryAfter = http.StatusBadRequest, maxFilePause
				return f
			case !sleep(x.ctx, wait):
				return x.unavailable(x.ctx.Err(), nil)
			}
		}
	}
	return nil
}

// sleep reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// refresh asks Google how a file is doing and updates the record.
func (x *exchange) refresh(res *resource) *translate.Failure {
	body, f := x.aside(&translate.Call{Method: http.MethodGet, Path: "/v1beta/" + res.Name}, &res.Bound)
	if f != nil {
		return x.lost(*res, f)
	}
	now, ok := gemini.DecodeFile(body)
	if !ok || now.Name != res.Name {
		return &translate.Failure{Kind: translate.MalformedAnswer, Message: "Gemini's answer about the file cannot be read."}
	}
	if now.State == res.File.State {
		return nil
	}
	file := *res.File
	file.State, file.Error = now.State, clipText(now.Error, 500)
	res.File = &file
	// Losing this costs one more question.
	_ = x.g.Resources.put(x.record.UserID, *res, false)
	return nil
}

// lost forgets a resource that Google or the pool does not have any more, and
// words that for the client.
func (x *exchange) lost(res resource, f *translate.Failure) *translate.Failure {
	if f.Kind != translate.NotFound {
		return f
	}
	if f.Status != 0 { // Google's word; without it the keys may come back
		_ = x.g.Resources.remove(x.record.UserID, res.Name)
	}
	gone := openai.NoSuchFile("", shownID(res))
	if f.Status == 0 {
		gone.Message += ". " + f.Message
	}
	return gone
}

var (
	deniedCache = regexp.MustCompile(`(?i)\bcached ?content\b.*\b(?:not found|permission)`)
	deniedFile  = regexp.MustCompile(`\bFile ([a-z0-9-]+)`)
	deniedOther = regexp.MustCompile(`(?i)permission to access (?:the )?([a-z ]+) (\S+?)(?: or it may not exist)?\.?$`)
	// deniedKinds are what Google calls the things of a collection there.
	deniedKinds = map[string]string{"fileSearchStores": "file search store", "corpora": "corpus", "tunedModels": "tuned model"}
)

// denies reports whether a message of Google's says that a resource is not there.
func denies(message, name string) bool {
	kind, id, _ := strings.Cut(name, "/")
	switch kind {
	case "cachedContents": // a request uses only one, which goes without a name
		return deniedCache.MatchString(message)
	case "files":
		m := deniedFile.FindStringSubmatch(message)
		return m != nil && m[1] == id
	}
	m := deniedOther.FindStringSubmatch(message)
	return m != nil && (m[2] == name || m[2] == id && deniedKinds[kind] != "" && strings.EqualFold(m[1], deniedKinds[kind]))
}

// missing handles that Google refused a request for a resource: which one, its
// message tells. Where it names none, only a request for nothing but the resource
// itself is about it: a store must not be lost because a file for it is gone.
func (x *exchange) missing(f *translate.Failure) {
	for _, res := range x.refs.list {
		if !denies(f.Message, res.Name) {
			continue
		}
		_ = x.forget(res.Name) // at worst it is found missing once more
		if x.rt.dialect == OpenAI && res.File != nil {
			f.Message = openai.NoSuchFile("", shownID(res)).Message
		}
		return
	}
	itself := x.rt.op == opResource && (x.rt.verb == "" || x.rt.verb == "get" || x.rt.verb == "delete")
	switch x.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
	default:
		return
	}
	for _, res := range x.refs.list {
		if itself && x.rt.name == res.Name {
			_ = x.forget(res.Name)
			return
		}
	}
}

// aside makes a call beside the request's own, with keys and attempts of its own,
// and returns the answer. It costs no quota of a model.
func (x *exchange) aside(call *translate.Call, bound *balancer.Binding) (body []byte, f *translate.Failure) {
	p := &sidePart{call: call}
	part := &exchange{
		g: x.g, r: x.r, rt: x.rt, accepted: x.accepted, ctx: x.ctx, account: x.account,
		conv: p, call: call, record: x.record, siblings: x.siblings, refs: references{bound: bound},
		out: newClientWriter(discard{}),
	}
	part.record.Attempts, part.record.Tries = 0, nil
	f = part.attempts()
	x.retained = x.retained || part.retained
	x.adopt(&part.record)
	return p.answer, f
}

// sidePart is a call in the shape of an exchange whose answer is kept instead of
// sent. It implements what an attempt uses of translate.Exchange.
type sidePart struct {
	translate.Exchange
	call   *translate.Call
	answer []byte
}

// Call implements translate.Exchange.
func (p *sidePart) Call() *translate.Call { return p.call }

// Begin implements translate.Exchange.
func (p *sidePart) Begin() {}

// Unsign implements translate.Exchange.
func (p *sidePart) Unsign() bool { return false }

// Usage implements translate.Exchange.
func (p *sidePart) Usage() gemini.Usage { return gemini.Usage{} }

// ContentType implements translate.Exchange.
func (p *sidePart) ContentType() string { return "" }

// Response implements translate.Exchange: the answer is kept as it came.
func (p *sidePart) Response(dst, body []byte) ([]byte, error) {
	p.answer = body
	return dst, nil
}

// clipText cuts s to n bytes at a rune's border.
func clipText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
