// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"fmt"
	"strings"
	"time"
)

// queueFull is what a request is told when too many wait already.
const queueFull = "All Gemini keys rest, and too many requests wait for one already."

// staleness is how much longer a census of many keys may be used than it took,
// so that counting never takes more than a twentieth of the time.
const (
	staleness  = 20
	fewEntries = 2000
)

// census counts what the keys of a lane are doing. Guarded by Pool.mu.
type census struct {
	version uint64
	taken   time.Time
	good    time.Time // the last moment at which it may be used although something changed

	keys        int
	dead        map[State]int
	deads       int
	ready       int
	exploring   int // ready for the requests that find out how much they may have, and for no more
	cooling     int
	exhausted   int
	unavailable int

	// The nearest deadline, of unavailable ones only where all are.
	back time.Time
	why  string
}

// survey counts the keys of a lane, or returns the count taken before if nothing
// changed since.
func (p *Pool) survey(l *lane, now time.Time) *census {
	c := &l.census
	if !c.taken.IsZero() && (c.version == p.version || c.ready+c.exploring == 0 && now.Before(c.good)) && (c.back.IsZero() || c.back.After(now)) {
		return c
	}
	*c = census{version: p.version, taken: now, dead: map[State]int{}}
	slots := *p.slots.Load()
	filtered := l.paid != nil || l.marks != nil
	var nearest [2]*rest // of those that come back by themselves, and of the unavailable ones
	for i := range slots {
		if filtered && l.filter(i/64)&(1<<(i%64)) == 0 {
			continue
		}
		e := slots[i].Load()
		if e == nil {
			continue
		}
		c.keys++
		if p.lacks(e, l.model) && e.live.Load().state.leasable() {
			c.unavailable++
			c.why = why[ModelMissing]
			continue
		}
		if s := e.live.Load().state; !s.leasable() {
			c.dead[s]++
			c.deads++
			continue
		}
		r := p.longest(e, l.model)
		if r == nil {
			q := l.model.quota(e.slot)
			if q == nil || !q.gated {
				c.ready++
				continue
			}
			c.exploring++
			if q.fill.holds() && (nearest[0] == nil || q.fill.until.Before(nearest[0].until)) {
				nearest[0] = q.fill
			}
			continue
		}
		at := 0
		switch r.kind {
		case ExhaustedForDay:
			c.exhausted++
		case NotAvailable:
			c.unavailable++
			at = 1
		default:
			c.cooling++
		}
		if nearest[at] == nil || r.until.Before(nearest[at].until) {
			nearest[at] = r
		}
	}
	for _, r := range nearest {
		if r != nil {
			c.back, c.why = r.until, r.why
			break
		}
	}
	if c.keys > fewEntries {
		c.good = now.Add(min(staleness*p.now().Sub(now), time.Second))
	}
	return c
}

// longest returns the rest that keeps a key from a model for the longest; nil if
// it is ready.
func (p *Pool) longest(e *entry, m *model) *rest {
	var longest *rest
	project := e.live.Load().project
	var books *rest
	if q := m.quota(e.slot); q != nil && !q.soft {
		books = q.fill
	}
	for _, r := range [...]*rest{e.rest, project.rest, m.rests[project], m.rest, p.routeRest(e), project.overspent(), books} {
		if r.holds() && (longest == nil || r.until.After(longest.until)) {
			longest = r
		}
	}
	return longest
}

func (p *Pool) routeRest(e *entry) *rest {
	if len(p.routes) == 0 {
		return nil
	}
	return p.routes[e.proxy()]
}

// hopeless returns why w need not wait, or nil if a key will be there in time. t
// may be nil.
func (p *Pool) hopeless(w *waiter, t *turn, now time.Time) *Unavailable {
	if u := p.oversized(w.lane, &w.want, now); u != nil {
		return u
	}
	c := p.survey(w.lane, now)
	switch {
	case c.ready > 0 && (!w.want.Tried.used() || p.untried(w)):
		if w.deadline.After(now) && p.roomBy(w, t, now) {
			return nil // the ramp will come to it
		}
	case c.ready == 0 && c.exploring > 0 && !w.want.Tried.used() && w.deadline.After(now):
		return nil // what the others find out comes before any deadline
	case c.ready == 0 && c.cooling+c.exhausted+c.exploring > 0 && w.deadline.After(now) && !c.back.After(w.deadline):
		return nil
	}
	return p.unavailable(w.lane, &w.want, now)
}

// roomBy reports whether a candidate has room for w's tokens by its deadline.
func (p *Pool) roomBy(w *waiter, t *turn, now time.Time) bool {
	shares := t != nil && w.want.over == 0
	if shares && w.want.Tokens <= t.asked && !t.room.After(w.deadline) {
		return true
	}
	room := p.roomFor(w.lane, &w.want, now)
	if shares && w.want.Tokens > t.asked {
		t.asked, t.room = w.want.Tokens, room
	}
	return !room.After(w.deadline)
}

const (
	// shortly is when to come back if a key may have room at any moment.
	shortly = time.Second
	// mostAsked bounds how many keys are asked for room.
	mostAsked = 256
)

