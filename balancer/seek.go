// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"cmp"
	"slices"
	"time"
)

const (
	// kinTolerance is how far apart the ends of one minute may seem in two refusals.
	kinTolerance = 20 * time.Millisecond
	kinExact     = time.Millisecond // strangers are never so near
	// kinMemory is how long a first meeting counts; two by chance so soon are rare.
	kinMemory = 15 * time.Minute
	// kinLate is how much later than by the books a request leaves the minute at
	// most, with the time that the refusal took; kinSure is when there is no doubt.
	kinLate     = 250 * time.Millisecond
	kinSure     = 400 * time.Millisecond
	maxRefusals = 256
	maxMeetings = 8
	// maxSought is how many projects are looked through for each refusal; among more
	// there are too many that fit by chance.
	maxSought = 128
)

// refusal is a per-minute refusal of a key that had not used up the limit by
// itself: somebody else draws on the same quota. Guarded by Pool.mu.
type refusal struct {
	entry *entry
	ends  time.Time // when Google said there is room again
}

// meeting is a refusal of two projects until the same moment, which may be chance.
type meeting struct {
	other *project
	at    time.Time
}

// fullMinute is a refusal that is looked into. A minute ends when the oldest request
// that counts leaves it; so Google has told when that was sent.
type fullMinute struct {
	by              *entry
	limit           int64
	began, ends, at time.Time // of the attempt, of the minute, of the answer
}

// view is what the books of a quota have of a refused minute.
type view struct {
	q      *quota
	used   int64         // requests that count, if it is of the project
	oldest bool          // the request that leaves the minute at its end is its own
	near   bool          // was refused until the same moment
	apart  time.Duration // how far that seems to be from it
}

// view compares the books with a refusal. It fails if a request of theirs leaves
// the minute before it ends, which none of the same project does.
func (q *quota) view(r *fullMinute) (v view, fits bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	v.q = q
	for _, s := range q.minute.spends {
		switch leaves := time.Unix(0, s.at+int64(minute)); {
		case r.contradicts(s):
			return v, false
		case leaves.Before(r.ends.Add(-kinLate)) || s.at > r.began.UnixNano():
		default:
			v.oldest = v.oldest || r.ends.Sub(leaves) > -kinTolerance && v.used == 0
			v.used += int64(s.requests)
		}
	}
	return v, true
}

// contradicts reports whether a request that counts when the refusal came leaves
// before the minute ends.
func (r *fullMinute) contradicts(s spend) bool {
	leaves := time.Unix(0, s.at+int64(minute))
	return s.by > 0 && leaves.After(r.at) && leaves.Before(r.ends.Add(-kinSure))
}

// seekKin looks for keys that share a project although nobody said so, at a refusal
// of a key that has not used up the limit by itself. Under p.mu.
func (p *Pool) seekKin(q *quota, r *fullMinute) {
	m := q.model
	if r.by.gone || !q.project.guessable(r.at) || onTheMinute(r.ends) && p.clock.Load() > -clockEvidence {
		return
	}
	q = p.sift(q, r)
	own, fits := q.view(r)
	if !fits || own.used >= r.limit {
		return
	}
	near := m.remember(r)
	others, sought := p.others(q, r, own, near)
	free := sought && m.unshared(own, others)
	if !free && m.free {
		q = p.retract(q, r)
		if own, fits = q.view(r); !fits {
			return
		}
		others, _ = p.others(q, r, own, near)
	}
	m.free = free
	p.settleKin(own, slices.DeleteFunc(others, func(v view) bool { return !v.near && (!free || !v.oldest) }), r)
}

// remember adds a refusal to those of the model in force, and returns how far from
// its end those others end that are near. Under Pool.mu.
func (m *model) remember(r *fullMinute) map[*project]time.Duration {
	near := map[*project]time.Duration{}
	m.refusals = slices.DeleteFunc(m.refusals, func(o refusal) bool {
		if !o.ends.After(r.at) || o.entry == r.by || o.entry.gone {
			return true
		}
		if d := o.ends.Sub(r.ends).Abs(); d <= kinTolerance {
			t := o.entry.live.Load().project
			if old, ok := near[t]; !ok || d < old {
				near[t] = d
			}
		}
		return false
	})
	if len(m.refusals) < maxRefusals {
		m.refusals = append(m.refusals, refusal{r.by, r.ends})
	}
	return near
}

