// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/anthropic"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
)

// Dialect is a family of clients, which share wire format and error shape.
type Dialect string

// The dialects that are served.
const (
	OpenAI    Dialect = "openai"
	Gemini    Dialect = "gemini"
	Anthropic Dialect = "anthropic"
)

// route is the parsed form of a request line. Authorisation is decided on it,
// never on the URL's text.
type route struct {
	dialect Dialect
	op      operation
	methods string // allowed methods, as in Allow
	version string // v1beta, v1, v1alpha: Gemini's API version
	model   string // from the path, still the client's word
	id      string // from the path: of an object
	name    string // of Gemini's resource or collection: "files/abc", "batches"
	verb    string // generateContent …; of an object of ours, what is wanted of it
	allowed bool   // the request's method is among methods
	array   bool   // errors stand in an array, as streamGenerateContent without alt=sse has them
	public  func(g *Gateway, w http.ResponseWriter, r *http.Request)
}

// claim says that what begins with a path is of a dialect.
type claim struct {
	below   string // whole segments
	dialect Dialect
	version string                                  // of Gemini's API
	when    func(r *http.Request, rest string) bool // nil = always
}

// claims tell the APIs apart that share a host; the first that fits decides. /v1
// is everybody's: there the collection or a verb tells, or else the headers.
// Source: specs/native-anthropic.md A.0 and E.
var claims = []claim{
	{below: "/openai/v1", dialect: OpenAI},
	{below: "/openai", dialect: OpenAI},
	{below: "/v1beta/openai/v1", dialect: OpenAI},
	{below: "/v1beta/openai", dialect: OpenAI},
	{below: "/dashboard/billing", dialect: OpenAI}, // NextChat asks; a 404 it can read
	{below: "/anthropic/v1", dialect: Anthropic},
	{below: "/anthropic", dialect: Anthropic},
	{below: "/api/event_logging", dialect: Anthropic}, // Claude Code tells; a 404, too
	{below: "/api/claude_cli", dialect: Anthropic},
	{below: "/v1beta/publishers/google", dialect: Gemini, version: "v1beta"}, // as Vertex AI has it
	{below: "/v1/publishers/google", dialect: Gemini, version: "v1beta"},
	{below: "/v1beta", dialect: Gemini, version: "v1beta"},
	{below: "/v1alpha", dialect: Gemini, version: "v1alpha"},
	{below: "/v1", dialect: Gemini, version: "v1", when: hasVerb},
	{below: "/v1", dialect: Gemini, version: "v1", when: isOf(Gemini)},
	{below: "/v1", dialect: Anthropic, when: isOf(Anthropic)},
	{below: "/v1", dialect: OpenAI, when: isOf(OpenAI)},
	{below: "/v1", dialect: Gemini, version: "v1", when: fromGoogle},
	{below: "/v1", dialect: Anthropic, when: fromAnthropic},
	{below: "/v1", dialect: OpenAI},
	{below: "", dialect: Gemini, version: "v1beta", when: ofModel}, // Continue loses the version
}

// collections are those below /v1 that one API alone has.
var collections = map[string]Dialect{
	"chat": OpenAI, "completions": OpenAI, "responses": OpenAI, "embeddings": OpenAI,
	"images": OpenAI, "audio": OpenAI, "realtime": OpenAI, "moderations": OpenAI,
	"messages": Anthropic, "complete": Anthropic, "skills": Anthropic, "organizations": Anthropic,
	"interactions": Gemini, "cachedContents": Gemini, "tunedModels": Gemini, "fileSearchStores": Gemini,
	"corpora": Gemini, "auth_tokens": Gemini, "voices": Gemini, "webhooks": Gemini, "triggers": Gemini,
	"credentials": Gemini, "generatedFiles": Gemini, "dynamic": Gemini, "operations": Gemini,
	"upload": Gemini, "download": Gemini, "ws": Gemini,
}

func isOf(d Dialect) func(*http.Request, string) bool {
	return func(_ *http.Request, rest string) bool {
		kind, _, _ := strings.Cut(rest, "/")
		return collections[kind] == d
	}
}

// hasVerb reports whether a path ends in one of Google's custom methods.
func hasVerb(_ *http.Request, rest string) bool { return strings.Contains(rest, ":") }

// ofModel reports whether a path is a custom method of a model.
func ofModel(r *http.Request, rest string) bool {
	return strings.HasPrefix(rest, "models/") && hasVerb(r, rest)
}

// fromGoogle recognises Google's SDKs and those who send keys as they do.
func fromGoogle(r *http.Request, _ string) bool {
	return r.Header["X-Goog-Api-Key"] != nil || r.Header["X-Goog-Api-Client"] != nil ||
		r.URL.RawQuery != "" && r.URL.Query().Has("key")
}

func fromAnthropic(r *http.Request, _ string) bool {
	return r.Header["Anthropic-Version"] != nil || r.Header["X-Api-Key"] != nil || strings.HasPrefix(r.UserAgent(), "claude-cli")
}

