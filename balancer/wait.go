// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"cmp"
	"context"
	"slices"
	"time"
)

const (
	// rampStep is how long a lane of waiting requests must stay ready before it
	// gives twice as many leases. A key that is back may have room for one request
	// or for a thousand; the first refusal stops the rest. specs/gateways.md §4.2 U7.
	rampStep = 100 * time.Millisecond
	maxShare = 64
	// restsPerLook is how many rests a look at an empty pool ends at once.
	restsPerLook = 4096
)

// ramp bounds how fast a lane serves those who wait. Guarded by Pool.mu.
type ramp struct {
	share int       // leases per ready key in this step
	given int       // leases given in this step
	since time.Time // when the step began
}

// waiter is a request in the queue. Guarded by Pool.mu, but for answer.
type waiter struct {
	lane     *lane
	want     Want
	turn     uint64 // what the queue is ordered by, then ticket
	ticket   uint64 // order of arrival
	deadline time.Time
	answer   chan answered // capacity 1; sent to once, by who takes the waiter out of the queue
}

type answered struct {
	lease *Lease
	err   *Unavailable
}

// advance ends rests that are over, and serves the queue if any did.
func (p *Pool) advance(now time.Time, limit int) {
	if p.endRests(now, limit) && len(p.queue) > 0 {
		p.serve(now)
	}
}

// await is Lease for a request that found no key at once.
func (p *Pool) await(ctx context.Context, want Want, l *lane, now time.Time) (*Lease, error) {
	p.lock()
	if want.Tried.place().ticket == 0 && !want.Tried.used() {
		l.influx.came(now)
	}
	if u := p.oversized(l, &want, now); u != nil {
		p.unlock()
		return nil, u
	}
	for {
		p.advance(now, restsPerLook)
		if (l.waiting.Load() == 0 || want.Wait <= 0 && p.passes(l, &want, now)) && !p.shortOf(l, &want, now) {
			if lease := p.take(l, &want, now, true); lease != nil {
				if !want.Unmetered && l.waiting.Load() > 0 {
					l.gave(now)
				}
				p.unlock()
				return lease, nil
			}
		}
		if p.nextRest.Load() > now.UnixNano() {
			break
		}
	}
	w := &waiter{lane: l, want: want, deadline: now.Add(want.Wait), answer: make(chan answered, 1)}
	if u := p.hopeless(w, nil, now); u != nil {
		if want.Wait <= 0 && l.waiting.Load() > 0 {
			p.yields(u, l, now)
		}
		p.unlock()
		return nil, u
	}
	if p.crowded(want.User, now) {
		u := p.unavailable(l, &w.want, now)
		u.Message, u.Crowded = queueFull, true
		p.unlock()
		return nil, u
	}
	p.enqueue(w)
	if l.census.ready > 0 && l.ramp.share == 0 {
		p.turn(l, now) // keys are ready, but not for this request: look again
	}
	p.arm(now)
	p.unlock()

	timer := time.NewTimer(want.Wait)
	defer timer.Stop()
	select {
	case a := <-w.answer:
		return a.result()
	case <-timer.C:
		return p.late(w)
	case <-ctx.Done():
		p.lock()
		queued := p.dequeue(w)
		p.unlock()
		if !queued {
			if a := <-w.answer; a.lease != nil {
				a.lease.Done(Outcome{Verdict: Canceled})
			}
		}
		return nil, ctx.Err()
	}
}

// mostHurt bounds how many of those who wait are asked whether they could have what
// a request takes that does not wait.
const mostHurt = 16

// passes reports whether a request that does not wait may have a key although others
// of its lane wait: if none of those before it could take one now. Under p.mu.
func (p *Pool) passes(l *lane, want *Want, now time.Time) bool {
	switch {
	case l.waiting.Load() == 0 || want.Unmetered: // it takes no room from anybody
		return true
	case p.turn(l, now).left <= 0:
		return false
	}
	at, asked := want.Tried.place(), 0
	for _, w := range p.queue {
		if at.ticket != 0 && cmp.Or(cmp.Compare(w.turn, at.turn), cmp.Compare(w.ticket, at.ticket)) > 0 {
			break
		}
		if w.lane != l {
			continue
		}
		if asked++; asked > mostHurt || p.couldTake(w, now) {
			return false
		}
	}
	return true
}

