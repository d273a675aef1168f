// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// learnedFor is how long a limit that Google named caps a project; after that it
	// is a hint. Tiers change.
	learnedFor = 24 * time.Hour
	maxHints   = 8 // limits of other projects that are remembered per model
	unlimited  = math.MaxInt64
)

// Limit of one window of a (project, model).
type limit struct {
	value   int64 // that Google named; 0 for unknown
	learned int64 // when it did, in Unix ns
	under   int64 // set, as it was then
	set     int64 // by the operator; 0 for none. See [Pool.SetLimits]
}

// holds returns the limit, or unlimited where none is known that counts: the
// operator's, or a smaller one that Google named not long ago.
func (l *limit) holds(now time.Time) int64 {
	if l.value|l.set == 0 {
		return unlimited // what nothing is known of costs a comparison
	}
	return l.least(now)
}

func (l *limit) least(now time.Time) int64 {
	least := int64(unlimited)
	if l.set > 0 {
		least = l.set
	}
	if l.counts(now) {
		least = min(least, l.value)
	}
	return least
}

// learns takes the limit that Google named.
func (l *limit) learns(value int64, now time.Time) {
	l.value, l.learned, l.under = value, now.UnixNano(), l.set
}

// counts reports whether the limit that Google named holds beside what the operator
// says: whoever said something last is right.
func (l *limit) counts(now time.Time) bool { return l.fresh(now) && (l.set == 0 || l.under == l.set) }

// fresh reports whether the limit that Google named is not too old.
func (l *limit) fresh(now time.Time) bool {
	return l.value > 0 && now.UnixNano()-l.learned <= int64(learnedFor)
}

// quota is what a project has used of a model, what is known of its limits, and
// how it has served. It is made with the first lease.
//
// A limit that is known is kept: no request goes out that would break it. Where
// none is known, a limit of another project is a hint: up to it the project is as
// good as any, beyond it is the second choice and explored by one request at a
// time, twice as many after each that Google took. So a pool learns the limits
// of many projects at the price of about one refusal each, and not one request
// pays for all of them.
type quota struct {
	// What picks read of each candidate is in one cache line, what every request
	// writes in the next ones: in a large pool most of the time goes by waiting for
	// memory. The line is as of the last [quota.show].
	price      mean         // what a request there costs, for each in flight; see adaptive
	priceUntil atomic.Int64 // until when that counts, in Unix ns
	left       atomic.Int64 // tokens that fit into the minute
	days       atomic.Int64 // requests of the day
	daysUntil  atomic.Int64 // until when that counts, in Unix s
	load       load
	touched    atomic.Bool // among what Flush writes

	mu            sync.Mutex
	into          atomic.Pointer[quota] // the one that this was merged into
	project       *project
	model         *model
	minute        window
	shown         atomic.Int64 // until of the standing that the bitmaps have, in Unix ns
	dayEnds       int64        // Unix seconds of the Pacific midnight after which today counts anew
	today         int64        // requests
	unsure        int64        // of these, whose attempts ended without a sign that Google counted them
	dayTry        int64        // from when on one more may find out, in Unix s
	rpm, tpm, rpd limit
	inFlight      int32
	exploring     int32 // requests in flight beyond what is known to fit
	pace          pace
	proven        int64 // most requests within a minute that Google took
	// announced is a time at which Google said there is room although the books say
	// otherwise, in Unix ns: from then on it is explored. 0 for none.
	announced int64
	allowed   int32    // of exploring at once; 0 means 1
	trial     kinTrial // of the guess that keys share the project
	odd       int8     // refusals in trials that ended at another moment than the books say
	doubted   int64    // dayEnds of the day whose first refusal was not believed
	odds      int64    // of the last refusal for tokens that the books do not explain, in Unix ns; 0 for none

	half bool // the breaker had it rest, and no attempt succeeded since

	// Guarded by Pool.mu.
	fill  *rest // what the books say; nil where there is room
	soft  bool  // fill makes a second choice of the project and does not rule it out
	gated bool  // as many requests explore as may

	_ [8]byte // whole cache lines, so that those of its neighbours begin at one, too
}

// load is how many requests a quota has in flight, with those that have chosen it
// and do not count yet, and how many goroutines are at its books right now.
type load struct{ v atomic.Int64 }

// atBooks is one goroutine at the books; what is below counts requests.
const atBooks = 1 << 32

func (l *load) add(n int64) { l.v.Add(n) }

// get returns the requests, and how many goroutines are at the books.
func (l *load) get() (requests, at int32) {
	v := l.v.Load()
	return int32(v), int32(v >> 32)
}

// current follows merges.
func (q *quota) current() *quota {
	for next := q.into.Load(); next != nil; next = q.into.Load() {
		q = next
	}
	return q
}

// acquire locks the quota that q is part of by now, and returns it.
func (q *quota) acquire() *quota {
	for {
		q.mu.Lock()
		next := q.into.Load()
		if next == nil {
			return q
		}
		q.mu.Unlock()
		q = next
	}
}

