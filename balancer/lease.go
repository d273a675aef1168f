// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// Want is what a request needs of a key. The zero value takes any key at once.
type Want struct {
	Model    string   // Gemini model id without "models/"; "" where no model is involved
	Tags     []string // the key must carry at least one of these; nil for any key
	PaidOnly bool
	Bound    *Binding // only keys of the project that made a resource; nil for any
	Only     string   // only the key with this id, to try it out; "" for any
	Tried    *Tried   // what this request has used; nil for a request that asks once
	Tokens   int64    // estimate of input tokens, reserved until the true number is known
	Cost     int64    // estimate of what it will cost in nano-USD, likewise; 0 for unknown
	Affinity uint64   // hash of what requests of one conversation have in common; 0 for none
	// Unmetered is for methods that cost no quota of the model: countTokens, models.
	Unmetered bool
	User      string        // whose request it is: those who wait take turns by user; "" is one, too
	Wait      time.Duration // how long to wait for a recovery; 0 not at all, nor before those who wait

	estimate int64 // Tokens as given, before refusals raised it
	over     int64 // a limit that the request is larger than, as they told; 0 for none
}

// Lease is the right to one attempt with one key. It counts as in flight until
// [Lease.Done]. No verb of fmt prints the secret.
type Lease struct {
	pool  *Pool
	entry *entry
	lane  *lane
	model string
	tried *Tried
	began time.Time
	done  atomic.Bool

	quota    *quota // nil for an unmetered request
	reserved reservation
	estimate int64 // of input tokens, as the request gave it
	stake    stake // zero for an unmetered request
}

// Lease returns the right to one attempt with a key that may be used now. Where
// all rest, it waits up to w.Wait if one is back by then, in turns by
// user. Its error is an [*Unavailable], or ctx's if that ends first. Every
// lease must be Done.
func (p *Pool) Lease(ctx context.Context, w Want) (*Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := p.notice(p.now())
	if p.nextRest.Load() <= now.UnixNano() && p.mu.TryLock() {
		p.advance(now, restsPerPick)
		p.unlock()
	}
	if grace := time.Duration(p.grace.Load() - now.UnixNano()); grace > 0 {
		w.Wait = max(w.Wait, grace+time.Millisecond)
	}
	least, over, enough := w.Tried.size()
	w.estimate, w.over, w.Tokens = w.Tokens, over, max(w.Tokens, least)
	if enough && !w.Unmetered {
		return nil, w.tooLarge(over)
	}
	var l *lane
	if w.Bound != nil || w.Only != "" {
		l = p.fewLane(&w)
	} else {
		l = p.lane(w.Model, w.Tags, w.PaidOnly)
	}
	if l.outgrown(&w, now) {
		return nil, w.tooLarge(l.widest.Load())
	}
	// Whoever needs room stands behind those who wait for it.
	if l.waiting.Load() == 0 || w.Unmetered && w.Wait <= 0 {
		if !p.shortOf(l, &w, now) {
			if lease := p.take(l, &w, now, false); lease != nil {
				return lease, nil
			}
			if !w.Unmetered && !w.Tried.used() {
				p.noteShort(l, w.Tokens, now)
			}
		}
	}
	return p.await(ctx, w, l, now)
}

// Secret returns the Gemini key.
func (l *Lease) Secret() string { return *l.entry.secret }

// KeyID returns the key's public handle.
func (l *Lease) KeyID() string { return l.entry.id }

// Project returns the key's project; for a key with a project of its own, the
// key's id.
func (l *Lease) Project() string { return l.entry.live.Load().project.id }

// Proxy returns the URL of the key's egress route, "" for the default one.
func (l *Lease) Proxy() string { return l.entry.proxy() }

// Format implements [fmt.Formatter] for all verbs: a lease is printed as the
// id of its key.
func (l *Lease) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "{lease of "+l.entry.id+"}")
}

// Done ends the lease and applies the attempt's outcome to the pool. Exactly
// the first call counts. It does no I/O: what must be kept is handed to
// [Pool.Run].
func (l *Lease) Done(o Outcome) {
	if !l.done.CompareAndSwap(false, true) {
		return
	}
	l.entry.inFlight.Add(-1)
	l.pool.inFlight.Add(-1)
	l.tried.end(o)
	if o.troubles() {
		l.lane.troubled.Store(true)
	}
	excused := l.pool.excuse(l, &o)
	l.pool.settle(l, &o)
	l.pool.spent(l, &o)
	l.pool.travelled(l, &o)
	switch {
	case o.Verdict == OK:
		l.pool.succeeded(l)
	case excused || o.Blame != ScopeNone || o.State != "" || o.Consumer != "":
		l.pool.blame(l, o)
	}
}
