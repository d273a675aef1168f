// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/native"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// adminCollections hold secrets and call-backs inside the operator's projects. They
// are only served where the operator says so.
// Source: specs/native-anthropic.md A.11.
var adminCollections = []string{"agents", "credentials", "webhooks", "triggers"}

// native builds the call from the parts that the route was checked for, so that
// nothing of the client's URL reaches Google but known words, and binds it to the
// project of what path and body name.
func (x *exchange) native() (translate.Exchange, *translate.Failure) {
	call := &translate.Call{Method: x.r.Method, Query: nativeQuery(x.r)}
	if call.Method == http.MethodHead {
		call.Method = http.MethodGet
	}
	named, f := x.nativeName(call)
	if f != nil {
		return nil, f
	}
	call.Path = (&url.URL{Path: "/" + x.rt.version + "/" + named}).EscapedPath()
	if x.rt.verb != "" {
		call.Path += ":" + x.rt.verb
	}
	body, f := x.mentioned()
	if f == nil {
		f = body.permitted()
	}
	if f != nil {
		return nil, f
	}
	call.Body = x.body
	switch x.rt.op {
	case opNative:
		x.generates(call)
	case opCollection:
		call.Asked = cmp.Or(body.model, body.agent) // permission only: what is made costs no quota of it
	case opResource:
		if x.r.URL.Query().Get("stream") == "true" { // of an interaction that goes on
			call.Stream = translate.SSE
		}
	case opInteract:
		return x.interaction(call, body)
	default:
	}
	if x.rt.wordy() {
		return &watched{native.NewInteraction(call), x}, nil
	}
	return &watched{native.New(call), x}, nil
}

// nativeName is what the path names at Google: models by their aliases, all else
// only if it is the user's.
func (x *exchange) nativeName(call *translate.Call) (name string, f *translate.Failure) {
	kind, rest, below := strings.Cut(x.rt.name, "/")
	switch {
	case slices.Contains(adminCollections, kind) && !x.g.AdminResources:
		return "", &translate.Failure{
			Kind:    translate.Forbidden,
			Message: "This gateway does not serve " + kind + ": they belong to the projects of its operator, who may allow them by native_admin_resources.",
		}
	case kind == "models" && x.rt.model != "":
		call.Asked, call.Model = x.rt.model, x.resolve(x.rt.model)
		if !gemini.ValidModelID(call.Model) {
			return "", &translate.Failure{Kind: translate.InvalidRequest, Message: "The model name in the URL is not valid."}
		}
		if x.rt.op != opResource {
			return "models/" + call.Model + strings.TrimPrefix(rest, x.rt.model), nil
		}
		call.Asked, call.Model = "", ""
	case kind == "dynamic" || !below:
		if x.rt.model != "" {
			call.Asked, call.Model = x.rt.model, x.rt.name
		}
		return x.rt.name, nil
	case kind == "tunedModels" && x.rt.model != "":
		call.Asked, call.Model = x.rt.name, x.rt.name
	}
	res, f := x.owned(rootOf(x.rt.name))
	if f != nil {
		return "", f
	}
	return x.rt.name, x.refer(res)
}

// generates completes the call of a method that asks a model.
func (x *exchange) generates(call *translate.Call) {
	switch x.rt.verb {
	case "generateContent":
		call.Generate = true
	case "streamGenerateContent":
		call.Generate, call.Stream = true, translate.SSE
		if x.rt.array {
			call.Stream = translate.JSONArray
		}
	}
}

// nativeQuery keeps the parameters that mean something to Google and hold no
// credential. fields is dropped: a partial answer could lack what the books and the
// records need.
// Source: specs/native-anthropic.md A.4.
func nativeQuery(r *http.Request) string {
	if r.URL.RawQuery == "" {
		return ""
	}
	query := r.URL.Query()
	form := "" // proto would be a stream that nobody here can read
	switch {
	case wantsSSE(r):
		form = "sse"
	case query.Get("alt") == "json", query.Get("$alt") == "json":
		form = "json"
	}
	for k, values := range query {
		switch k {
		case "stream": // once, as it is read here
			query[k] = values[:1]
		case "prettyPrint", "pageSize", "pageToken", "page_size", "page_token", "updateMask", "update_mask", "force", "filter",
			"last_event_id", "include_input", "tunedModelId", "tuned_model_id", "returnPartialSuccess":
		default:
			query.Del(k)
		}
	}
	if form != "" {
		query.Set("alt", form)
	}
	return query.Encode()
}

// makes reports whether the request makes something that stays in a project.
func (x *exchange) makes() bool {
	switch x.rt.op {
	case opMake, opInteract:
		return true
	case opCollection:
		return x.r.Method == http.MethodPost
	default:
		return false
	}
}

// makeNative makes something: where the request names others, in their project,
// else in the user's home.
func (x *exchange) makeNative() *translate.Failure {
	if x.refs.bound != nil || x.g.Resources == nil {
		want, retry := x.want()
		return x.try(want, retry, x.once)
	}
	return x.make(x.once, func(f *translate.Failure) bool {
		switch f.Kind {
		case translate.RateLimited, translate.QuotaExhausted, translate.NoKeys, translate.Location, translate.ModelNotFound, translate.Overloaded:
			return !x.out.committed() && f.Code != native.CodeUnknownOutcome
		}
		return false
	})
}

// asBeta turns to v1beta where Google has no such method in the version that the
// client asked for: some SDKs ask for v1 and mean all there is.
// Source: specs/native-anthropic.md A.9 and G.
func (x *exchange) asBeta(f *translate.Failure) bool {
	if x.rt.dialect != Gemini || x.rt.version == "v1beta" || x.call == nil || !versionLacks(f) {
		return false
	}
	rest, ok := strings.CutPrefix(x.call.Path, "/"+x.rt.version+"/")
	if ok {
		x.call.Path, x.rt.version = "/v1beta/"+rest, "v1beta"
	}
	return ok
}

// versionLacks reports whether Google said that an API version has not what was
// asked for.
func versionLacks(f *translate.Failure) bool {
	return (f.Kind == translate.NotFound || f.Kind == translate.ModelNotFound) && strings.Contains(strings.ToLower(f.Message), "api version")
}

// stream reports what the body asks for, in a member of the Interactions API.
func streams(body []byte) bool {
	doc, err := rawjson.Parse(body)
	return err == nil && doc.Get("stream").IsTrue()
}

// interaction is the exchange of one of the Interactions API.
// Source: specs/native-anthropic.md A.11.
func (x *exchange) interaction(call *translate.Call, body *mentions) (translate.Exchange, *translate.Failure) {
	call.Asked = body.agent // which model it asks is Google's choice
	if body.model != "" {
		call.Asked, call.Model = body.model, x.resolve(body.model)
		if !gemini.ValidModelID(call.Model) && !strings.HasPrefix(call.Model, "tunedModels/") {
			return nil, translate.Invalid("model", "The model name is not valid.")
		}
	}
	if streams(call.Body) {
		call.Stream = translate.SSE
	}
	return &watched{native.NewInteraction(call), x}, nil
}
