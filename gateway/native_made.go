// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// lifetimes are how long what is made is remembered where its answer does not say
// when it ends, by collection; 0 is until it is deleted.
// Source: specs/native-anthropic.md A.2.
var lifetimes = map[string]time.Duration{
	"files": fileLife, "generatedFiles": fileLife, "cachedContents": time.Hour,
	"batches": 60 * 24 * time.Hour, "operations": 30 * 24 * time.Hour, "models": 30 * 24 * time.Hour,
	"interactions": 60 * 24 * time.Hour, "continuations": time.Hour,
	"fileSearchStores": 0, "tunedModels": 0, "corpora": 0, "environments": 0,
	"voices": 0, "agents": 0, "credentials": 0, "webhooks": 0, "triggers": 0,
}

// watched is a native exchange whose answers name what the user may name from then
// on. Records are made before the client hears of the name.
type watched struct {
	translate.Exchange
	x *exchange
}

var (
	_ translate.Released   = (*watched)(nil)
	_ translate.Summarized = (*watched)(nil)
)

// Release implements [translate.Released].
func (w *watched) Release() {
	if conv, ok := w.Exchange.(translate.Released); ok {
		conv.Release()
	}
}

// Summary implements [translate.Summarized].
func (w *watched) Summary() *gemini.Summary {
	if conv, ok := w.Exchange.(translate.Summarized); ok {
		return conv.Summary()
	}
	return &gemini.Summary{}
}

// Response implements [translate.Exchange].
func (w *watched) Response(dst, body []byte) ([]byte, error) {
	shown := body
	if w.x.rt.op != opNative {
		shown = w.x.publicBody(body)
	}
	out, err := w.Exchange.Response(dst, shown)
	if err == nil {
		err = w.x.learn(body)
	}
	if err != nil {
		return dst, err
	}
	return out, nil
}

// Event implements [translate.Exchange].
func (w *watched) Event(dst []byte, frame translate.Frame) ([]byte, error) {
	out, err := w.Exchange.Event(dst, frame)
	if err == nil && len(frame.Data) > 0 {
		err = w.x.learn(frame.Data)
	}
	if err != nil {
		return dst, err
	}
	return out, nil
}

// learn records what an answer, or an event of one, tells of.
func (x *exchange) learn(body []byte) error {
	if x.rt.op == opNative && !bytes.Contains(body, []byte("ontinuation")) || x.g.Resources == nil {
		return nil
	}
	doc, err := rawjson.Parse(body)
	if err != nil {
		return nil //nolint:nilerr // whoever has to read it says so
	}
	var f *translate.Failure
	switch {
	case x.rt.op == opNative:
		for _, c := range doc.Get("candidates").Elems() {
			f = x.continues(c.Get("continuationToken"), f)
		}
	case x.rt.op == opInteract:
		f = x.interacted(doc)
	case x.rt.op == opResource:
		f = x.touched(doc)
	case x.makes():
		f = x.made(doc)
	}
	if f != nil {
		return f
	}
	return nil
}

// continues records a continuation token, unless something failed before.
func (x *exchange) continues(token rawjson.Value, f *translate.Failure) *translate.Failure {
	if text := token.Text(); text != "" && f == nil {
		return x.remember(continuation(text), time.Time{})
	}
	return f
}

// made records what a request made.
func (x *exchange) made(doc rawjson.Value) *translate.Failure {
	if file, ok := gemini.DecodeFile(doc); ok && x.rt.name == "files" {
		return x.madeFile(file)
	}
	name := doc.Get("name").Text()
	if id := doc.Get("id").Text(); name == "" && id != "" {
		name = x.rt.name + "/" + id
	}
	if name = rootOf(name); name == "" || !strings.Contains(name, "/") {
		return &translate.Failure{Kind: translate.MalformedAnswer, Message: "Gemini's answer does not name what was made."}
	}
	res := x.newResource(name, endOf(doc))
	if x.makesBatch() {
		x.reserved(&res)
	}
	return x.put(res)
}

func endOf(doc rawjson.Value) time.Time {
	for _, member := range []string{"expireTime", "expirationTime"} {
		if t, err := time.Parse(time.RFC3339Nano, doc.Get(member).Text()); err == nil {
			return t
		}
	}
	return time.Time{}
}

