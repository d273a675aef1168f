// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"cmp"
	"sync/atomic"
	"time"
)

// Status is what an operator wants to know of a key at a glance: its state, and
// where that is active, whether anything can be had of it now. Source: specs/ui.md
// §3.4.
type Status string

// The statuses.
const (
	StatusUntested  Status = "untested"
	StatusActive    Status = "active"
	StatusCooling   Status = "cooling"   // rests, or does for all models that it was used for today
	StatusExhausted Status = "exhausted" // likewise, and for one at least until the next Pacific day
	StatusInvalid   Status = "invalid"   // Google refuses it: invalid, leaked, suspended or misconfigured
	StatusDisabled  Status = "disabled"
)

// Statuses are all statuses, those of use first.
var Statuses = []Status{StatusActive, StatusUntested, StatusCooling, StatusExhausted, StatusInvalid, StatusDisabled}

// The places in Statuses.
const (
	isActive uint8 = iota
	isUntested
	isCooling
	isExhausted
	isInvalid
	isDisabled
	isNone // no key
)

// status is the status that follows from the state alone.
func (s State) status() uint8 {
	switch s {
	case StateActive:
		return isActive
	case StateUntested:
		return isUntested
	case StateDisabled:
		return isDisabled
	default: // Google refuses it
		return isInvalid
	}
}

// condition is a key's status and what explains it.
type condition struct {
	status uint8
	rest   *rest     // why it is cooling or exhausted; nil otherwise
	until  time.Time // when that is over; zero otherwise
}

// condition judges a key. Rests end lazily: one whose time is over does not count.
// Under p.mu.
func (p *Pool) condition(e *entry, now time.Time) condition {
	l := e.live.Load()
	if l.state != StateActive {
		return condition{status: l.state.status()}
	}
	t := l.project
	if r := longer(now, e.rest, t.rest, p.routeRest(e), t.overspent()); r != nil {
		return ofRest(r)
	}
	var first, day *rest
	for _, q := range t.quotas {
		m := q.model
		own := m.rests[t]
		if own.holds() && own.kind == NotAvailable && own.until.After(now) {
			continue // nothing that it was of use for
		}
		var books *rest
		if !q.soft {
			books = q.fill
		}
		r := longer(now, own, books)
		switch {
		case r == nil && q.usedToday(now):
			return condition{status: isActive}
		case r == nil:
			continue
		case first == nil || r.until.Before(first.until):
			first = r
		}
		if r.kind == ExhaustedForDay && (day == nil || r.until.Before(day.until)) {
			day = r
		}
	}
	switch {
	case first == nil:
		return condition{status: isActive}
	case first.kind != ExhaustedForDay && day != nil:
		c := ofRest(first)
		c.status = isExhausted
		return c
	}
	return ofRest(first)
}

func ofRest(r *rest) condition {
	c := condition{status: isCooling, rest: r, until: r.until}
	if r.kind == ExhaustedForDay {
		c.status = isExhausted
	}
	return c
}

// longer returns the rest in force that lasts longest; nil for none.
func longer(now time.Time, rests ...*rest) *rest {
	var longest *rest
	for _, r := range rests {
		if r.holds() && r.until.After(now) && (longest == nil || r.until.After(longest.until)) {
			longest = r
		}
	}
	return longest
}

// usedToday reports whether the project has had requests of the Pacific day.
func (q *quota) usedToday(now time.Time) bool {
	return q.days.Load() > 0 && q.daysUntil.Load() > now.Unix()
}

// statusTable has the status of each key. It never changes once published, and is
// made anew where something changed since.
type statusTable struct {
	version uint64    // Pool.version that it is of
	news    uint64    // Pool.news.seq likewise
	taken   time.Time // when it was begun
	good    time.Time // until when it will do although rests began or ended since
	back    time.Time // when the first of the rests in it ends; zero for never
	status  []uint8   // by slot
}

// statusTable returns the status of all keys, as they are now, or in a large pool
// where rests come and go, as they were a moment ago. What an operator changed
// and what Google said of keys is always in it. Picks are not held up.
func (p *Pool) statusTable() *statusTable {
	if t := p.statuses.Load(); t != nil && p.upToDate(t) {
		return t
	}
	p.statusesMu.Lock()
	defer p.statusesMu.Unlock()
	if t := p.statuses.Load(); t != nil && p.upToDate(t) {
		return t
	}
	t := p.makeStatusTable()
	p.statuses.Store(t)
	return t
}

func (p *Pool) upToDate(t *statusTable) bool {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Before(t.taken) || t.news != p.news.seq {
		return false
	}
	return t.version == p.version && (t.back.IsZero() || now.Before(t.back)) || now.Before(t.good)
}

