// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/native"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Lists are Google's, of all projects in which the user has something of the kind,
// one after the other, without what is not theirs.
// Source: specs/native-anthropic.md A.3.

// place is where a list goes on: in which project, and there at which page.
type place struct {
	Project string `json:"p"` // a hash: projects are the operator's business
	Token   string `json:"t,omitempty"`
}

// share is what a user has of a kind in one project.
type share struct {
	project string // hashed
	bound   balancer.Binding
	names   map[string]bool
}

// listing collects the items of a page.
type nativeList struct {
	x      *exchange
	kind   string
	member string // of the answer, that has the items
	items  [][]byte
	failed *translate.Failure
	good   bool // some project has answered
}

const (
	defaultPage = 50
	maxPage     = 1000
)

// listNative answers a list.
func (x *exchange) listNative() *translate.Failure {
	name, f := x.nativeName(&translate.Call{})
	if f != nil {
		return f
	}
	x.rt.name = name
	shares, f := x.shares()
	if f != nil {
		return f
	}
	query := x.r.URL.Query()
	size, err := strconv.Atoi(cmp.Or(query.Get("pageSize"), query.Get("page_size"), strconv.Itoa(defaultPage)))
	if err != nil || size < 0 {
		return translate.Invalid("pageSize", "pageSize must be a number, 0 or larger.")
	}
	if size == 0 {
		size = defaultPage
	}
	at, f := parsePlace(cmp.Or(query.Get("pageToken"), query.Get("page_token")))
	if f != nil {
		return f
	}
	l := &nativeList{x: x, kind: x.rt.name}
	next := l.fill(shares, at, min(size, maxPage))
	if !l.good && l.failed != nil {
		return l.failed
	}
	return x.json(x.publicBody(l.body(next)))
}

// shares are what the user has of the kind, by project, in an order that does not
// change while projects come and go.
func (x *exchange) shares() ([]*share, *translate.Failure) {
	if x.g.Resources == nil {
		return nil, nil
	}
	records, err := x.g.Resources.list(x.record.UserID, x.rt.name+"/")
	if err != nil {
		return nil, storeFailed("The list could not be made")
	}
	var shares []*share
	byProject := map[string]*share{}
	for _, res := range records {
		project := fmt.Sprintf("%016x", fnv([]byte(x.g.projectOf(res.Bound))))
		s := byProject[project]
		if s == nil {
			s = &share{project: project, bound: res.Bound, names: map[string]bool{}}
			byProject[project] = s
			shares = append(shares, s)
		}
		s.names[res.Name] = true
	}
	slices.SortFunc(shares, func(a, b *share) int { return strings.Compare(a.project, b.project) })
	return shares, nil
}

// fill collects up to size items and returns where the list goes on; nil at its
// end.
func (l *nativeList) fill(shares []*share, at place, size int) *place {
	pages := 0
	for _, s := range shares {
		if s.project < at.Project {
			continue
		}
		token := ""
		if s.project == at.Project {
			token = at.Token
		}
		for found := 0; found < len(s.names); pages++ {
			if len(l.items) >= size || pages >= maxPages {
				return &place{s.project, token}
			}
			n, next, f := l.page(s, token, size-len(l.items))
			if f != nil {
				l.failed = cmp.Or(l.failed, f)
				break
			}
			l.good = true
			found += n
			if token = next; token == "" {
				break
			}
		}
	}
	return nil
}

// page asks one project for one page and takes what is the user's.
func (l *nativeList) page(s *share, token string, size int) (found int, next string, f *translate.Failure) {
	query := url.Values{"pageSize": {strconv.Itoa(size)}}
	if token != "" {
		query.Set("pageToken", token)
	}
	x := l.x
	body, f := x.aside(&translate.Call{Method: http.MethodGet, Path: "/" + x.rt.version + "/" + l.kind, Query: query.Encode()}, &s.bound)
	if f != nil {
		if x.rt.version != "v1beta" && versionLacks(f) {
			x.rt.version = "v1beta"
			return l.page(s, token, size)
		}
		return 0, "", f
	}
	doc, err := rawjson.Parse(body)
	if err != nil {
		return 0, "", failure(translate.Unreadable(err, len(body)))
	}
	x.bound = s.bound
	for key, list := range doc.Members() {
		if list.Kind() != rawjson.Array {
			continue
		}
		l.member = key.Text()
		for _, item := range list.Elems() {
			if !s.names[l.name(item)] {
				continue
			}
			found++
			l.items = append(l.items, item)
			if f := x.results(item); f != nil {
				return 0, "", f
			}
		}
	}
	return found, doc.Get("nextPageToken").Text(), nil
}

func (l *nativeList) name(item rawjson.Value) string {
	if name := item.Get("name").Text(); name != "" {
		return name
	}
	return l.kind + "/" + item.Get("id").Text()
}

// body is the answer. An empty list is left out, as Google does.
func (l *nativeList) body(next *place) []byte {
	out := []byte{'{'}
	if len(l.items) > 0 {
		out = append(rawjson.AppendQuoted(out, l.member), ':', '[')
		out = append(append(out, bytes.Join(l.items, []byte{','})...), ']')
	}
	if next != nil {
		token, _ := json.Marshal(next) // strings have no errors
		if len(l.items) > 0 {
			out = append(out, ',')
		}
		out = append(out, `"nextPageToken":"`...)
		out = append(base64.RawURLEncoding.AppendEncode(out, token), '"')
	}
	return append(out, '}')
}

func parsePlace(token string) (at place, f *translate.Failure) {
	if token == "" {
		return at, nil
	}
	doc, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || json.Unmarshal(doc, &at) != nil {
		return at, translate.Invalid("pageToken", "The page token is not one of this list's.")
	}
	return at, nil
}

// wordy reports whether the errors of an endpoint have words for codes.
func (rt *route) wordy() bool {
	kind, _, _ := strings.Cut(rt.name, "/")
	switch kind {
	case "interactions", "environments", "voices", "agents", "credentials", "webhooks", "triggers":
		return rt.dialect == Gemini
	}
	return false
}

// nativeFailure words a failure for a native request without a converter.
func (rt *route) nativeFailure(f *translate.Failure) translate.Answer {
	if rt.wordy() {
		return native.ErrorInWords(f)
	}
	a := native.Error(f)
	if rt.array {
		a.Body = append(append([]byte{'['}, a.Body...), ']')
	}
	return a
}