// absorb takes over what another quota knows, because both are one. Only here are
// two of them locked at once, under Pool.mu.
func (q *quota) absorb(from *quota) {
	q.mu.Lock()
	defer q.mu.Unlock()
	from.mu.Lock()
	defer from.mu.Unlock()
	from.into.Store(q)
	q.load.add(int64(from.inFlight))
	from.load.add(-int64(from.inFlight))
	q.minute.merge(from.minute.spends)
	switch {
	case from.dayEnds == q.dayEnds:
		q.today, q.unsure = q.today+from.today, q.unsure+from.unsure
		q.doubted = max(q.doubted, from.doubted)
	case from.dayEnds > q.dayEnds:
		q.dayEnds, q.today, q.unsure, q.doubted = from.dayEnds, from.today, from.unsure, from.doubted
	}
	q.inFlight += from.inFlight
	q.exploring += from.exploring
	q.proven = max(q.proven, from.proven)
	q.rpm, q.tpm, q.rpd = q.rpm.later(from.rpm), q.tpm.later(from.tpm), q.rpd.later(from.rpd)
	if q.pace.perToken == 0 {
		q.pace = from.pace
	}
	q.priceUntil.Store(0)
	q.daysUntil.Store(0)
}

// matters reports whether the books hold what will be missed. Under q.mu.
func (q *quota) matters(now time.Time) bool {
	return q.inFlight > 0 || q.today > 0 && now.Unix() < q.dayEnds || q.minute.requests > 0 ||
		q.rpm.fresh(now) || q.tpm.fresh(now) || q.rpd.fresh(now)
}

// later returns the limit that was learned last.
func (l limit) later(other limit) limit {
	if other.learned > l.learned {
		l.value, l.learned, l.under = other.value, other.learned, other.under
	}
	return l
}

// standing is what a quota says of the next request.
type standing struct {
	until time.Time // when there will be room; zero for now
	day   bool      // the day is full, not the minute; with soft, not all of it may be counted
	soft  bool      // beyond a hint: allowed, if nothing better is there
	gated bool      // allowed, but others explore already
	trial bool      // allowed to test whether keys share the project
	half  bool      // allowed to test whether its attempts still fail
}

// nanos is until in Unix ns, 0 for now.
func (s standing) nanos() int64 {
	if s.until.IsZero() {
		return 0
	}
	return s.until.UnixNano()
}

// stands computes the standing. Under q.mu.
func (q *quota) stands(now time.Time, aligned bool) standing {
	q.forget(now, aligned)
	u := q.counted()
	if q.announced != 0 && u.requests < q.rpm.holds(now) && u.tokens < q.tpm.holds(now) && u.today < q.rpd.holds(now) {
		q.announced = 0
	}
	return q.judge(u, now, aligned)
}

// counted is what counts as of the last [quota.forget]. Under q.mu.
func (q *quota) counted() used { return used{q.minute.requests, q.minute.tokens, q.today} }

// used is what counts in the windows of a quota.
type used struct{ requests, tokens, today int64 }

// judge is stands for what is in the windows. It changes nothing. Under q.mu.
func (q *quota) judge(u used, now time.Time, aligned bool) standing {
	s := q.windows(u, now, aligned)
	if q.half && (s.until.IsZero() || s.soft) {
		s.half, s.gated = true, s.gated || q.exploring > 0
	}
	return s
}

// windows is judge as far as they say it. Under q.mu.
func (q *quota) windows(u used, now time.Time, aligned bool) standing {
	if u.today >= q.rpd.holds(now) {
		return q.fullDay(u, now)
	}
	rpm, tpm := q.rpm.holds(now), q.tpm.holds(now)
	if u.requests >= rpm || u.tokens >= tpm {
		s := standing{until: q.minute.room(rpm, tpm-1, aligned)}
		// Google may have more room than the books say; the operator has not.
		full := q.rpm.set > 0 && u.requests >= q.rpm.set || q.tpm.set > 0 && u.tokens >= q.tpm.set
		switch announced := time.Unix(0, q.announced); {
		case full:
		case q.trial == kinUntested && q.inFlight == 0 && s.until.Sub(now) > kinMargin:
			// Nothing is under way that Google may refuse yet: it has counted what the
			// books have.
			s.soft, s.gated, s.trial = true, q.exploring > 0, true
		case q.announced == 0:
		case announced.After(now):
			s.until = earlier(s.until, announced)
		default:
			s.soft, s.gated = true, q.exploring >= max(q.allowed, 1)
		}
		return s
	}
	if rpm != unlimited {
		return standing{}
	}
	if hint := q.model.hint(q.proven); u.requests >= hint {
		return standing{until: q.minute.room(hint, unlimited, aligned), soft: true, gated: q.exploring >= max(q.allowed, 1)}
	}
	return standing{}
}

// longestDay is how many seconds the longest Pacific day has: 25 hours.
const longestDay = 25 * 60 * 60

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// forget drops what does not count any more. Under q.mu.
func (q *quota) forget(now time.Time, aligned bool) {
	q.minute.forget(now, aligned)
	// A day that ends later than any was begun by a clock that was set back since.
	if left := q.dayEnds - now.Unix(); left <= 0 || left > longestDay {
		q.dayEnds, q.today, q.unsure, q.dayTry = pacificMidnight(now).Unix(), 0, 0, 0
	}
}

