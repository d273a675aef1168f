// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/native"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
)

// Dialect is a family of clients, which share wire format and error shape.
type Dialect string

// The dialects that are served.
const (
	OpenAI Dialect = "openai"
	Gemini Dialect = "gemini"
)

// operation is an endpoint's behaviour, independent of the path it came by.
type operation uint8

const (
	opUnknown operation = iota // a path under an API prefix that is not served
	opChat
	opCompletions
	opResponses
	opInputTokens
	opResponse // one that is kept
	opEmbeddings
	opImages
	opImageEdits
	opSpeech
	opTranscriptions
	opTranslations
	opFiles
	opFile
	opModels
	opModel
	opNative // body passes through, method in route.verb
	opNativeModels
)

// route is the parsed form of a request line. Authorisation is decided on it,
// never on the URL's text.
type route struct {
	dialect Dialect
	op      operation
	methods string // allowed methods, as in Allow
	version string // v1beta, v1, v1alpha: Gemini's API version
	model   string // from the path, still the client's word
	id      string // from the path: of an object of ours
	verb    string // generateContent …; of a kept response, what is wanted of it
	allowed bool   // the request's method is among methods
	array   bool   // errors stand in an array, as streamGenerateContent without alt=sse has them
	public  func(g *Gateway, w http.ResponseWriter, r *http.Request)
}

// failure words a failure for a request that never got a converter.
func (rt *route) failure(f *translate.Failure) translate.Answer {
	if rt.dialect == OpenAI {
		return openai.Error(f)
	}
	a := native.Error(f)
	if rt.array {
		a.Body = append(append([]byte{'['}, a.Body...), ']')
	}
	return a
}

// endpoint is a row of the table below.
type endpoint struct {
	path    string // below the dialect's prefix; {model} and {id} stand for one segment
	methods string
	op      operation
}

// openaiEndpoints are served below /v1, /openai/v1 and /v1beta/openai. Anything
// else there is a 404 in OpenAI's words.
var openaiEndpoints = []endpoint{
	{"chat/completions", "POST", opChat},
	{"completions", "POST", opCompletions},
	{"responses", "POST", opResponses},
	{"responses/input_tokens", "POST", opInputTokens},
	{"responses/{id}", "GET, HEAD, DELETE", opResponse},
	{"responses/{id}/input_items", "GET, HEAD", opResponse},
	{"responses/{id}/cancel", "POST", opResponse},
	{"embeddings", "POST", opEmbeddings},
	{"images/generations", "POST", opImages},
	{"images/edits", "POST", opImageEdits},
	{"audio/speech", "POST", opSpeech},
	{"audio/transcriptions", "POST", opTranscriptions},
	{"audio/translations", "POST", opTranslations},
	{"files", "GET, HEAD, POST", opFiles},
	{"files/{id}", "GET, HEAD, DELETE", opFile},
	{"files/{id}/content", "GET, HEAD", opFile},
	{"models", "GET, HEAD", opModels},
	{"models/{model}", "GET, HEAD", opModel},
}

// geminiEndpoints are served below /v1beta, /v1 and /v1alpha.
var geminiEndpoints = []endpoint{
	{"models", "GET, HEAD", opNativeModels},
	{"models/{model}", "GET, HEAD", opNativeModels},
	{"models/{model}:generateContent", "POST", opNative},
	{"models/{model}:streamGenerateContent", "POST", opNative},
	{"models/{model}:countTokens", "POST", opNative},
	{"models/{model}:embedContent", "POST", opNative},
	{"models/{model}:batchEmbedContents", "POST", opNative},
}

var objectID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

var modelID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// match finds the route of a request; ok is false for paths that are not ours.
//
// Which API a path below /v1 belongs to: models and files are everybody's, and there
// the header x-goog-api-key or x-goog-api-client, or ?key=, means Gemini, as a
// verb in the path does; all else is OpenAI's.
// Source: specs/native-anthropic.md A.0.
func match(r *http.Request) (rt route, ok bool) {
	path := clean(r.URL.Path)
	switch path {
	case "/health":
		return route{public: (*Gateway).health}, true
	case "/status":
		return route{public: (*Gateway).status}, true
	}
	for _, prefix := range []string{"/openai/v1/", "/v1beta/openai/", "/openai/"} {
		if rest, found := strings.CutPrefix(path+"/", prefix); found {
			return openaiRoute(r, strings.TrimSuffix(rest, "/")), true
		}
	}
	version, rest, found := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch version {
	case "v1beta", "v1alpha":
		return geminiRoute(r, version, rest), true
	case "v1":
		if !found {
			rest = ""
		}
		if strings.Contains(rest, ":") {
			return geminiRoute(r, version, rest), true
		}
		kind, _, _ := strings.Cut(rest, "/")
		shared := kind == "models" || kind == "files"
		if shared && (r.Header.Get("X-Goog-Api-Key") != "" || r.Header.Get("X-Goog-Api-Client") != "" || r.URL.Query().Has("key")) {
			return geminiRoute(r, version, rest), true
		}
		return openaiRoute(r, rest), true
	}
	return route{}, false
}

func openaiRoute(r *http.Request, rest string) route {
	return find(route{dialect: OpenAI, version: "v1beta"}, openaiEndpoints, r, rest)
}

func geminiRoute(r *http.Request, version, rest string) route {
	rt := find(route{dialect: Gemini, version: version}, geminiEndpoints, r, rest)
	rt.array = rt.verb == "streamGenerateContent" && !wantsSSE(r)
	return rt
}

// wantsSSE reports which of the two stream forms a native client asked for.
func wantsSSE(r *http.Request) bool {
	query := r.URL.Query()
	return query.Get("alt") == "sse" || query.Get("$alt") == "sse"
}

// find looks rest up in the table.
func find(rt route, table []endpoint, r *http.Request, rest string) route {
	for _, e := range table {
		before, after, wild := strings.Cut(e.path, "{model}")
		if prefix, tail, ok := strings.Cut(e.path, "{id}"); ok {
			id, found := strings.CutPrefix(rest, prefix)
			if found {
				id, found = strings.CutSuffix(id, tail)
			}
			if !found || !objectID.MatchString(id) || e.op == opResponse && !strings.HasPrefix(id, "resp_") {
				continue // such as responses/compact, which is no response
			}
			rt.id, rt.verb = id, strings.TrimPrefix(tail, "/")
		} else if !wild {
			if rest != e.path {
				continue
			}
		} else {
			model, ok := strings.CutPrefix(rest, before)
			if ok {
				model, ok = strings.CutSuffix(model, after)
			}
			// Google's own clients send a bare id, others repeat the collection.
			model = strings.TrimPrefix(model, "models/")
			if !ok || model == "" || strings.ContainsAny(model, "/:") {
				continue
			}
			rt.model, rt.verb = model, strings.TrimPrefix(after, ":")
		}
		rt.op, rt.methods = e.op, e.methods
		rt.allowed = slices.Contains(strings.Split(e.methods, ", "), r.Method)
		return rt
	}
	return rt
}

// clean brings a path into the one form that the table knows: no empty
// segments, no trailing slash, no version twice. SDKs given a base URL with or
// without slash or version build all of these. Dot segments are left alone: they
// match nothing.
// Source: specs/native-anthropic.md A.0 and B.
func clean(path string) string {
	if strings.Contains(path, "//") || strings.HasSuffix(path, "/") {
		parts := strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
		path = "/" + strings.Join(parts, "/")
	}
	for _, v := range []string{"/v1", "/v1beta", "/v1alpha"} {
		for strings.HasPrefix(path, v+v+"/") {
			path = path[len(v):]
		}
	}
	return path
}