// roomFor returns when the first candidate has room for w's tokens, or if all are too
// small for them, the first other key that is not; the zero time for now.
func (p *Pool) roomFor(l *lane, w *Want, now time.Time) time.Time {
	first := time.Time{}
	c := p.candidates(l, nil)
	c.now = now
	for from, i, begin := 0, 0, -1; i < mostAsked; i++ {
		e := c.next(from)
		if e == nil || e.slot == begin {
			break
		}
		if begin < 0 {
			begin = e.slot
		}
		from = e.slot + 1
		q := l.model.quota(e.slot)
		if limit := c.tokenLimit(e.slot, q); !w.within(limit) {
			continue
		}
		if q == nil {
			return time.Time{}
		}
		at := q.roomFor(w.Tokens, now, p.aligned())
		if !at.After(now) {
			return time.Time{}
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	if first.IsZero() && (w.Tokens > 0 || w.over > 0) {
		return p.backFor(l, w, now)
	}
	return first
}

// untried reports whether a ready key is left that w has not used.
func (p *Pool) untried(w *waiter) bool {
	c := p.candidates(w.lane, w.want.Tried)
	c.wide = false
	return c.next(0) != nil
}

// unavailable words why no key of the lane can be leased.
func (p *Pool) unavailable(l *lane, want *Want, now time.Time) *Unavailable {
	if u := p.oversized(l, want, now); u != nil {
		return u
	}
	c := p.survey(l, now)
	u := &Unavailable{LastOutcome: want.Tried.lastOutcome()}
	alive := c.keys - c.deads
	switch {
	case c.keys == 0:
		u.Reason, u.Message = NoKeys, noKeys(want)
		return u
	case alive == 0:
		u.Reason, u.Message = AllDead, fmt.Sprintf("%s be used: %s.", none(c.keys), deaths(c.dead))
		return u
	case c.ready > 0 && (!want.Tried.used() || p.roomFor(l, want, now).After(now)):
		// They could answer others: this request is too large for what is left of their
		// minute, or others were faster.
		u.Reason, u.Verdict = AllResting, RateLimited
		room := p.roomFor(l, want, now)
		u.RetryAfter = max(room.Sub(now), shortly)
		in := (u.RetryAfter + time.Second - 1).Truncate(time.Second)
		if !room.After(now) {
			u.Message = fmt.Sprintf("%s that can use %s %s busy with other requests at the moment.", capital(all(c.ready)), clip(want.Model), plural(c.ready, "is", "are"))
			return u
		}
		u.Message = fmt.Sprintf("%s that can use %s %s no room for this request of about %d tokens; the first has in %s (%s).",
			capital(all(c.ready)), clip(want.Model), plural(c.ready, "has", "have"), want.Tokens, in, minuteByBooks)
		return u
	case c.ready > 0:
		u.Reason, u.Message = AllTried, fmt.Sprintf("This request has tried %s that could answer now.", all(c.ready))
		return u
	}
	if c.back.After(now) {
		u.RetryAfter = c.back.Sub(now)
	}
	u.Verdict = verdicts[c.why]
	in := max((u.RetryAfter + time.Second - 1).Truncate(time.Second), time.Second)
	model := ""
	if want.Model != "" {
		model = " that can use " + clip(want.Model)
	}
	resting := c.cooling + c.exhausted + c.exploring
	switch {
	case c.exploring > 0 && c.exploring == resting:
		u.Reason, u.Verdict, u.RetryAfter = AllResting, RateLimited, max(u.RetryAfter, shortly)
		u.Message = fmt.Sprintf("%s%s %s being tried by other requests, which find out whether %s can take more", capital(all(resting)), model,
			plural(resting, "is", "are"), plural(resting, "it", "they"))
		if c.back.After(now) {
			u.Message += fmt.Sprintf("; the first is back in %s at the latest", in)
		}
	case resting == 0:
		u.Reason = ModelUnavailable
		u.Message = fmt.Sprintf("%s use %s (%s).", none(c.unavailable), clip(want.Model), c.why)
		return u
	case c.cooling+c.exploring == 0:
		u.Reason = AllExhausted
		u.Message = fmt.Sprintf("%s%s %s used up the day; the first is back in %s (%s)", capital(all(resting)), model, plural(resting, "has", "have"), in, c.why)
	default:
		u.Reason = AllResting
		u.Message = fmt.Sprintf("%s%s %s; the first is back in %s (%s)", capital(all(resting)), model, plural(resting, "rests", "rest"), in, c.why)
	}
	if c.deads > 0 {
		u.Message += fmt.Sprintf("; %d more cannot be used: %s", c.deads, deaths(c.dead))
	}
	u.Message += "."
	return u
}

func noKeys(want *Want) string {
	switch {
	case want.Only != "":
		return fmt.Sprintf("The Gemini key %s, which alone was asked for, is not in the pool, or this request may not use it.", clip(want.Only))
	case want.Bound != nil && (want.PaidOnly || len(want.Tags) > 0):
		return "No Gemini key that this request may use, by its tags and whether it is paid, is left of the project that made what the request refers to."
	case want.Bound != nil:
		return "No Gemini key is left of the project that made what this request refers to."
	case len(want.Tags) > 0 && want.PaidOnly:
		return fmt.Sprintf("The pool has no paid Gemini key with the tag %s.", clip(strings.Join(want.Tags, " or ")))
	case len(want.Tags) > 0:
		return fmt.Sprintf("The pool has no Gemini key with the tag %s.", clip(strings.Join(want.Tags, " or ")))
	case want.PaidOnly:
		return "The pool has no paid Gemini key."
	}
	return "The pool has no Gemini keys."
}

// deaths lists the dead by state: "7 invalid, 5 disabled".
func deaths(dead map[State]int) string {
	var out []string
	for _, s := range States {
		if n := dead[s]; n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, s))
		}
	}
	return strings.Join(out, ", ")
}

func all(n int) string {
	if n == 1 {
		return "the only Gemini key"
	}
	return fmt.Sprintf("all %d Gemini keys", n)
}

// none begins a sentence on n keys that all cannot.
func none(n int) string {
	if n == 1 {
		return "The only Gemini key cannot"
	}
	return fmt.Sprintf("None of the %d Gemini keys can", n)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// clip keeps a name that came from a client short.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
