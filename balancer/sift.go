// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"slices"
	"time"
)

// sift parts the keys of a guess that a refusal contradicts, because a request of
// theirs would have had to leave first. Who it says nothing of goes with the larger
// part. It returns the quota of the refused key. Under p.mu.
func (p *Pool) sift(q *quota, r *fullMinute) *quota {
	t := q.project
	if len(t.keys) < 2 || !slices.Contains(t.keys, r.by) {
		return q
	}
	var against, leaving []int32 // by whom, as in spend.by
	own := int32(r.by.slot) + 1
	q.mu.Lock()
	for _, s := range q.minute.spends {
		if r.contradicts(s) {
			against = append(against, s.by)
		}
		if d := r.ends.Sub(time.Unix(0, s.at+int64(minute))); d < kinLate && d > -kinTolerance {
			leaving = append(leaving, s.by)
		}
	}
	q.mu.Unlock()
	if len(against) == 0 || slices.Contains(against, own) {
		return q
	}
	var with, without, open []*entry
	for _, e := range t.keys {
		switch slot := int32(e.slot) + 1; {
		case slices.Contains(against, slot):
			without = append(without, e)
		case e == r.by || slices.Contains(leaving, slot):
			with = append(with, e)
		default:
			open = append(open, e)
		}
	}
	if len(without) == 0 {
		return q
	}
	if len(without) > len(with) {
		without = append(without, open...)
	} else {
		with = append(with, open...)
	}
	p.split(t, r.at, with, without)
	return p.makeQuota(r.by.live.Load().project, q.model)
}