func (p *Pool) makeStatusTable() *statusTable {
	p.mu.Lock()
	t := &statusTable{version: p.version, news: p.news.seq, taken: p.now()}
	p.mu.Unlock()
	slots := *p.slots.Load()
	t.status = make([]uint8, len(slots))
	open, untested, blocked := p.open.view(), p.untested.view(), p.blockedWords(len(slots)/64)
	for i := 0; i < len(slots); i += explained {
		part := slots[i:min(i+explained, len(slots))]
		t.fill(p, i, part, open, untested, blocked)
	}
	if now := p.now(); len(slots) > fewEntries {
		t.good = now.Add(min(staleness*now.Sub(t.taken), time.Second))
	}
	return t
}

// fill judges the keys of some slots. Those that may be used and are out for no
// model need no look at themselves.
func (t *statusTable) fill(p *Pool, from int, part []atomic.Pointer[entry], open, untested []atomic.Uint64, blocked []uint64) {
	locked := false
	for i := range part {
		slot := from + i
		w, bit := slot/64, uint64(1)<<(slot%64)
		switch {
		case part[i].Load() == nil:
			t.status[slot] = isNone
			continue
		case word(untested, w)&bit != 0:
			t.status[slot] = isUntested
			continue
		case word(open, w)&bit != 0 && blocked[w]&bit == 0:
			t.status[slot] = isActive
			continue
		}
		if !locked {
			p.mu.Lock()
			defer p.mu.Unlock()
			locked = true
		}
		e := part[i].Load()
		if e == nil {
			t.status[slot] = isNone
			continue
		}
		c := p.condition(e, t.taken)
		t.status[slot] = c.status
		if !c.until.IsZero() && (t.back.IsZero() || c.until.Before(t.back)) {
			t.back = c.until
		}
	}
}

// blockedWords are the keys that are out for some model.
func (p *Pool) blockedWords(n int) []uint64 {
	any := make([]uint64, n+1)
	for _, m := range *p.models.Load() {
		for i, words := 0, m.blocked.view(); i < min(len(words), len(any)); i++ {
			any[i] |= words[i].Load()
		}
	}
	return any
}

// of returns the status of a slot's key.
func (t *statusTable) of(p *Pool, e *entry) uint8 {
	if e.slot < len(t.status) && t.status[e.slot] != isNone {
		return t.status[e.slot]
	}
	return e.live.Load().state.status() // it came since
}

// View is a key with its status, for operators.
type View struct {
	Key
	Status Status    `json:"status"`
	Reason string    `json:"reason"`         // why it has it, in one redacted line; "" where there is nothing to say
	Until  time.Time `json:"until,omitzero"` // when it will be over; zero for nobody knows
	// Quota is the fullest of the days of its models whose limit is known, else of the
	// one most used; nil where none was used today.
	Quota *DayQuota `json:"quota"`
}

// DayQuota is what was used of a day.
type DayQuota struct {
	Model  string `json:"model"`
	Used   int64  `json:"used"`
	Limit  *int64 `json:"limit"` // nil for unknown
	Source string `json:"source,omitempty"`
}

// View returns the key with this id and its status.
func (p *Pool) View(id string) (View, bool) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.byID[id]
	if e == nil {
		return View{}, false
	}
	return p.view(e, now), true
}

// view is the key for operators. Under p.mu.
func (p *Pool) view(e *entry, now time.Time) View {
	c := p.condition(e, now)
	v := View{Key: e.key(), Status: Statuses[c.status], Until: c.until}
	v.Quota, _ = p.fullest(e, now)
	if e.declared != nil {
		v.Locked = e.declared.fields()
	}
	v.Reason = v.StateReason
	if c.rest != nil {
		v.Reason = c.rest.why
		if c.rest.reason != "" {
			v.Reason += ": " + c.rest.reason
		}
		v.Advice = cmp.Or(restHints[c.rest.why], v.Advice)
	}
	return v
}

// fullest is the day of the project's models that is nearest its end, and what days
// are compared by: above 1 for one whose limit is known. Under p.mu.
func (p *Pool) fullest(e *entry, now time.Time) (best *DayQuota, share float64) {
	for _, q := range e.live.Load().project.quotas {
		m := q.model
		q.mu.Lock()
		u := q.counts(now, p.aligned())
		w := q.rpd.window(u.today, now, p.limits.since)
		q.mu.Unlock()
		if w.Used == 0 {
			continue
		}
		s := float64(w.Used) / 1e12 // without a limit, how much was used decides
		if w.Limit != nil {
			s = 1 + float64(w.Used)/float64(max(*w.Limit, 1))
		}
		if best == nil || s > share || s == share && m.name < best.Model {
			best, share = &DayQuota{m.name, w.Used, w.Limit, w.Source}, s
		}
	}
	return best, share
}

// Status is the status that follows from the state alone.
func (s State) Status() Status { return Statuses[s.status()] }
