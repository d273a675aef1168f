// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/native"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

const (
	// listFresh is how long a list of models is served without asking Google
	// again. Source: specs/native-anthropic.md A.14.
	listFresh = 10 * time.Minute
	// listStale is how long it is better than an error.
	listStale = 24 * time.Hour
	// maxLists bounds the lists that are kept; clients choose what they ask for.
	maxLists = 256
	// maxPages bounds a list: Google's page has up to a thousand models.
	maxPages = 20
)

// lists keeps Google's answers about models, which hardly change and say nothing
// of a user. The zero value is ready; safe for concurrent use.
type lists struct {
	mu      sync.Mutex
	entries map[string]listing
}

type listing struct {
	body []byte
	at   time.Time
}

func listKey(c *translate.Call) string { return c.Path + "?" + c.Query }

// keep remembers a good answer.
func (l *lists) keep(c *translate.Call, body []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entries == nil || len(l.entries) >= maxLists {
		l.entries = map[string]listing{}
	}
	l.entries[listKey(c)] = listing{body, time.Now()}
}

// get returns a kept answer that is not older than age.
func (l *lists) get(c *translate.Call, age time.Duration) (body []byte, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[listKey(c)]
	return e.body, ok && time.Since(e.at) <= age
}

// models are the ids of the list that is kept, if any; of several pages the first.
func (l *lists) models() (ids []string) {
	body, ok := l.get(&translate.Call{Path: "/v1beta/models", Query: "pageSize=1000"}, listStale)
	if !ok {
		return nil
	}
	doc, err := rawjson.Parse(body)
	if err != nil {
		return nil
	}
	for _, m := range doc.Get("models").Elems() {
		ids = append(ids, strings.TrimPrefix(m.Get("name").Text(), "models/"))
	}
	return ids
}

// shown says which models lists tell this user of: those that are visible and that some
// Gemini key may serve, and aliases of one.
func (x *exchange) shown() func(model string) bool {
	visible, servable := x.visible(), x.g.servable(x.site())
	return func(name string) bool { return (visible == nil || visible(name)) && servable(name) }
}

// servable says which models and aliases some Gemini key may serve.
func (g *Gateway) servable(s *site) func(name string) bool {
	keys := g.Pool.Servable()
	return func(name string) bool {
		if a := s.aliases.find(name); a != nil {
			return slices.ContainsFunc(a.Targets, func(target string) bool { return keys.Has(openai.PlainModel(target)) })
		}
		return keys.Has(name)
	}
}

// models makes the converter of a question about models.
func (x *exchange) models() (*openai.Models, *translate.Failure) {
	aliases := x.site().aliases.listed
	if id := x.rt.model; x.site().aliases.find(id) != nil {
		aliases = []openai.Alias{{ID: id, Target: x.resolve(id)}}
	}
	list, f := openai.NewModels(x.rt.model, aliases, x.shown())
	if f == nil {
		list.Also(x.g.Pool.Models())
	}
	return list, f
}

// nativeModels makes the converter of a question about models in Google's dialect.
func (x *exchange) nativeModels() (*native.Models, *translate.Failure) {
	if id := x.rt.model; id != "" {
		return native.NewModel(id, x.resolve(id), x.shown())
	}
	aliases := make([]native.Alias, len(x.site().aliases.listed))
	for i, a := range x.site().aliases.listed {
		aliases[i] = native.Alias(a)
	}
	return native.NewModels(x.r.URL.Query(), aliases, x.shown(), x.g.Pool.Models())
}

// aboutModels reports whether the answer to the call is one that lists keep.
func (x *exchange) aboutModels() bool {
	switch x.rt.op {
	case opModels, opModel, opAnthropicModels, opAnthropicModel, opNativeModels:
		return true
	default:
		return false
	}
}

// cached answers a question about models from what is kept, or asks. Where that
// fails for reasons that will pass, an older answer is still the better one.
func (x *exchange) cached() *translate.Failure {
	if list, ok := x.conv.(paged); ok && (x.rt.op == opModels || x.rt.op == opAnthropicModels || x.rt.op == opNativeModels && x.rt.model == "") {
		return x.pages(list)
	}
	if body, ok := x.g.lists.get(x.call, listFresh); ok {
		return x.fromList(body)
	}
	f := x.inPlace(x.attempts)
	if f == nil {
		return nil
	}
	if body, ok := x.stale(x.call, f); ok {
		return x.fromList(body)
	}
	return f
}

// stale is an answer that is too old to be given while Google answers.
func (x *exchange) stale(call *translate.Call, f *translate.Failure) (body []byte, ok bool) {
	switch f.Kind {
	case translate.RateLimited, translate.QuotaExhausted, translate.NoKeys, translate.Overloaded, translate.Timeout, translate.Upstream:
		return x.g.lists.get(call, listStale)
	}
	return nil, false
}

// paged is a list of models that takes one call after the other.
type paged interface {
	translate.Batch
	// Next is the call for the page after the one that body is, nil for none.
	Next(body []byte) *translate.Call
}

// pages answers with one list of all of Google's pages.
func (x *exchange) pages(list paged) *translate.Failure {
	var bodies [][]byte
	for call := x.call; call != nil && len(bodies) < maxPages; call = list.Next(bodies[len(bodies)-1]) {
		body, ok := x.g.lists.get(call, listFresh)
		if !ok {
			var f *translate.Failure
			if body, f = x.page(list, call); f != nil {
				if body, ok = x.stale(call, f); !ok {
					return f
				}
			}
		}
		bodies = append(bodies, body)
	}
	out, err := list.Join(nil, bodies)
	if err != nil {
		return failure(err)
	}
	return x.send(out)
}

// page asks for one page, unless somebody has while the request waited for its place.
func (x *exchange) page(list paged, call *translate.Call) (body []byte, f *translate.Failure) {
	f = x.inPlace(func() *translate.Failure {
		var ok bool
		if body, ok = x.g.lists.get(call, listFresh); ok {
			return nil
		}
		part := &batchPart{Exchange: list, batch: list, call: call}
		part.run(x, new(sync.Mutex))
		x.adopt(&part.record)
		body = part.answer
		return part.failure
	})
	return body, f
}

func (x *exchange) fromList(body []byte) *translate.Failure {
	x.conv.Begin()
	out, err := x.conv.Response(nil, body)
	if err != nil {
		return failure(err)
	}
	return x.send(out)
}

// send writes a whole answer.
func (x *exchange) send(body []byte) *translate.Failure {
	if x.out.answer(translate.Answer{Status: http.StatusOK, ContentType: x.conv.ContentType(), Body: body}) != nil {
		return x.gone().failure
	}
	return nil
}