// others are the views of the projects that may be the same as that of own, the
// nearest first. Of many projects only those that were refused, too.
func (p *Pool) others(q *quota, r *fullMinute, own view, near map[*project]time.Duration) (out []view, all bool) {
	add := func(t *project) {
		o := t.quota(q.model)
		if o == nil || o == q || !t.guessable(r.at) {
			return
		}
		v, fits := o.view(r)
		if v.apart, v.near = near[t]; fits && own.used+v.used <= r.limit+1 && v.used > 0 {
			out = append(out, v)
		}
	}
	if all = len(p.projects) <= maxSought; all {
		for _, t := range p.projects {
			add(t)
		}
	} else {
		for t := range near {
			add(t)
		}
	}
	slices.SortFunc(out, func(a, b view) int {
		if a.near != b.near && a.near {
			return -1
		} else if a.near != b.near {
			return 1
		}
		return cmp.Or(cmp.Compare(a.apart, b.apart), cmp.Compare(a.q.project.id, b.q.project.id))
	})
	return out, all
}

// unshared reports whether nobody outside the pool seems to use the projects: the
// pool's own requests explain when the minutes end. Under Pool.mu.
func (m *model) unshared(own view, others []view) bool {
	m.explained++
	if !own.oldest && !slices.ContainsFunc(others, func(v view) bool { return v.oldest }) {
		m.strange++
	}
	if m.explained >= 64 {
		m.explained, m.strange = m.explained/2, m.strange/2
	}
	return m.strange*4 <= m.explained+4
}

// settleKin unites those that a refusal shows to be of one project with the refused
// one. Only one request leaves a minute at its end, and together they have used up
// the limit. Under p.mu.
func (p *Pool) settleKin(own view, seen []view, r *fullMinute) {
	free := own.q.model.free
	unite := func(v view) {
		p.unite(v.q, own.q, r.at)
		own.q.current().project.bold = free
		own.used, own.oldest = own.used+v.used, own.oldest || v.oldest
	}
	seen = slices.DeleteFunc(seen, func(v view) bool {
		exact := free && v.near && v.apart <= kinExact && own.used+v.used <= r.limit+1
		if exact {
			unite(v)
		}
		return exact
	})
	if set := complete(own, seen, r.limit); set != 0 {
		for i, v := range seen {
			if set&(1<<i) != 0 {
				unite(v)
			}
		}
		return
	}
	owners := own.owner()
	for _, v := range seen {
		owners += v.owner()
	}
	for _, v := range seen {
		switch {
		case own.used >= r.limit || own.used+v.used > r.limit+1:
		case owners == 1 || v.near && p.meet(v.q, own.q, r.at):
			unite(v)
		}
	}
}

// owner counts the request that leaves the minute at its end.
func (v view) owner() int {
	if v.oldest {
		return 1
	}
	return 0
}

// maxSeen is how many quotas are tried in all combinations.
const maxSeen = 10

// complete returns, as bits, the only ones of those seen that with own make up the
// limit, and of which one had the request that left; 0 where there are none, or
// several.
func complete(own view, seen []view, limit int64) (found int) {
	seen = seen[:min(len(seen), maxSeen)]
	for set := 1; set < 1<<len(seen); set++ {
		sum, owners := own.used, own.owner()
		for i, v := range seen {
			if set&(1<<i) != 0 {
				sum += v.used
				owners += v.owner()
			}
		}
		switch {
		case sum != limit || owners != 1:
		case found != 0:
			return 0
		default:
			found = set
		}
	}
	return found
}

// retract parts the keys of guesses that rest on nobody outside the pool using their
// projects. It returns the quota of the refused key. Under p.mu.
func (p *Pool) retract(q *quota, r *fullMinute) *quota {
	var guesses []*project
	for _, t := range p.projects {
		if o := t.quota(q.model); o != nil && t.bold && !o.provenKin() {
			guesses = append(guesses, t)
		}
	}
	for _, t := range guesses {
		p.split(t, r.at)
	}
	return p.makeQuota(r.by.live.Load().project, q.model)
}

// meet reports whether two projects were refused until the same moment before, and
// remembers it.
func (p *Pool) meet(a, b *quota, now time.Time) bool {
	other, own := a.current().project, b.current().project
	if own.hasMet(other, now) || other.hasMet(own, now) {
		return true
	}
	own.met = append(own.met, meeting{other, now})
	if len(own.met) > maxMeetings {
		own.met = slices.Delete(own.met, 0, 1)
	}
	return false
}
