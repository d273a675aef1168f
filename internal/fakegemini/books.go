// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Entry is what the books have of one request.
type Entry struct {
	N          int       // from 1, in the order of arrival
	At, End    time.Time // by the Config's clock; End is zero while it runs
	Decided    time.Time // when it was counted against its quotas, or refused
	Key        string    // secret in x-goog-api-key
	Project    string
	Model      string // id as it was asked for
	Method     string // generateContent, models.list, files.start, files.upload, …
	HTTPMethod string
	Path       string
	Query      string
	Proto      string
	Remote     string      // client's address and port: one per connection
	Header     http.Header // nil with Config.Brief, as is Body
	Body       []byte
	Prompt     string    // the first bytes of the last user text
	Tokens     int64     // of the prompt
	Cached     int64     // of them, those that the project had seen before
	Cacheable  int64     // …, those that any project had: what one project for all would have cached
	Until      time.Time // of a 429 for quota: when there is room again, exactly; for a day that is midnight
	Status     int       // answered; 0 = the connection was cut before any
	Bytes      int64     // of the answer's body
	Note       string    // why it was not a plain success, for people
	Charged    bool      // it counted against the quotas
	Charge     Charge    // what it cost
	Attempt    bool      // a call that costs quota where the key is good
	Canceled   bool      // the client left before the end
	CanceledAt time.Time
}

// Violation is something a gateway must never do.
type Violation struct {
	N     int // of the entry
	Kind  string
	Since time.Duration // since the client was told, 0 where it was not; requests under way cross the telling by milliseconds
	Text  string
}

// The kinds of violations.
const (
	WrongPlace = "wrong_place" // a credential outside x-goog-api-key
	DeadKey    = "dead_key"    // an attempt with a key after it was told to be dead
	Early      = "early"       // an attempt before the time that a 429 announced
	EarlyAgain = "early_again" // the second and further ones of those
	Foreign    = "foreign"     // a file named to a project that does not have it, while another one does
)

// books are safe for concurrent use.
type books struct {
	mu         sync.Mutex
	max, n     int // entries to hold, 0 = all; entries so far
	entries    []*Entry
	violations []Violation
	changed    chan struct{} // closed and replaced at each change
}

func (b *books) open(e *Entry) *Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	e.N = b.n
	b.entries = append(b.entries, e)
	if b.max > 0 && len(b.entries) > b.max {
		b.entries[0] = nil // the slice's start stays in memory until it grows
		b.entries = b.entries[1:]
	}
	b.signal()
	return e
}

// update changes an entry under the lock that readers take.
func (b *books) update(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	b.signal()
}

func (b *books) signal() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

func (b *books) violate(n int, kind string, since time.Duration, format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.violations = append(b.violations, Violation{N: n, Kind: kind, Since: since, Text: fmt.Sprintf(format, args...)})
}

// Entries returns copies of the entries that match every filter, in order of
// arrival. Headers and bodies are shared: read only.
func (s *Server) Entries(filters ...Filter) []Entry {
	s.books.mu.Lock()
	defer s.books.mu.Unlock()
	var out []Entry
	for _, e := range s.books.entries {
		if !slices.ContainsFunc(filters, func(f Filter) bool { return !f(e) }) {
			out = append(out, *e)
		}
	}
	return out
}

// Count is the number of entries that match every filter.
func (s *Server) Count(filters ...Filter) int { return len(s.Entries(filters...)) }

// Violations returns what was done that must never be done.
func (s *Server) Violations(kinds ...string) []Violation {
	s.books.mu.Lock()
	defer s.books.mu.Unlock()
	var out []Violation
	for _, v := range s.books.violations {
		if len(kinds) == 0 || slices.Contains(kinds, v.Kind) {
			out = append(out, v)
		}
	}
	return out
}

// Forget empties the books; quotas and scripts stay.
func (s *Server) Forget() {
	s.books.update(func() { s.books.entries, s.books.violations = nil, nil })
}

// Wait blocks until n entries match, or timeout has passed by the real clock.
// It reports whether they do.
func (s *Server) Wait(timeout time.Duration, n int, filters ...Filter) bool {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for {
		s.books.mu.Lock()
		if s.books.changed == nil {
			s.books.changed = make(chan struct{})
		}
		changed := s.books.changed
		s.books.mu.Unlock()
		if s.Count(filters...) >= n {
			return true
		}
		select {
		case <-changed:
		case <-deadline.C:
			return s.Count(filters...) >= n
		}
	}
}

// Filter selects entries.
type Filter func(*Entry) bool

// ByKey selects the requests with a key.
func ByKey(secret string) Filter { return func(e *Entry) bool { return e.Key == secret } }

// ByProject selects the requests with any key of a project.
func ByProject(name string) Filter { return func(e *Entry) bool { return e.Project == name } }

// ByModel selects the requests to a model, by the id they named.
func ByModel(id string) Filter { return func(e *Entry) bool { return e.Model == id } }

// ByMethod selects by [Entry].Method.
func ByMethod(method string) Filter { return func(e *Entry) bool { return e.Method == method } }

// ByStatus selects by the status that was answered.
func ByStatus(status int) Filter { return func(e *Entry) bool { return e.Status == status } }

// Since selects the requests that arrived at t or later.
func Since(t time.Time) Filter { return func(e *Entry) bool { return !e.At.Before(t) } }

// Done selects what has ended.
func Done(e *Entry) bool { return !e.End.IsZero() }

// Attempts selects the calls that cost quota where the key is good.
func Attempts(e *Entry) bool { return e.Attempt }

// CanceledByClient selects what the client left before its end.
func CanceledByClient(e *Entry) bool { return e.Canceled }