// couldTake reports whether a key is ready for a request that waits, as far as
// nothing must be counted to know that. Under p.mu.
func (p *Pool) couldTake(w *waiter, now time.Time) bool {
	if w.lane.model.until.Load() > now.UnixNano() {
		return false
	}
	c := p.candidates(w.lane, w.want.Tried)
	c.now, c.wide = now, false
	if !w.want.Unmetered {
		c.tokens, c.over = w.want.Tokens, w.want.over
	}
	return c.next(0) != nil
}

// yields words the refusal of a request that does not wait, where keys are ready for
// those who do. Under p.mu.
func (p *Pool) yields(u *Unavailable, l *lane, now time.Time) {
	if u.Reason == AllResting && p.survey(l, now).ready > 0 {
		u.Verdict, u.RetryAfter = RateLimited, shortly
		u.Message = "Other requests wait for the Gemini keys that are ready now, and this one would not."
	}
}

func (a answered) result() (*Lease, error) {
	if a.err != nil {
		return nil, a.err
	}
	return a.lease, nil
}

// late is the end of a wait. Whatever is ready now is taken, also where the ramp
// would give it to later steps only.
func (p *Pool) late(w *waiter) (*Lease, error) {
	p.lock()
	defer p.unlock()
	if !p.dequeue(w) {
		return (<-w.answer).result()
	}
	now := p.now()
	p.advance(now, restsPerLook)
	if lease := p.take(w.lane, &w.want, now, true); lease != nil {
		w.lane.influx.gave(now)
		return lease, nil
	}
	return nil, p.unavailable(w.lane, &w.want, now)
}

// place is where a request stands in the queue. It keeps it when it got a lease,
// was refused and waits again. The zero value is none.
type place struct{ turn, ticket uint64 }

// enqueue puts w into the queue. Everybody who waits gets one lease in a turn:
// the n-th request of a user waits for the n-th turn from now on, so that one who
// asks a hundred times does not stand a hundred times before one who asks once.
func (p *Pool) enqueue(w *waiter) {
	at := w.want.Tried.place()
	if at.ticket == 0 {
		p.tickets++
		turn := max(p.turns[w.want.User], p.turned) + 1
		p.turns[w.want.User] = turn
		at = place{turn, p.tickets}
		w.want.Tried.stand(at)
	}
	w.turn, w.ticket = at.turn, at.ticket
	i, _ := slices.BinarySearchFunc(p.queue, w, func(a, b *waiter) int {
		return cmp.Or(cmp.Compare(a.turn, b.turn), cmp.Compare(a.ticket, b.ticket))
	})
	p.queue = slices.Insert(p.queue, i, w)
	w.lane.waiting.Add(1)
}

// crowded reports whether there is no place for one more request of a user. In a
// full queue, a user who has less than others takes the last place of the one who
// has most; that request is refused.
func (p *Pool) crowded(user string, now time.Time) bool {
	if len(p.queue) < p.maxQueue {
		return false
	}
	count := map[string]int{}
	most := ""
	for _, w := range p.queue {
		count[w.want.User]++
		if count[w.want.User] > count[most] {
			most = w.want.User
		}
	}
	if count[most] <= count[user]+1 {
		return true
	}
	for i, w := range slices.Backward(p.queue) {
		if w.want.User == most {
			p.queue = slices.Delete(p.queue, i, i+1)
			p.left(w)
			u := p.unavailable(w.lane, &w.want, now)
			u.Message = queueFull
			w.answer <- answered{err: u}
			break
		}
	}
	return false
}

// dequeue takes w out of the queue and reports whether it was there.
func (p *Pool) dequeue(w *waiter) bool {
	i := slices.Index(p.queue, w)
	if i < 0 {
		return false
	}
	p.queue = slices.Delete(p.queue, i, i+1)
	p.left(w)
	return true
}

