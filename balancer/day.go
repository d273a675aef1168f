// SPDX-License-Identifier: Apache-2.0

package balancer

import "time"

// An attempt that ends without an answer counts, for Google may have counted it. Where
// it did not, a day seems full that is not, and nobody would ever find out: Google
// tells of a day that is used up, never of one that is not. So from time to time one
// request goes beyond what was learned, as long as such attempts make up the
// difference.

// dayTryEvery is how long after such an attempt the next one is made.
const dayTryEvery = time.Hour

// mayNotCount reports whether an attempt that is counted ended without a sign that
// Google counts it, too.
func mayNotCount(o *Outcome) bool {
	switch o.Verdict {
	case Canceled, ServerError, UpstreamTimeout, Network, Unclassified:
		return o.Status != 200
	default:
		return false
	}
}

// fullDay is the standing where the day is full by the books. Under q.mu.
func (q *quota) fullDay(u used, now time.Time) standing {
	s := standing{until: time.Unix(q.dayEnds, 0), day: true}
	set := q.rpd.set
	if u.today-q.unsure >= q.rpd.holds(now) || set > 0 && u.today >= set {
		return s
	}
	if next := time.Unix(q.dayTry, 0); next.After(now) {
		s.until = earlier(s.until, next)
		return s
	}
	s.soft, s.gated = true, q.exploring > 0
	return s
}

// tookOfDay books that Google took a request of a day that seemed full: one of those
// in doubt does not count there. Under q.mu.
func (q *quota) tookOfDay(r reservation) {
	q.dayTry = 0
	if r.dayEnds == q.dayEnds && q.unsure > 0 {
		q.unsure--
		q.today--
		q.model.lower(q.today)
	}
}

// renew forgets what Google named as limits, and what was made of it.
func (q *quota) renew() {
	q = q.acquire()
	defer q.mu.Unlock()
	for _, l := range [...]*limit{&q.rpm, &q.tpm, &q.rpd} {
		l.value, l.learned, l.under = 0, 0, 0
	}
	q.announced, q.dayTry, q.odds = 0, 0, 0
}
