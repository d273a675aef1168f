// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"sync"
	"time"
)

// lifetime is a context that lies in memory of its owner: of a request, or of an
// attempt in it. Those of package context do the same, but make channels, maps and more
// for each one: a quarter of what a request allocated. Here nothing is made before
// somebody asks for it.
type lifetime struct {
	context.Context           // the parent, which has the values
	deadline        time.Time // when it ends for errTotal; zero = the parent's

	mu     sync.Mutex
	why    error         // it ended; nil until then
	done   chan struct{} // nil until somebody asks
	timer  *time.Timer   // stopped with the end; nil for none, and while nobody waits for the deadline
	leave  func() bool   // it follows a parent that is no lifetime; nil otherwise
	parent follower      // as which it follows a parent that is one
	first  *follower     // of those that hear of the end
	room   follower      // for the first that asks by AfterFunc
	roomed bool          // it is in use, or was
}

// follower hears of the end of a lifetime.
type follower struct {
	of         *lifetime
	call       func()    // in a goroutine of its own
	child      *lifetime // in place of call, at once
	in         bool      // the list of of, whose mutex guards all below
	prev, next *follower
}

// ending is why a lifetime ended.
type ending struct {
	text string
	as   error // what package context has for it
}

// Error implements error.
func (e *ending) Error() string { return e.text }

// Is lets an ending be taken for what package context has for it.
func (e *ending) Is(target error) bool { return target == e.as }

// begin begins l, which ends with its parent at the latest.
func (l *lifetime) begin(parent context.Context) {
	l.Context = parent
	if p, ok := parent.(*lifetime); ok {
		l.parent.child = l
		if why := p.follow(&l.parent); why != nil {
			l.end(why)
		}
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave = context.AfterFunc(parent, func() { l.end(context.Cause(parent)) })
}

// wait sees to it that l ends in time for somebody who does not look at the clock. l.mu
// is held.
func (l *lifetime) wait() {
	if l.why == nil && l.timer == nil && !l.deadline.IsZero() {
		l.timer = time.AfterFunc(time.Until(l.deadline), func() { l.end(errTotal) })
	}
}

// left is what of d is left until the deadline.
func (l *lifetime) left(d time.Duration, now time.Time) time.Duration {
	if l.deadline.IsZero() {
		return d
	}
	return min(d, l.deadline.Sub(now))
}

// alarm calls f after d, unless l has ended before.
func (l *lifetime) alarm(d time.Duration, f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil {
		l.timer = time.AfterFunc(d, f)
	}
}

// again has the alarm ring after d, once more if it rang.
func (l *lifetime) again(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil && l.timer != nil {
		l.timer.Reset(d)
	}
}

// end ends l. Why it ended is what the first call says.
func (l *lifetime) end(why error) {
	l.mu.Lock()
	if l.why != nil {
		l.mu.Unlock()
		return
	}
	l.why = why
	if l.done != nil {
		close(l.done)
	}
	first, timer, leave := l.first, l.timer, l.leave
	l.first = nil
	for w := first; w != nil; w = w.next {
		w.in = false // nobody changes them any more
	}
	l.mu.Unlock()
	for w := first; w != nil; w = w.next {
		if w.child != nil {
			w.child.end(why)
		} else {
			go w.call()
		}
	}
	if timer != nil {
		timer.Stop()
	}
	if leave != nil {
		leave()
	}
	l.parent.part()
}

// follow puts w among those that hear of the end, unless that has come.
func (l *lifetime) follow(w *follower) (why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil {
		l.put(w)
	}
	return l.why
}

// put is follow with l.mu held, before the end.
func (l *lifetime) put(w *follower) {
	w.of, w.in, w.next = l, true, l.first
	if l.first != nil {
		l.first.prev = w
	}
	l.first = w
}

// part takes w from among those that hear of the end. It reports whether w has not
// heard of it.
func (w *follower) part() bool {
	if w.of == nil { // it never followed
		return false
	}
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	if !w.in {
		return false
	}
	w.in = false
	if w.next != nil {
		w.next.prev = w.prev
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		w.of.first = w.next
	}
	return true
}

// AfterFunc is what [context.AfterFunc] and contexts below look for.
func (l *lifetime) AfterFunc(f func()) (stop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why != nil {
		go f()
		return func() bool { return false }
	}
	w := &l.room
	if l.roomed { // never twice: who had it may still call stop
		w = new(follower)
	}
	l.roomed, w.call = true, f
	l.put(w)
	l.wait()
	return w.part
}

// Done implements [context.Context].
func (l *lifetime) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.why != nil {
			close(l.done)
		}
		l.wait()
	}
	return l.done
}

// Err implements [context.Context]. It is what the end was called with, so that
// [context.Cause] finds it.
func (l *lifetime) Err() error {
	if why := l.cause(); why != nil {
		return why
	}
	switch { // what l has not heard of yet
	case l.Context.Err() != nil:
		l.end(context.Cause(l.Context))
	case !l.deadline.IsZero() && !time.Now().Before(l.deadline):
		l.end(errTotal)
	}
	return l.cause()
}

// cause is why l ended, nil if it has not.
func (l *lifetime) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// Deadline implements [context.Context].
func (l *lifetime) Deadline() (time.Time, bool) {
	if at, ok := l.Context.Deadline(); l.deadline.IsZero() || ok && at.Before(l.deadline) {
		return at, ok
	}
	return l.deadline, true
}
