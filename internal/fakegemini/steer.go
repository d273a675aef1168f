// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Break is a way in which an answer breaks.
type Break string

// The breaks. Those with a number happen after Steer.After events of a stream;
// an answer that is not streamed counts as one event.
const (
	Reset        Break = "reset"         // connection reset before the headers
	ResetHeaders Break = "reset_headers" // … after the headers
	ResetEvent   Break = "reset_event"   // … in the middle of event After+1
	Cut          Break = "cut"           // clean end after After events, no finishReason
	Hang         Break = "hang"          // silence before the headers, until the client leaves
	Silence      Break = "silence"       // silence after After events, until the client leaves
	ErrorEvent   Break = "error_event"   // after After events an error as an event
	ErrorBare    Break = "error_bare"    // after After events an error as bare JSON
	WrongLength  Break = "length"        // Content-Length is more than the body
)

// Steer says how an answer goes. The zero value is a plain success. In prompts
// every field has a directive: "[[status 503]]", "[[cut 3]]", "[[pace 10ms]]",
// "[[say Hello]]"; the names are those of [directives].
type Steer struct {
	Status      int    // answer with Google's error of this status; 200 with Body = that body
	Body        string // replaces the body
	ContentType string // of Body; "" = JSON
	HTML        bool   // the error is an HTML page
	Empty       bool   // 200 and not a byte
	ErrorIn200  bool   // 200, but the body is a 503 error object
	RetryInfo   time.Duration

	Break Break
	After int

	Delay  time.Duration // before the headers
	Hold   bool          // until [Server.Release]: before the headers, or a stream after After events
	Pace   time.Duration // between events
	Chunk  int           // bytes per write; 0 = one write per event
	Events int           // events of text; 0 = as it comes
	Size   int           // bytes of text in the answer, at least

	Text     string // what the model says
	Finish   string // finishReason
	Block    string // promptFeedback.blockReason, no candidates
	Calls    int    // number of function calls; 0 = as it comes
	Call     string // the one call, as `name {"arg": …}`, until it is answered; none where no such function is declared
	NoCalls  bool
	Thoughts int64 // thoughtsTokenCount; 0 = as it comes, negative = none
	Cached   int64 // cachedContentTokenCount

	Continue    int  // how often the answer ends early, with CONTINUATION and a token for the rest
	Checkpoints bool // events in the middle of a stream have such tokens too
	ServerTools int  // calls of built-in tools that the answer shows, with what they found
}

// directives are the words between [[ and ]]; n and d are the argument as a
// number and as a duration.
var directives = map[string]func(s *Steer, arg string, n int, d time.Duration){
	"status":        func(s *Steer, _ string, n int, _ time.Duration) { s.Status = n },
	"html":          func(s *Steer, _ string, n int, _ time.Duration) { s.Status, s.HTML = max(n, 400), true },
	"retry":         func(s *Steer, _ string, _ int, d time.Duration) { s.Status, s.RetryInfo = 429, d },
	"empty":         func(s *Steer, _ string, _ int, _ time.Duration) { s.Empty = true },
	"error200":      func(s *Steer, _ string, _ int, _ time.Duration) { s.ErrorIn200 = true },
	"delay":         func(s *Steer, _ string, _ int, d time.Duration) { s.Delay = d },
	"hold":          func(s *Steer, _ string, n int, _ time.Duration) { s.Hold, s.After = true, n },
	"pace":          func(s *Steer, _ string, _ int, d time.Duration) { s.Pace = d },
	"chunk":         func(s *Steer, _ string, n int, _ time.Duration) { s.Chunk = n },
	"events":        func(s *Steer, _ string, n int, _ time.Duration) { s.Events = n },
	"size":          func(s *Steer, _ string, n int, _ time.Duration) { s.Size = n },
	"say":           func(s *Steer, arg string, _ int, _ time.Duration) { s.Text = arg },
	"finish":        func(s *Steer, arg string, _ int, _ time.Duration) { s.Finish = arg },
	"block":         func(s *Steer, arg string, _ int, _ time.Duration) { s.Block = arg },
	"calls":         func(s *Steer, _ string, n int, _ time.Duration) { s.Calls = n },
	"call":          func(s *Steer, arg string, _ int, _ time.Duration) { s.Call = arg },
	"no_calls":      func(s *Steer, _ string, _ int, _ time.Duration) { s.NoCalls = true },
	"thoughts":      func(s *Steer, _ string, n int, _ time.Duration) { s.Thoughts = int64(n) },
	"cached":        func(s *Steer, _ string, n int, _ time.Duration) { s.Cached = int64(n) },
	"continue":      func(s *Steer, _ string, n int, _ time.Duration) { s.Continue = max(n, 1) },
	"checkpoints":   func(s *Steer, _ string, _ int, _ time.Duration) { s.Checkpoints = true },
	"server_tools":  func(s *Steer, _ string, n int, _ time.Duration) { s.ServerTools = max(n, 1) },
	"reset":         breakAs(Reset),
	"reset_headers": breakAs(ResetHeaders),
	"reset_event":   breakAs(ResetEvent),
	"cut":           breakAs(Cut),
	"hang":          breakAs(Hang),
	"silence":       breakAs(Silence),
	"error_event":   breakAs(ErrorEvent),
	"error_bare":    breakAs(ErrorBare),
	"length":        breakAs(WrongLength),
}