func (x *exchange) madeFile(file gemini.File) *translate.Failure {
	res := x.newResource(file.Name, file.Expires)
	res.File = &fileRecord{
		Filename: file.DisplayName, URI: file.URI, MIMEType: file.MIMEType, Size: file.Size,
		State: file.State, Error: clipText(file.Error, 500),
	}
	return x.put(res)
}

// newResource is something that the present attempt's project has; ends is zero
// where Google does not say.
func (x *exchange) newResource(name string, ends time.Time) resource {
	now := time.Now()
	kind, _, _ := strings.Cut(name, "/")
	if life := lifetimes[kind]; ends.IsZero() && life > 0 {
		ends = now.Add(life)
	}
	return resource{Name: name, Bound: x.bound, Created: now, Expires: ends}
}

func (x *exchange) remember(name string, ends time.Time) *translate.Failure {
	return x.put(x.newResource(name, ends))
}

// put keeps a record. Of what requests may name by a bare id it is written down,
// too, that it is somebody's.
func (x *exchange) put(res resource) *translate.Failure {
	kind, _, _ := strings.Cut(res.Name, "/")
	err := x.g.Resources.put(x.record.UserID, res, kind != "continuations")
	switch kind {
	case "environments", "agents", "voices":
		if err == nil {
			err = x.g.Resources.put(everybody, res, true)
		}
	}
	if err != nil {
		return storeFailed("What was made was not kept")
	}
	return nil
}

// touched follows what a request did to a resource: deletions end its record, new
// times move its end, and what it has come to belongs to the user as well.
func (x *exchange) touched(doc rawjson.Value) *translate.Failure {
	own := x.rt.name == rootOf(x.rt.name)
	kind, _, _ := strings.Cut(x.rt.name, "/")
	switch {
	case own && (x.r.Method == http.MethodDelete || x.rt.verb == "delete"):
		return x.forget(x.rt.name)
	case own && kind == "cachedContents" && !endOf(doc).IsZero():
		return x.remember(x.rt.name, endOf(doc))
	case kind == "interactions":
		return x.interacted(doc)
	case own && kind == "batches":
		x.collectBatch(doc)
	}
	return x.results(doc)
}

// forget ends a record.
func (x *exchange) forget(name string) *translate.Failure {
	if placed, _, _ := strings.Cut(name, "/"); placed == "environments" || placed == "agents" || placed == "voices" {
		_ = x.g.Resources.remove(everybody, name) // what stays hides a name that nobody has
	}
	if x.g.Resources.remove(x.record.UserID, name) != nil {
		return storeFailed("It is deleted, but not from this gateway's list")
	}
	return nil
}

// results records the files that an operation has brought. Only places that Google
// fills are looked at: a model can write anything elsewhere.
func (x *exchange) results(operation rawjson.Value) *translate.Failure {
	response := operation.Get("response")
	found := []string{
		operation.Get("metadata").Get("output").Get("responsesFile").Text(), response.Get("responsesFile").Text(),
	}
	for _, videos := range []rawjson.Value{response.Get("generateVideoResponse").Get("generatedSamples"), response.Get("generatedVideos")} {
		for _, sample := range videos.Elems() {
			found = append(found, sample.Get("video").Get("uri").Text())
		}
	}
	for _, text := range found {
		m := googleFile.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		if known, err := x.g.Resources.get(x.record.UserID, m[1]); err == nil && known.Bound == x.bound {
			continue
		}
		if f := x.remember(m[1], time.Time{}); f != nil {
			return f
		}
	}
	return nil
}

// interacted records an interaction, by its first event or the whole answer, and
// what it names.
func (x *exchange) interacted(doc rawjson.Value) *translate.Failure {
	if event := doc.Get("interaction"); event.Kind() == rawjson.Object {
		doc = event
	} else if doc.Get("event_type") != nil {
		return x.continues(doc.Get("continuation_token"), nil)
	}
	f := x.continues(doc.Get("continuation_token"), nil)
	if id := doc.Get("environment_id").Text(); id != "" && f == nil {
		f = x.rememberOnce("environments/" + strings.TrimPrefix(id, "environments/"))
	}
	if f == nil {
		f = x.ran(doc)
	}
	return f
}

// rememberOnce is remember for what may be known already.
func (x *exchange) rememberOnce(name string) *translate.Failure {
	if known, err := x.g.Resources.get(x.record.UserID, name); err == nil && known.Bound == x.bound {
		return nil
	}
	return x.remember(name, time.Time{})
}
