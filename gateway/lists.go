// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
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

// models are the ids of the list that is kept, if any.
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

// cached answers a question about models from what is kept, or asks. Where that
// fails for reasons that will pass, an older answer is still the better one.
func (x *exchange) cached() *translate.Failure {
	if body, ok := x.g.lists.get(x.call, listFresh); ok {
		return x.fromList(body)
	}
	f := x.attempts()
	if f == nil {
		return nil
	}
	switch f.Kind {
	case translate.RateLimited, translate.QuotaExhausted, translate.NoKeys, translate.Overloaded, translate.Timeout, translate.Upstream:
		if body, ok := x.g.lists.get(x.call, listStale); ok {
			return x.fromList(body)
		}
	}
	return f
}

func (x *exchange) fromList(body []byte) *translate.Failure {
	x.conv.Begin()
	out, err := x.conv.Response(nil, body)
	if err != nil {
		return failure(err)
	}
	if x.out.answer(translate.Answer{Status: http.StatusOK, ContentType: x.conv.ContentType(), Body: out}) != nil {
		return x.gone().failure
	}
	return nil
}