// match finds the route of a request; ok is false for paths that are not ours.
func match(r *http.Request) (rt route, ok bool) {
	path := clean(r.URL.Path)
	if public := publicPaths[path]; public != nil {
		return route{public: public}, true
	}
	if r.Method == http.MethodHead && probed(r, path) {
		return route{public: (*Gateway).hello}, true
	}
	for i := range claims {
		c := &claims[i]
		rest, below := strings.CutPrefix(path, c.below)
		if !below || rest != "" && rest[0] != '/' {
			continue
		}
		rest = strings.TrimPrefix(rest, "/")
		if c.when == nil || c.when(r, rest) {
			return find(route{dialect: c.dialect, version: c.version}, r, rest), true
		}
	}
	return route{}, false
}

// publicPaths are answered to anybody, without a key.
var publicPaths = map[string]func(*Gateway, http.ResponseWriter, *http.Request){
	"/health":              (*Gateway).health,
	"/status":              (*Gateway).status,
	"/api/hello":           (*Gateway).hello, // Claude Code, before anything else
	"/anthropic/api/hello": (*Gateway).hello,
}

// probed are the paths that clients ask for by HEAD, without a key, to see whether
// somebody is there. Source: specs/native-anthropic.md E.
func probed(r *http.Request, path string) bool {
	switch path {
	case "/", "/anthropic":
		return true
	case "/v1/models", "/anthropic/v1/models":
		secret, err := credential(r, "")
		return secret == "" && err == nil
	}
	return false
}

// find looks rest up in the dialect's table.
func find(rt route, r *http.Request, rest string) route {
	for strings.HasPrefix(rest, "models/models/") {
		// Google's own clients send a bare id, others repeat the collection.
		rest = rest[len("models/"):]
	}
	table := openaiEndpoints
	switch rt.dialect {
	case Gemini:
		table = geminiEndpoints
	case Anthropic:
		table, rt.version = anthropicEndpoints, "v1beta"
	default:
		rt.version = "v1beta"
	}
	for i := range table {
		e := &table[i]
		found := rt
		if !fit(e.path, rest, &found) || e.op == opResponse && !strings.HasPrefix(found.id, "resp_") {
			continue // such as responses/compact, which is no response
		}
		found.op, found.methods = e.op, e.methods
		for method := range strings.SplitSeq(e.methods, ", ") {
			found.allowed = found.allowed || method == r.Method
		}
		if rt.dialect == Gemini {
			found.name, found.verb = rest, ""
			if i := strings.LastIndexByte(rest, ':'); i >= 0 && strings.Contains(e.path, ":") {
				found.name, found.verb = rest[:i], rest[i+1:]
			}
			found.array = found.verb == "streamGenerateContent" && !wantsSSE(r)
		}
		return found
	}
	return rt
}

// fit lays a row's path over a request's. A placeholder stands for one segment,
// or for what is before the last colon of one; {path} for all that is left. What
// follows the last placeholder, or a colon, is the verb.
func fit(pattern, path string, rt *route) bool {
	open := strings.IndexByte(pattern, '{')
	if open < 0 {
		_, rt.verb, _ = strings.Cut(pattern, ":")
		return path == pattern
	}
	for ; open >= 0; open = strings.IndexByte(pattern, '{') {
		if len(path) <= open || path[:open] != pattern[:open] {
			return false
		}
		path, pattern = path[open:], pattern[open+1:]
		name, after, _ := strings.Cut(pattern, "}")
		pattern = after
		end := strings.IndexByte(path, '/')
		if name == "path" || end < 0 {
			end = len(path)
		}
		if strings.HasPrefix(after, ":") {
			end = strings.LastIndexByte(path[:end], ':')
		}
		if end <= 0 || !rt.take(name, path[:end]) {
			return false
		}
		path = path[end:]
	}
	rt.verb = strings.TrimLeft(pattern, "/:")
	return path == pattern
}

// take sets what a placeholder stands for. What could leave its place in the
// upstream path is refused.
func (rt *route) take(name, value string) bool {
	switch name {
	case "model":
		rt.model = value
		return !strings.Contains(value, ":")
	case "path":
		return !slices.ContainsFunc(strings.Split(value, "/"), dots)
	case "id":
		rt.id = value
	}
	return len(value) <= maxResourceName && !dots(value) && !strings.ContainsFunc(value, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.~=", c)
	})
}

func dots(segment string) bool { return segment == "." || segment == ".." || segment == "" }

// wantsSSE reports which of the two stream forms a native client asked for.
func wantsSSE(r *http.Request) bool {
	query := r.URL.Query()
	return query.Get("alt") == "sse" || query.Get("$alt") == "sse"
}

// failure words a failure for a request that never got a converter.
func (rt *route) failure(f *translate.Failure) translate.Answer {
	switch rt.dialect {
	case OpenAI:
		return openai.Error(f)
	case Anthropic:
		return anthropic.Error(f)
	default:
		return rt.nativeFailure(f)
	}
}