func breakAs(b Break) func(*Steer, string, int, time.Duration) {
	return func(s *Steer, _ string, n int, _ time.Duration) { s.Break, s.After = b, n }
}

var directive = regexp.MustCompile(`\[\[([a-z_0-9]+)(?: ([^\]]*))?\]\]`)

// read follows the directives in a text.
func (s *Steer) read(text string) {
	if !strings.Contains(text, "[[") {
		return
	}
	for _, m := range directive.FindAllStringSubmatch(text, -1) {
		s.follow(m[1], m[2])
	}
}

func (s *Steer) follow(word, arg string) {
	f, ok := directives[word]
	if !ok {
		return
	}
	n, _ := strconv.Atoi(arg)           // words are no numbers
	d, _ := time.ParseDuration(arg)     // numbers are no durations
	f(s, arg, min(n, math.MaxInt32), d) // each directive takes what it means
}

// readModel follows a model id such as fake-503, fake-hang or fake-cut-3.
func (s *Steer) readModel(id string) {
	words, ok := strings.CutPrefix(id, "fake-")
	if !ok {
		return
	}
	word, arg, _ := strings.Cut(words, "-")
	if n, err := strconv.Atoi(word); err == nil {
		s.Status = n
		return
	}
	s.follow(word, arg)
}

// Rule steers the answers to the requests that match it.
type Rule struct {
	Key, Project, Model, Method string    // "" = any; Method as in [Entry], "" = those that cost quota
	Skip                        int       // leaves the first so many alone
	Times                       int       // then applies so often; 0 = from then on
	Chance                      float64   // of applying, by Config.Seed; 0 = always
	From, Until                 time.Time // by Config.Now; zero = always
	Steer                       Steer
}

type script struct {
	Rule
	seen, applied int
}

// Script adds rules; of several that match, the last added one counts. They act
// on requests that got past the key check, before quota is counted. The returned
// function takes them back.
func (s *Server) Script(rules ...Rule) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	added := map[*script]bool{}
	for _, r := range rules {
		sc := &script{Rule: r}
		s.scripts = append(s.scripts, sc)
		added[sc] = true
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		var kept []*script
		for _, sc := range s.scripts {
			if !added[sc] {
				kept = append(kept, sc)
			}
		}
		s.scripts = kept
	}
}

// steering finds the rule for a request, if any.
func (x *exchange) steering() (Steer, bool) {
	s, e := x.s, x.e
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range slices.Backward(s.scripts) {
		if r.Key != "" && r.Key != e.Key || r.Project != "" && r.Project != e.Project ||
			r.Model != "" && r.Model != e.Model || r.Method != e.Method && (r.Method != "" || !costs[e.Method]) {
			continue
		}
		if e.At.Before(r.From) || !r.Until.IsZero() && !e.At.Before(r.Until) {
			continue
		}
		if r.seen++; r.seen <= r.Skip || r.Times > 0 && r.applied >= r.Times {
			continue
		}
		if r.Chance > 0 && x.random().Float64() >= r.Chance {
			continue
		}
		r.applied++
		return r.Steer, true
	}
	return Steer{}, false
}

// ParseSteer reads directives, as they stand in a prompt.
func ParseSteer(text string) (s Steer) {
	s.read(text)
	return s
}
