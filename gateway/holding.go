// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// holdings are the large answers that are held in memory, beside the bodies of
// requests that a [Gate] counts, the eldest first. Google has made them, and they may be
// paid for: where there is no room, they wait on the connection instead of being
// refused. The eldest never waits, so that those who hold something never wait for one
// another.
type holdings struct {
	mu sync.Mutex
	of list.List // of *holding

	waits atomic.Int64 // since when the first that waits does so, in Unix nanoseconds; 0 = none does
}

// tooLong reports whether answers wait for so long that no more should be asked for.
func (a *holdings) tooLong(now time.Time) bool {
	since := a.waits.Load()
	return since != 0 && now.UnixNano()-since > int64(burst)
}

// holding is the room that one answer takes.
type holding struct {
	gate  *Gate
	place *list.Element // in the Gate's holdings; nil before it takes anything
	bytes int64
	more  int64         // it waits for so many bytes; 0 = it does not wait
	since int64         // when it waited first, in Unix nanoseconds
	room  chan struct{} // closed when it has them
}

// grow takes as much room as makes bytes in all. Where there is none it returns what is
// closed when there is; nil otherwise.
func (h *holding) grow(bytes int64) (wait <-chan struct{}) {
	if bytes <= h.bytes {
		return nil
	}
	all := &h.gate.answers
	all.mu.Lock()
	defer all.mu.Unlock()
	if h.place == nil {
		h.place = all.of.PushBack(h)
	}
	h.more, h.room = bytes-h.bytes, make(chan struct{})
	if h.gate.serveHoldings(); h.more == 0 {
		return nil
	}
	if h.since == 0 {
		h.since = time.Now().UnixNano()
	}
	return h.room
}

// leave gives all of it back, and waits no longer. A nil holding has nothing.
func (h *holding) leave() {
	if h == nil || h.place == nil {
		return
	}
	all := &h.gate.answers
	all.mu.Lock()
	defer all.mu.Unlock()
	all.of.Remove(h.place)
	h.gate.held.Add(-h.bytes)
	h.place, h.bytes, h.more = nil, 0, 0
	h.gate.serveHoldings()
}

// answerRoom is the room of the answer that an attempt receives. It begins with none;
// without a Gate none is needed.
type answerRoom struct {
	gate *Gate
	dog  *watchdog     // of the attempt
	idle time.Duration // how long Google may be silent
	held *holding      // nil for none
}

// Take implements [sse.Room], for bytes and what is made of them. It waits for as long as
// the attempt may take, which Google's silence does not end meanwhile.
func (r *answerRoom) Take(bytes int64) error {
	if bytes < holdFrom || r.gate == nil {
		return nil
	}
	if r.held == nil {
		r.held = &holding{gate: r.gate}
	}
	wait := r.held.grow(2 * bytes)
	if wait == nil {
		return nil
	}
	r.dog.rest(r.idle, time.Now())
	select {
	case <-wait:
		r.dog.feed(r.idle, time.Now())
		return nil
	case <-r.dog.Done():
		return context.Cause(r.dog)
	}
}

// Leave implements [sse.Room].
func (r *answerRoom) Leave() {
	r.held.leave()
	r.held = nil
}

// serveHoldings gives those who wait what there is, in their order. g.answers.mu is held.
func (g *Gate) serveHoldings() {
	for e := g.answers.of.Front(); e != nil; e = e.Next() {
		h := e.Value.(*holding)
		if h.more == 0 {
			continue
		}
		if g.held.Add(h.more) > g.mostHeld && e.Prev() != nil {
			g.held.Add(-h.more)
			if h.since == 0 {
				h.since = time.Now().UnixNano()
			}
			g.answers.waits.Store(h.since)
			return
		}
		h.bytes, h.more = h.bytes+h.more, 0
		close(h.room)
	}
	g.answers.waits.Store(0)
}
