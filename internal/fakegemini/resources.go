// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// ownedKey is the name of something in a project. Other projects may have the
// same name.
type ownedKey struct{ project, name string }

// resource is what a project made, other than files.
type resource struct {
	name, project    string
	n                int // order of making
	created, updated time.Time
	expires          time.Time // zero = never
	value            any       // *cache, *batch, …; guarded by Server.mu
}

// timeFormat of Google's JSON.
const timeFormat = "2006-01-02T15:04:05.000000Z"

func stamp(t time.Time) string { return t.UTC().Format(timeFormat) }

// newID makes up an id of n characters. The caller holds s.mu.
func (s *Server) newID(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		h := fnv.New64a()
		_, _ = fmt.Fprint(h, i, "/", s.cfg.Seed, "/", s.made) // a hash takes everything
		b.WriteString(strconv.FormatUint(h.Sum64(), 36))
	}
	s.made++
	return b.String()[:n]
}

// keep adds a resource. The caller holds s.mu.
func (s *Server) keep(project, name string, value any) *resource {
	now := s.cfg.Now()
	r := &resource{name: name, project: project, n: s.made, created: now, updated: now, value: value}
	s.made++
	s.resources[ownedKey{project, name}] = r
	return r
}

// alive reports whether r is there and has not expired.
func (r *resource) alive(now time.Time) bool {
	return r != nil && (r.expires.IsZero() || now.Before(r.expires))
}

// owned finds a resource of the request's project, and books it when another
// one has it. nil = Google would not show it.
func (x *exchange) owned(name string) *resource {
	r, _ := x.find(name)
	return r
}

// find is owned, and says which other project has the resource, if any.
func (x *exchange) find(name string) (r *resource, foreign string) {
	s, e := x.s, x.e
	s.mu.Lock()
	now := s.cfg.Now()
	if r = s.resources[ownedKey{e.Project, name}]; !r.alive(now) {
		r = nil
	}
	for k, other := range s.resources {
		if r == nil && k.name == name && k.project != e.Project && other.alive(now) {
			foreign = k.project
		}
	}
	s.mu.Unlock()
	if r != nil {
		return r, ""
	}
	if foreign != "" {
		s.books.violate(e.N, Foreign, 0, "%s is asked for %s, which is %s's", e.Project, name, foreign)
	}
	x.note("no such resource")
	return nil, foreign
}

// family are the project's resources whose names begin so, the last made first.
// The caller holds s.mu.
func (s *Server) family(project, prefix string) (all []*resource) {
	now := s.cfg.Now()
	for k, r := range s.resources {
		if k.project == project && strings.HasPrefix(k.name, prefix) && r.alive(now) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *resource) int { return cmp.Compare(b.n, a.n) })
	return all
}

// Resources are the names of what a project has, other than files, that begin
// with prefix; in order.
func (s *Server) Resources(project, prefix string) (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.family(project, prefix) {
		names = append(names, r.name)
	}
	slices.Sort(names)
	return names
}

// RemoveResource deletes something other than a file behind its user's back.
func (s *Server) RemoveResource(project, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.resources, ownedKey{project, name})
}

// remove answers a deletion that was allowed.
func (x *exchange) remove(r *resource) {
	x.s.RemoveResource(r.project, r.name)
	x.json([]byte("{}\n"))
}

// page answers a list in pages: size entries, unless the request says how many,
// and never more than most. An empty list is left out, as protobuf's JSON does.
func page[T any](x *exchange, field string, all []T, size, most int) {
	query := x.r.URL.Query()
	if n, err := strconv.Atoi(cmp.Or(query.Get("pageSize"), query.Get("page_size"))); err == nil && n > 0 {
		size = n
	}
	start := 0
	if token := cmp.Or(query.Get("pageToken"), query.Get("page_token")); token != "" {
		owner, n, ok := strings.Cut(unseal(token), " ")
		var err error
		if start, err = strconv.Atoi(n); !ok || err != nil || start < 0 {
			x.error(failure(400, "Invalid page token."))
			return
		}
		if owner != x.e.Project { // a place in another project's list
			x.s.books.violate(x.e.N, Foreign, 0, "%s is sent a page token of %s", x.e.Project, owner)
			x.error(failure(400, "Invalid page token."))
			return
		}
	}
	start = min(start, len(all))
	end := min(start+min(size, most), len(all))
	answer := object{}
	if start < end {
		answer[field] = all[start:end]
	}
	if end < len(all) {
		next := "nextPageToken"
		if x.snaky() {
			next = "next_page_token"
		}
		answer[next] = seal(x.e.Project + " " + strconv.Itoa(end))
	}
	x.json(pretty(answer))
}

// seal and unseal make texts opaque, for tokens.
func seal(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func unseal(token string) string {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return ""
	}
	return string(b)
}

// body reads the request's JSON; {} where there is none. ok = false is answered.
func (x *exchange) body() (v rawjson.Value, ok bool) {
	if len(x.e.Body) == 0 {
		return rawjson.Value("{}"), true
	}
	v, err := rawjson.Parse(x.e.Body)
	if err != nil {
		x.error(failure(400, "Invalid JSON payload received. "+err.Error()))
		return nil, false
	}
	if v.Kind() != rawjson.Object {
		x.error(failure(400, "Invalid JSON payload received. Expected an object."))
		return nil, false
	}
	return v, true
}
