// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"fmt"
	"iter"
	"time"
)

// A request that has more input tokens than a project may use in a minute is refused
// by all projects with that limit, however long it waits. That is its own fault: no
// key rests for it, and it must not pay for learning the limit of one project after
// the other.

// mostMisfits is how many projects may refuse a request for its size.
const mostMisfits = 3

// beyond reports whether a request that is taken for so many tokens cannot be within
// a limit. Estimates may be half as large again as the truth.
func beyond(tokens, limit int64) bool { return tokens-tokens/3 > limit }

// misfit is what a refusal for tokens says of the request.
type misfit uint8

const (
	noMisfit misfit = iota // there were others in the minute, or there may have been
	doubtful               // the estimate is far too small, or somebody else draws on the project
	tooBig                 // the request is larger than the limit
)

// tokenLimit returns the limit of input tokens a minute, where a refusal names that and
// nothing else; 0 otherwise.
func (o *Outcome) tokenLimit() (limit int64) {
	if o.Verdict != RateLimited {
		return 0
	}
	for i := range o.Limits {
		l := &o.Limits[i]
		if w, tokens := l.window(); w != perMinute || !tokens || l.Value <= 0 {
			return 0
		}
		if limit == 0 || l.Value < limit {
			limit = l.Value
		}
	}
	return limit
}

// misfit judges a refusal for a limit of tokens. Under q.mu.
func (q *quota) misfit(r reservation, estimate, limit int64, now time.Time, aligned bool) misfit {
	q.forget(now, aligned)
	others := q.minute.tokens
	if q.minute.of(r.at) >= 0 {
		others = max(others-r.tokens, 0)
	}
	switch {
	case estimate > limit:
		return tooBig
	case others > limit/10 || estimate+others > limit:
		return noMisfit
	case estimate+estimate/2 > limit-others:
		return tooBig
	default:
		return doubtful
	}
}

// excuse takes from a refusal what would make a key rest for the size of a request,
// and tells the request. It reports whether it did.
func (p *Pool) excuse(l *Lease, o *Outcome) bool {
	limit := o.tokenLimit()
	if limit == 0 || l.quota == nil {
		return false
	}
	now := p.now()
	q := l.quota.acquire()
	m := q.misfit(l.reserved, l.estimate, limit, now, p.aligned())
	if m == doubtful {
		if suspect := l.tried.suspects(); suspect != nil {
			m = tooBig // two projects with an empty minute: it is the request
		} else if now.UnixNano()-q.odds < int64(minute) {
			m = noMisfit // two requests: it is the project, that others draw on
		} else {
			q.odds = now.UnixNano()
		}
	}
	q.mu.Unlock()
	if m == noMisfit {
		l.tried.unclearly(limit)
		return false
	}
	if suspect := l.tried.misfits(limit, m, l.quota); suspect != nil {
		suspect = suspect.acquire()
		suspect.odds = 0
		suspect.mu.Unlock()
	}
	o.Blame, o.Rest, o.RetryAfter = ScopeNone, 0, 0
	return true
}

// suspects returns the project's books that an earlier attempt left in doubt about
// the request's size; nil for none.
func (t *Tried) suspects() *quota {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.suspect
}

// misfits books a refusal for the request's size. It returns books that are cleared
// of a suspicion by it, or nil.
func (t *Tried) misfits(limit int64, m misfit, q *quota) (cleared *quota) {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused++
	if m == doubtful {
		t.suspect = q
		return nil
	}
	t.over = max(t.over, limit)
	return t.suspect
}

// unclearly books a refusal for tokens that may have been others'.
func (t *Tried) unclearly(limit int64) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unclear++
	t.below = max(t.below, limit)
}

