// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// ExplainQuery is a would-be request, of no conversation, and which page of the
// answer is wanted.
type ExplainQuery struct {
	Model    string   // as in [Want]
	Tags     []string // as in [Want]
	PaidOnly bool
	Tokens   int64    // input tokens that it is taken for
	Standing Standing // only keys with this standing; "" for all
	Limit    int      // 0 means 100
	Offset   int
}

// Standing says in a word how a key stands to a request. The states that keep a
// key out of service are standings, too.
type Standing string

// The standings, in the order in which keys are tried; from StandsExploring on
// they are out.
const (
	StandsReady        Standing = "ready"
	StandsSecond       Standing = "second_choice" // has had as much as other projects may have; how much it may have is not known
	StandsProbePending Standing = "probe_pending" // Google was not asked about it yet; those it knows go first
	StandsTried        Standing = "being_tried"   // untested, and another request finds out
	StandsExploring    Standing = "exploring"     // second choice, and others find out how much it may have
	StandsNoRoom       Standing = "no_room"       // the request has more tokens than are left of the minute
	StandsFull         Standing = "full"          // a window is full by our own count
	StandsCooling      Standing = "cooling"       // rests until a deadline
	StandsExhausted    Standing = "exhausted"     // rests until the next Pacific day
	StandsRoute        Standing = "route_resting" // its egress route rests
	StandsUnavailable  Standing = "unavailable"   // the model is not for its project
	StandsLacksModel   Standing = "lacks_model"   // Google's list for the key has no such model
	StandsWrongTag     Standing = "wrong_tag"     // has none of the tags that are asked for
	StandsUnpaid       Standing = "unpaid"        // paid keys are asked for
)

// Standings are all standings in their order.
var Standings = []Standing{
	StandsReady, StandsSecond, StandsProbePending, StandsTried, StandsExploring, StandsNoRoom, StandsFull, StandsCooling,
	StandsExhausted, StandsRoute, StandsUnavailable, StandsLacksModel, Standing(StateInvalid), Standing(StateLeaked),
	Standing(StateSuspended), Standing(StateMisconfigured), Standing(StateDisabled), StandsWrongTag, StandsUnpaid,
}

// Explanation tells which keys a request may get, in which order, and why not the
// others. It is no picture of one moment: while it was made, requests went on.
type Explanation struct {
	At         time.Time
	Strategy   string
	Candidates []Candidate      // the page: those to be tried first at the top
	Total      int              // keys with the standing that was asked for
	Counts     map[Standing]int // all keys; standings of none are left out
	Forecast   Forecast         // for requests like this one
}

// Candidate is a key as a request finds it.
type Candidate struct {
	KeyID    string   `json:"key_id"`
	Name     string   `json:"name,omitempty"`
	Project  string   `json:"project"` // for a project of the key's own, the key's id
	State    State    `json:"state"`
	Standing Standing `json:"standing"`
	// Rank is the place in the order of trying, from 1; 0 for a key that is out. The
	// strategies compare samples of large pools, so that it need not be the next.
	Rank   int       `json:"rank"`
	Why    string    `json:"why,omitempty"`    // in a few words, for a key that is not ready
	Reason string    `json:"reason,omitempty"` // what Google said: one redacted line
	Hint   string    `json:"hint,omitempty"`   // what the operator can do
	Until  time.Time `json:"until,omitzero"`   // when that is over
	Rest   *Rest     `json:"rest,omitempty"`   // the one that lasts longest
	Score  Score     `json:"score"`
	RPM    Window    `json:"rpm"`
	TPM    Window    `json:"tpm"`
	RPD    Window    `json:"rpd"`
	// Spend is in nano-USD in ten minutes, of all models of the project; nil where
	// nobody asks for it.
	Spend *Window `json:"spend,omitempty"`
}

// Score has the parts of what a key is chosen by; see the strategies.
type Score struct {
	Measure     float64 `json:"measure"` // of the strategy in force: the least is tried first
	Cost        float64 `json:"cost"`    // of adaptive, whatever is in force
	InFlight    int32   `json:"in_flight"`
	Today       int64   `json:"today"`       // requests of the project for the model
	Slowness    float64 `json:"slowness"`    // 1 for not slow
	Room        float64 `json:"room"`        // free share of the fullest window
	Reliability float64 `json:"reliability"` // share of attempts that will not fail, as far as known
	Weight      int     `json:"weight"`
	Paid        bool    `json:"paid"`
}

// explained is how many keys Explain looks at before it lets others have the lock.
const explained = 512