// left books that w is no longer in the queue.
func (p *Pool) left(w *waiter) {
	w.lane.waiting.Add(-1)
	if len(p.queue) > 0 {
		return
	}
	if p.timer != nil {
		p.timer.Stop()
	}
	clear(p.turns) // nobody waits: everybody begins anew
}

// serve gives leases to those who wait, in the queue's order, as far as keys
// are ready and the ramp allows, and refuses those who would wait in vain.
func (p *Pool) serve(now time.Time) {
	queue := p.queue
	p.queue = queue[:0]
	round := map[*lane]*turn{}
	var gone []*waiter
	for _, w := range queue {
		t := round[w.lane]
		if t == nil {
			t = p.turn(w.lane, now)
			round[w.lane] = t
		}
		a, leaves := p.try(w, t, now)
		if !leaves {
			p.queue = append(p.queue, w)
			continue
		}
		w.answer <- a
		gone = append(gone, w)
	}
	clear(queue[len(p.queue):])
	for _, w := range gone {
		p.left(w)
	}
	p.arm(now)
}

// turn is what a lane can give in one call of serve.
type turn struct {
	left  int  // leases that the ramp allows
	empty bool // no key is ready

	// What was found out for one waiter, that need not be found out for the next: no
	// candidate has room for so many tokens, and when one has for so many.
	noRoom int64
	asked  int64
	room   time.Time
}

// turn opens a lane's part in serve.
func (p *Pool) turn(l *lane, now time.Time) *turn {
	r := &l.ramp
	switch age := now.Sub(r.since); {
	case r.share == 0 || age >= 5*rampStep:
		*r = ramp{share: 1, since: now}
	case age >= rampStep:
		*r = ramp{share: min(r.share*2, maxShare), since: now}
	}
	ready := 0
	if l.model.until.Load() <= now.UnixNano() {
		c := p.candidates(l, nil)
		if p.grace.Load() > now.UnixNano() {
			c.proven = p.provenWords()
		}
		ready = c.count()
	}
	if ready == 0 {
		*r = ramp{}
	}
	t := &turn{left: ready*r.share - r.given, empty: ready == 0, noRoom: unlimited}
	if l.troubled.Load() {
		t.left = min(t.left, l.influx.room(now))
	}
	return t
}

// gave books a lease for one who waits. Under p.mu.
func (l *lane) gave(now time.Time) {
	l.ramp.given++
	l.influx.gave(now)
}

// try serves one waiter and reports whether it leaves the queue.
func (p *Pool) try(w *waiter, t *turn, now time.Time) (a answered, leaves bool) {
	if !t.empty && t.left > 0 && w.want.Tokens < t.noRoom {
		if lease := p.take(w.lane, &w.want, now, true); lease != nil {
			t.left--
			w.lane.gave(now)
			p.turned = max(p.turned, w.turn)
			return answered{lease: lease}, true
		}
		if !w.want.Tried.used() {
			t.noRoom = w.want.Tokens // for nobody else who wants as many
		}
	}
	if t.empty || w.want.Tried != nil {
		if u := p.hopeless(w, t, now); u != nil {
			return answered{err: u}, true
		}
	}
	return a, false
}

// arm sets the timer to the next moment at which the queue may move by itself.
func (p *Pool) arm(now time.Time) {
	if len(p.queue) == 0 {
		return
	}
	next := time.Duration(p.nextRest.Load() - now.UnixNano())
	if p.nextRest.Load() == never {
		next = time.Hour
	}
	if grace := time.Duration(p.grace.Load() - now.UnixNano()); grace > 0 {
		next = min(next, grace)
	}
	for _, w := range p.queue {
		if r := w.lane.ramp; r.share > 0 {
			next = min(next, r.since.Add(rampStep).Sub(now))
		}
	}
	next = max(next, 0)
	if p.timer == nil {
		p.timer = time.AfterFunc(next, p.tick)
		return
	}
	p.timer.Reset(next)
}

// tick is what the timer does.
func (p *Pool) tick() {
	p.lock()
	defer p.unlock()
	if len(p.queue) == 0 {
		return
	}
	now := p.now()
	p.endRests(now, restsPerLook)
	p.serve(now)
}