// reservation is what a lease holds of a quota.
type reservation struct {
	at      int64 // Unix ns
	tokens  int64
	count   int64 // requests in the minute, this one among them
	dayEnds int64 // of the day it counts for
	explore bool
	trial   bool // it explores whether keys share the project
	half    bool // it explores whether attempts still fail
	day     bool // it explores whether the day is full in truth
}

// reserve counts a request of a key (see spend.by), if there is room, and returns the standing of the
// next one. Under q.mu.
func (q *quota) reserve(now time.Time, tokens int64, by int32, aligned bool) (r reservation, ok bool, next standing) {
	s := q.stands(now, aligned)
	beyond := !s.until.IsZero()
	if beyond && !s.soft || s.gated || !q.fits(now, tokens) {
		return r, false, s
	}
	q.minute.add(now, tokens, by)
	q.today++
	q.inFlight++
	explore := beyond || s.half
	if explore {
		q.exploring++
	}
	if s.day {
		q.dayTry = now.Add(dayTryEvery).Unix()
	}
	r = reservation{now.UnixNano(), tokens, q.minute.requests, q.dayEnds, explore, s.trial, s.half, s.day}
	next = q.stands(now, aligned)
	q.show(now)
	return r, true, next
}

// fits reports whether a request of so many tokens fits into the minute. One that
// is somewhat larger than the limit is let through when nothing else is in it: the
// estimate may be wrong, and Google has the last word. Under q.mu.
func (q *quota) fits(now time.Time, tokens int64) bool {
	return q.fitsBeside(q.minute.tokens, tokens, now)
}

func (q *quota) fitsBeside(others, tokens int64, now time.Time) bool {
	limit := q.tpm.holds(now)
	return others+tokens <= limit || others == 0 && !beyond(tokens, limit)
}

// tight reports whether a request of so many tokens does not fit now.
func (q *quota) tight(now time.Time, tokens int64, aligned bool) bool {
	if tokens <= q.left.Load() {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stands(now, aligned)
	q.show(now)
	return !q.fits(now, tokens)
}

// uncounted are the verdicts of answers to requests that Google does not count:
// it refused them at the door, or they never got there.
func uncounted(v Verdict) bool {
	switch v {
	case BadRequest, BadSignature, InvalidKey, LeakedKey, SuspendedKey, MisconfiguredKey, UnfundedProject, Location, ForeignResource,
		ModelForbidden, ModelMissing, RateLimited, Exhausted, SpendLimited, NoQuota, Throttled, CapacityExhausted, Overloaded, RouteBlocked:
		return true
	default:
		return false
	}
}

// end takes a reservation back after the attempt, with what came of it, and reports
// whether the attempts fail too often. Under q.mu.
func (q *quota) end(r reservation, o *Outcome, took time.Duration, now time.Time, aligned bool) (next standing, trips bool) {
	q.inFlight--
	if r.explore {
		q.exploring--
	}
	undo := uncounted(o.Verdict)
	more := int64(0)
	if o.Input > 0 {
		more = o.Input - r.tokens
	}
	if undo {
		more = -r.tokens
		if r.dayEnds == q.dayEnds && q.today > 0 {
			q.today--
			q.model.lower(q.today)
		}
	}
	q.minute.settle(r.at, more, undo)
	if r.dayEnds == q.dayEnds && mayNotCount(o) {
		q.unsure, q.dayTry = q.unsure+1, now.Add(dayTryEvery).Unix()
	}
	switch o.Verdict {
	case OK, Blocked:
		q.took(r, now)
	case RateLimited, Exhausted:
		q.allowed = 1
	default:
		if !undo {
			q.minute.doubt(r.at)
		}
	}
	q.pace.end(o, took, now, q.model)
	next = q.stands(now, aligned)
	q.show(now)
	return next, o.Verdict != Canceled && !uncounted(o.Verdict) && q.pace.count(o, now)
}

// took books that Google counted a request. Under q.mu.
func (q *quota) took(r reservation, now time.Time) {
	if !q.model.real.Load() {
		q.model.real.Store(true)
	}
	q.proven = max(q.proven, r.count)
	if !r.explore {
		return
	}
	if r.day {
		q.tookOfDay(r)
	}
	if r.half { // what was beyond a limit, too, was allowed for that alone
		q.half = false
		return
	}
	if r.day {
		return
	}
	if r.trial && q.trial == kinUntested {
		q.trial = kinRefuted
		return
	}
	q.allowed = min(max(q.allowed, 1)*2, 64)
	// The books had counted requests that Google does not count any more. Now they
	// agree, and what was announced is used up.
	q.announced = 0
	for rpm := q.rpm.holds(now); q.minute.requests > rpm && len(q.minute.spends) > 1; {
		q.minute.settle(q.minute.spends[0].at, 0, true)
	}
}
