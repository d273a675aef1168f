// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// cache is one of the cachedContents.
type cache struct {
	model, display string
	request        request // what is cached, counted
}

// cacheLife is how long a cache without ttl is kept.
const cacheLife = time.Hour

// noCache is Google's answer for a cache of another project, for one that has
// expired and for none alike.
var noCache = failure(403, "CachedContent not found (or permission denied)")

func (r *resource) cache() *cache { return r.value.(*cache) }

// shownCache is a cache as Google's JSON: nothing of its contents comes back.
func shownCache(r *resource) object {
	c := r.cache()
	return object{
		"name": r.name, "model": "models/" + c.model, "displayName": c.display,
		"createTime": stamp(r.created), "updateTime": stamp(r.updated), "expireTime": stamp(r.expires),
		"usageMetadata": object{"totalTokenCount": c.request.tokens},
	}
}

func (x *exchange) createCache() {
	s, e := x.s, x.e
	v, ok := x.body()
	if !ok {
		return
	}
	if found := check(v, "CachedContent", "cached_content", nil); len(found) > 0 {
		x.error(refusal(found))
		return
	}
	s.books.update(func() { e.Model = strings.TrimPrefix(v.Get("model").Text(), "models/") })
	if e.Model == "" {
		x.error(failure(400, "* CreateCachedContentRequest.cached_content.model: model is required\n"))
		return
	}
	if a := x.findModel("createCachedContent"); a.status != 0 {
		x.error(a)
		return
	}
	c := &cache{model: e.Model, display: get(v, "displayName").Text(), request: request{body: v}}
	c.request.read(v)
	if a := x.filesUsable(&c.request); a.status != 0 {
		x.error(a)
		return
	}
	if least := cmp.Or(s.cfg.CacheMinimum, 1024); c.request.tokens < least {
		x.error(failure(400, fmt.Sprintf("Cached content is too small. total_token_count=%d, min_total_token_count=%d", c.request.tokens, least)))
		return
	}
	until, problem := expiry(v, s.cfg.Now())
	if problem != "" {
		x.error(failure(400, problem))
		return
	}
	if until.IsZero() {
		until = s.cfg.Now().Add(cacheLife)
	}
	s.mu.Lock()
	r := s.keep(e.Project, "cachedContents/"+s.newID(40), c)
	r.expires = until
	shown := shownCache(r)
	s.mu.Unlock()
	x.json(pretty(shown))
}

// expiry reads ttl or expireTime; zero = neither is there.
func expiry(v rawjson.Value, now time.Time) (until time.Time, problem string) {
	ttl, at := v.Get("ttl").Text(), get(v, "expireTime").Text()
	switch {
	case ttl != "" && at != "":
		return until, "Invalid value at 'cached_content' (oneof), oneof field 'expiration' is already set. Cannot set 'ttl'"
	case ttl != "":
		d, err := time.ParseDuration(ttl)
		if err != nil || !strings.HasSuffix(ttl, "s") || d <= 0 {
			return until, "Invalid value at 'cached_content.ttl' (type.googleapis.com/google.protobuf.Duration), Field 'ttl', Illegal duration format; duration must end with 's'"
		}
		return now.Add(d), ""
	case at != "":
		t, err := time.Parse(time.RFC3339, at)
		if err != nil || !t.After(now) {
			return until, "* CachedContent.expire_time: expire_time must be in the future\n"
		}
		return t, ""
	}
	return until, ""
}

func (x *exchange) listCaches() {
	x.s.mu.Lock()
	var shown []object
	for _, r := range x.s.family(x.e.Project, "cachedContents/") {
		shown = append(shown, shownCache(r))
	}
	x.s.mu.Unlock()
	page(x, "cachedContents", shown, 50, 1000)
}

func (x *exchange) getCache() {
	r := x.owned(x.rest)
	if r == nil {
		x.error(noCache)
		return
	}
	x.s.mu.Lock()
	shown := shownCache(r)
	x.s.mu.Unlock()
	x.json(pretty(shown))
}

// patchCache changes when a cache expires, and nothing else.
func (x *exchange) patchCache() {
	v, ok := x.body()
	if !ok {
		return
	}
	r := x.owned(x.rest)
	if r == nil {
		x.error(noCache)
		return
	}
	if found := check(v, "CachedContent", "cached_content", nil); len(found) > 0 {
		x.error(refusal(found))
		return
	}
	query := x.r.URL.Query()
	for field := range strings.SplitSeq(cmp.Or(query.Get("updateMask"), query.Get("update_mask"), "ttl"), ",") {
		if f := snake(strings.TrimPrefix(field, "cachedContent.")); f != "ttl" && f != "expire_time" && f != "expiration" {
			x.error(failure(400, "Only the expiration of cached content can be updated, not "+f+"."))
			return
		}
	}
	until, problem := expiry(v, x.s.cfg.Now())
	if problem == "" && until.IsZero() {
		problem = "* UpdateCachedContentRequest.cached_content: ttl or expire_time is required\n"
	}
	if problem != "" {
		x.error(failure(400, problem))
		return
	}
	x.s.mu.Lock()
	r.expires, r.updated = until, x.s.cfg.Now()
	shown := shownCache(r)
	x.s.mu.Unlock()
	x.json(pretty(shown))
}

func (x *exchange) deleteCache() {
	r := x.owned(x.rest)
	if r == nil {
		x.error(noCache)
		return
	}
	x.remove(r)
}

// cacheUsable puts the cache that a request names before it.
func (x *exchange) cacheUsable(q *request) answer {
	name := q.cache
	if name == "" {
		return answer{}
	}
	if id, ok := strings.CutPrefix(name, "cachedContents/"); !ok || id == "" || strings.ContainsAny(id, "/:") {
		return failure(400, "Invalid CachedContent name: "+name+".")
	}
	r := x.owned(name)
	switch {
	case r == nil:
		return noCache
	case q.system || len(q.tools)+len(q.builtIn) > 0 || q.toolConfig:
		return failure(400, "CachedContent can not be used with GenerateContent request setting system_instruction, tools or tool_config.\n\nProposed fix: move those values to CachedContent from GenerateContent request.")
	}
	c := r.cache()
	if c.model != x.e.Model {
		return failure(400, "Model used by GenerateContent request (models/"+x.e.Model+") and CachedContent (models/"+c.model+") has to be the same.")
	}
	q.prefix(&c.request)
	return answer{}
}

// prefix puts what is cached before a request.
func (q *request) prefix(c *request) {
	q.cached = c.tokens
	q.stores = append(q.stores, c.stores...)
	q.tools, q.builtIn, q.mode, q.allowed = c.tools, c.builtIn, c.mode, c.allowed
	q.textTokens += c.textTokens
	q.imageTokens += c.imageTokens
	q.audioTokens += c.audioTokens
	q.tokens += c.tokens
}