// Explain tells what would become of a request. It only reads: no key, deadline
// or turn changes by it. It looks at all keys, but holds up no request for long.
func (p *Pool) Explain(q ExplainQuery) Explanation {
	if q.Limit <= 0 {
		q.Limit = pageSize
	}
	q.Offset = max(q.Offset, 0)
	q.Model = strings.TrimPrefix(q.Model, "models/")
	x := p.inquire(q.Model, q.Tags, q.PaidOnly, q.Tokens)
	out := Explanation{At: x.now.UTC(), Strategy: x.strategy, Counts: map[Standing]int{}}
	var found []ranked
	counts := make([]int, len(Standings))
	for e := range x.keys() {
		v := x.view(e)
		counts[v.order]++
		if e.firstOf(v.project) {
			x.outlook(v.project)
		}
		if s := Standings[v.order]; q.Standing == "" || s == q.Standing {
			found = append(found, ranked{e, int32(v.order), v.measure})
		}
	}
	for i, n := range counts {
		if n > 0 {
			out.Counts[Standings[i]] = n
		}
	}
	slices.SortFunc(found, ranked.compare)
	out.Total, out.Forecast = len(found), x.forecast
	end := min(q.Offset+q.Limit, len(found))
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range found[min(q.Offset, len(found)):end] {
		c := x.candidate(r.entry)
		if c.Standing.tries() {
			c.Rank = q.Offset + i + 1
			if q.Standing != "" {
				c.Rank += before(out.Counts, q.Standing)
			}
		}
		out.Candidates = append(out.Candidates, c)
	}
	return out
}

// tries reports whether a request may get a key with this standing.
func (s Standing) tries() bool {
	return s == StandsReady || s == StandsSecond || s == StandsProbePending || s == StandsTried
}

// before counts the keys whose standing goes before s.
func before(counts map[Standing]int, s Standing) (n int) {
	for _, other := range Standings {
		if other == s {
			break
		}
		n += counts[other]
	}
	return n
}

// ranked is a key in the order of trying.
type ranked struct {
	entry   *entry
	order   int32 // in Standings
	measure float64
}

func (r ranked) compare(other ranked) int {
	return cmp.Or(cmp.Compare(r.order, other.order), cmp.Compare(r.measure, other.measure), cmp.Compare(r.entry.slot, other.entry.slot))
}

// inquiry looks at keys without changing anything.
type inquiry struct {
	pool     *Pool
	lane     *lane
	tagged   bool
	tokens   int64
	now      time.Time
	aligned  bool
	strategy string
	c        candidates
	forecast Forecast
}

// inquire begins an inquiry. A model or a kind of request that nobody asked for
// yet is not made for it.
func (p *Pool) inquire(name string, tags []string, paid bool, tokens int64) *inquiry {
	x := &inquiry{pool: p, tokens: tokens, now: p.now(), aligned: p.aligned(), tagged: len(tags) > 0}
	s := *p.strategy.Load()
	for known, strategy := range strategies {
		if strategy == s {
			x.strategy = known
		}
	}
	m := (*p.models.Load())[name]
	p.mu.Lock()
	defer p.mu.Unlock()
	if m == nil {
		m = &model{name: name, rests: map[*project]*rest{}}
		p.relist(m)
	}
	// A lane of its own: turns belong to the real one.
	x.lane = &lane{model: m, passing: true}
	x.lane.cursor.Store(m.plain.cursor.Load())
	if real := m.find(slices.Sorted(slices.Values(tags)), paid); real != nil {
		x.lane.cursor.Store(real.cursor.Load())
	}
	if paid {
		x.lane.paid = &p.paid
	}
	for _, t := range tags {
		b := p.tags[t]
		if b == nil {
			b = new(bitmap)
		}
		x.lane.marks = append(x.lane.marks, b)
	}
	x.c = candidates{pool: p, lane: x.lane, now: x.now}
	x.forecast = Forecast{Model: name, Resets: pacificMidnight(x.now).UTC()}
	return x
}

// keys yields all keys under p.mu, which it gives away now and then. Keys that
// come or go meanwhile may be missed.
func (x *inquiry) keys() func(yield func(*entry) bool) {
	return func(yield func(*entry) bool) {
		for from := 0; ; from += explained {
			slots := *x.pool.slots.Load()
			if from >= len(slots) || !x.some(slots[from:min(from+explained, len(slots))], yield) {
				return
			}
		}
	}
}

func (x *inquiry) some(slots []atomic.Pointer[entry], yield func(*entry) bool) bool {
	x.pool.mu.Lock()
	defer x.pool.mu.Unlock()
	for i := range slots {
		if e := slots[i].Load(); e != nil && !yield(e) {
			return false
		}
	}
	return true
}

// firstOf reports whether e stands for its project where each is looked at once.
func (e *entry) firstOf(t *project) bool { return len(t.keys) > 0 && t.keys[0] == e }

// keyView is how a key stands.
type keyView struct {
	order   int // in Standings
	project *project
	rest    *rest    // why it is out; nil for other reasons
	fill    *rest    // why it is full, where that is about what the project spends
	stands  standing // of its quota
	measure float64
}

// view judges a key. Under p.mu.
func (x *inquiry) view(e *entry) keyView {
	v := keyView{project: e.live.Load().project}
	s := x.stand(e, &v)
	v.order = slices.Index(Standings, s)
	if s.tries() {
		v.measure = (*x.pool.strategy.Load()).measure(x.c, e)
	}
	return v
}