// size returns what the request is to be taken for at least, a limit that it is
// larger than, or 0, and whether that was found out often enough.
func (t *Tried) size() (tokens, over int64, enough bool) {
	if t == nil {
		return 0, 0, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	refused := t.refused
	if t.below <= t.over {
		refused += t.unclear
	}
	return t.tokens, t.over, t.over > 0 && refused >= mostMisfits
}

// tokenLimit returns how many tokens a minute the project of a slot's key may use;
// unlimited where that is not known.
func (c candidates) tokenLimit(slot int, q *quota) int64 {
	if q != nil {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.tpm.holds(c.now)
	}
	rules := c.pool.ruled.Load()
	e := c.slots[slot].Load()
	if rules == nil || e == nil {
		return unlimited
	}
	_, tpm, _ := rules.of(e.live.Load().project, c.lane.model.name)
	if tpm == 0 {
		return unlimited
	}
	return tpm
}

// outgrows reports whether the request is too large for a slot's project.
func (c candidates) outgrows(slot int) bool {
	q := c.lane.model.quota(slot)
	if q != nil && c.over == 0 {
		return c.tokens > 0 && q.tight(c.now, c.tokens, c.pool.aligned())
	}
	if q == nil && c.over == 0 && c.pool.ruled.Load() == nil {
		return false
	}
	limit := c.tokenLimit(slot, q)
	switch {
	case c.over > 0 && (limit <= c.over || c.roomy && limit == unlimited):
		return true
	case q == nil:
		return beyond(c.tokens, limit)
	default:
		return q.tight(c.now, c.tokens, c.pool.aligned())
	}
}

// widest returns the largest limit of tokens a minute of the lane's living keys, or any
// that is large enough for w; unlimited where one is not known, 0 without keys. Under
// p.mu.
func (p *Pool) widest(l *lane, w *Want, now time.Time) (widest int64) {
	if limit := l.widest.Load(); l.outgrown(w, now) {
		return limit
	}
	for e, limit := range p.limitsOf(l, now) {
		if r := p.longest(e, l.model); r != nil && r.kind == NotAvailable {
			continue
		}
		if widest = max(widest, limit); w.within(limit) {
			return limit
		}
	}
	if len(p.byID) > fewEntries && widest > 0 { // it took long
		l.widest.Store(widest)
		l.widestUntil.Store(now.Add(min(staleness*p.now().Sub(now), time.Second)).UnixNano())
	}
	return widest
}

// outgrown reports whether w was found too large for all keys of the lane not long
// ago, without a look at them.
func (l *lane) outgrown(w *Want, now time.Time) bool {
	return !w.Unmetered && now.UnixNano() < l.widestUntil.Load() && !w.within(l.widest.Load())
}

// oversized returns why w need not wait if it is too large for every key of the lane
// that lives; nil otherwise. Under p.mu.
func (p *Pool) oversized(l *lane, w *Want, now time.Time) *Unavailable {
	if w.Unmetered || l.model.name == "" || w.Tokens == 0 && w.over == 0 {
		return nil
	}
	limit := p.widest(l, w, now)
	if limit == 0 || w.within(limit) {
		return nil
	}
	return w.tooLarge(limit)
}

// within reports whether the request may be within a limit of tokens.
func (w *Want) within(limit int64) bool { return limit > w.over && !beyond(w.Tokens, limit) }

// limitsOf yields the lane's living keys with their limits of tokens a minute,
// unlimited for unknown. Under p.mu.
func (p *Pool) limitsOf(l *lane, now time.Time) iter.Seq2[*entry, int64] {
	c := p.candidates(l, nil)
	c.now = now
	filtered := l.paid != nil || l.marks != nil
	return func(yield func(*entry, int64) bool) {
		for i := range c.slots {
			if filtered && l.filter(i/64)&(1<<(i%64)) == 0 {
				continue
			}
			e := c.slots[i].Load()
			if e == nil || !e.live.Load().state.leasable() || p.lacks(e, l.model) {
				continue
			}
			if !yield(e, c.tokenLimit(i, l.model.quota(i))) {
				return
			}
		}
	}
}

// backFor returns when the first key is back whose limit w may be within; the zero
// time for now. Under p.mu.
func (p *Pool) backFor(l *lane, w *Want, now time.Time) (first time.Time) {
	for e, limit := range p.limitsOf(l, now) {
		if !w.within(limit) {
			continue
		}
		r := p.longest(e, l.model)
		if r == nil {
			return time.Time{}
		}
		if first.IsZero() || r.until.Before(first) {
			first = r.until
		}
	}
	return first
}

// tooLarge words that the request is larger than a limit.
func (w *Want) tooLarge(limit int64) *Unavailable {
	than := "The request has more input tokens than"
	if w.estimate > limit {
		than = fmt.Sprintf("The request has about %d input tokens, more than", w.estimate)
	}
	return &Unavailable{
		Reason: TooLarge, LastOutcome: w.Tried.lastOutcome(), Verdict: RateLimited,
		Message: fmt.Sprintf("%s the %d that a Gemini project of this gateway may use of %s in a minute. Make the request smaller: waiting does not help.",
			than, limit, clip(w.Model)),
	}
}
