// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"slices"
	"strings"
	"time"
)

// doubtedRest is how long a day rests that Google calls used up although the books
// do not: such answers were seen with a retry time of seconds. The second one is
// believed. Source: specs/peers.md §4b.
const doubtedRest = 10 * time.Minute

// doubts reports whether the books contradict a refusal for the day, once a day.
func (q *quota) doubts(o *Outcome, now time.Time, aligned bool) bool {
	var value int64
	for _, l := range o.Limits {
		if w, tokens := l.window(); w == day && !tokens {
			value = l.Value
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.forget(now, aligned)
	if value <= 0 || q.today*10 >= value*9 || q.doubted == q.dayEnds {
		return false
	}
	q.doubted = q.dayEnds
	return true
}

// learn takes the limits that a refusal named, and compares the announced time
// with the books. It returns +1 where windows that follow the clock explain that
// time and rolling ones do not, -1 where the clock does not.
func (q *quota) learn(o *Outcome, r reservation, tried *Tried, now time.Time, aligned bool) (evidence int32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.forget(now, aligned)
	tokens := r.tokens
	var requestsFull, tokensFull bool
	for _, l := range o.Limits {
		if l.Value <= 0 {
			continue
		}
		q.model.real.Store(true)
		switch window, tokens := l.window(); {
		case window == day && !tokens:
			q.rpd.learns(l.Value, now)
		case window == perMinute && tokens:
			q.tpm.learns(l.Value, now)
			tokensFull = true
		case window == perMinute:
			q.rpm.learns(l.Value, now)
			requestsFull = true
		}
	}
	if o.Verdict != RateLimited || o.RetryAfter <= 0 {
		return 0
	}
	if tokensFull {
		// The books being right, the request has more tokens than were left.
		tried.counts(min(max(tokens*6/5, min(q.tpm.value-q.minute.tokens+1, tokens*2)), q.tpm.value))
	}
	at := now.Add(o.RetryAfter)
	explains := func(aligned bool) bool {
		return requestsFull && q.minute.requests >= q.rpm.value && near(q.minute.room(q.rpm.value, unlimited, aligned).Add(-skew), at) ||
			tokensFull && q.minute.tokens+tokens > q.tpm.value && near(q.minute.room(unlimited, q.tpm.value-tokens, aligned).Add(-skew), at)
	}
	if r.trial && q.trial == kinUntested && requestsFull {
		// Refused at last, and until the moment that the common books say: they share.
		// Until another moment, and the guess has a stranger or lacks somebody.
		switch q.odd++; {
		case explains(aligned) && (o.RetryAfter%time.Second == 0 || q.minute.leads(at)):
			q.trial = kinProven
		case q.odd > maxOdd:
			q.trial = kinRefuted
		}
	}
	switch clock := near(at.Round(minute), at); {
	case clock && !explains(false) && q.minute.breaks(now, at):
		evidence = 1
	case !clock:
		evidence = -1
	}
	if q.minute.requests >= q.rpm.holds(now) && !explains(aligned) {
		q.announced = at.UnixNano()
	}
	return evidence
}

// near reports whether two times may be the same: announced ones are cut to
// seconds, and answers take time.
func near(a, b time.Time) bool {
	d := a.Sub(b)
	return -1200*time.Millisecond < d && d < 1200*time.Millisecond
}

type quotaWindow uint8

const (
	otherWindow quotaWindow = iota
	perMinute
	day
)

// window tells what a limit counts. Names are known by their parts only, because
// tiers and releases vary the rest. Source: specs/openai.md §13.2.
func (l *Limit) window() (w quotaWindow, tokens bool) {
	name := l.ID
	if name == "" {
		name = l.Metric
	}
	name = strings.ToLower(name)
	switch {
	case strings.Contains(name, "perday") || strings.Contains(name, "per_day"):
		w = day
	case strings.Contains(name, "perminute") || strings.Contains(name, "per_minute"):
		w = perMinute
	}
	return w, strings.Contains(name, "token")
}

// hint returns the least limit that another project revealed and that a project
// which had so many requests taken may have, too. One that had more than any may
// have as many again. Unlimited where no project revealed one.
func (m *model) hint(proven int64) int64 {
	hints := m.hints.Load()
	if hints == nil {
		return unlimited
	}
	for _, v := range *hints {
		if v >= proven {
			return v
		}
	}
	return proven
}

// teach adds a limit to the model's hints. Under Pool.mu.
func (m *model) teach(rpm int64) {
	var hints []int64
	if old := m.hints.Load(); old != nil {
		hints = *old
	}
	i, found := slices.BinarySearch(hints, rpm)
	if found || len(hints) >= maxHints {
		return
	}
	hints = slices.Insert(slices.Clone(hints), i, rpm)
	m.hints.Store(&hints)
}