// stand finds the standing: what keeps a key out for longest first. Under p.mu.
func (x *inquiry) stand(e *entry, v *keyView) Standing {
	p, m, state := x.pool, x.lane.model, e.live.Load().state
	switch {
	case x.tagged && !x.marked(e):
		return StandsWrongTag
	case x.lane.paid != nil && !e.spec.Load().paid:
		return StandsUnpaid
	case !state.leasable():
		return Standing(state)
	case p.lacks(e, m):
		return StandsLacksModel
	}
	if v.rest = x.rest(e); v.rest != nil {
		switch {
		case v.rest.scope == ScopeRoute:
			return StandsRoute
		case v.rest.kind == NotAvailable:
			return StandsUnavailable
		case v.rest.kind == ExhaustedForDay:
			return StandsExhausted
		}
		return StandsCooling
	}
	if r := v.project.overspent(); r.holds() && r.until.After(x.now) {
		v.fill = r
		return StandsFull
	}
	if q := m.quota(e.slot); q != nil && m.name != "" {
		stands, fits := q.look(x.now, x.tokens, x.aligned)
		v.stands = stands
		switch {
		case !stands.until.IsZero() && !stands.soft:
			return StandsFull
		case stands.gated:
			return StandsExploring
		case !fits:
			return StandsNoRoom
		}
	}
	switch {
	case p.awaited(e):
		return StandsProbePending
	case e.unproven():
		return StandsTried
	case !v.stands.until.IsZero():
		return StandsSecond
	}
	return StandsReady
}

func (x *inquiry) marked(e *entry) bool {
	return slices.ContainsFunc(x.lane.marks, func(b *bitmap) bool { return b.has(e.slot) })
}

// rest returns the rest that keeps a key out for longest and that Google asked
// for; nil for none. Rests end lazily: one whose time is over does not count.
// Under p.mu.
func (x *inquiry) rest(e *entry) *rest {
	var longest *rest
	m, t := x.lane.model, e.live.Load().project
	for _, r := range [...]*rest{e.rest, t.rest, m.rests[t], m.rest, x.pool.routeRest(e)} {
		if r.holds() && r.until.After(x.now) && (longest == nil || r.until.After(longest.until)) {
			longest = r
		}
	}
	return longest
}

// candidate words the view of a key. Under p.mu.
func (x *inquiry) candidate(e *entry) Candidate {
	v := x.view(e)
	s, l := e.spec.Load(), e.live.Load()
	c := Candidate{
		KeyID: e.id, Name: s.name, Project: v.project.id, State: l.state, Standing: Standings[v.order],
		Reason: l.reason, Hint: hint(*e.secret, l.state, l.reason),
		Score: Score{
			Measure: v.measure, Cost: adaptive{}.measure(x.c, e), InFlight: e.inFlight.Load(), Slowness: 1, Room: 1, Reliability: 1,
			Weight: s.weight, Paid: s.paid,
		},
	}
	c.Why = whys[c.Standing]
	switch {
	case c.Standing == StandsLacksModel && !s.serves(x.lane.model.name):
		c.Why = notAllowed
	case v.rest != nil:
		rest := v.rest.public()
		c.Rest, c.Until, c.Why, c.Reason = &rest, v.rest.until, v.rest.why, v.rest.reason
		c.Hint = cmp.Or(restHints[v.rest.why], c.Hint)
	case v.fill != nil:
		c.Until, c.Why = v.fill.until, v.fill.why
	case c.Standing == StandsExploring && v.stands.half:
		c.Why = brokenDown + ", and another request finds out whether they still do"
	case c.Standing == StandsSecond && v.stands.day:
		c.Why = dayByBooks + ", of which Google may not have counted all"
	case c.Standing == StandsFull:
		c.Until, c.Why = v.stands.until, minuteByBooks
		if v.stands.day {
			c.Why = dayByBooks
		}
	}
	if q := x.lane.model.quota(e.slot); q != nil {
		q.tell(&c, x)
	} else {
		c.RPM, c.TPM, c.RPD = x.pool.windowsOf(v.project, x.lane.model)
	}
	c.Spend = v.project.spends(x.now, x.pool.limits.since)
	return c
}

// notAllowed words why a key does not serve a model that Google may offer it.
const notAllowed = "an operator lets it serve other models only"

// whys words the standings that no state, rest or count explains.
var whys = map[Standing]string{
	StandsSecond:       "has had as much as other projects may have in a minute; its own limit is not known",
	StandsProbePending: "Google was not asked about it yet",
	StandsTried:        "untested, and another request is trying it",
	StandsExploring:    "other requests are finding out how much it may have",
	StandsNoRoom:       "the request has more tokens than are left of the minute",
	StandsLacksModel:   "Google's list of models for this key lacks the model",
	StandsWrongTag:     "has none of the tags",
	StandsUnpaid:       "is not marked as paid",
}
