// SPDX-License-Identifier: Apache-2.0

// Package probe asks Google whether Gemini keys live and which models they may
// use: GET /v1beta/models, which costs no quota. The pool says which keys are due
// and learns what came of it; this package paces the questions, for Google blocks
// addresses that ask too much.
package probe

import (
	"context"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

const (
	// atOnce is how many probes are under way at the same time, at most.
	atOnce = 16
	// burst is how many probes may begin without a pause, every how long one more
	// may: an import of 10,000 keys takes some minutes.
	burst = 32
	every = 50 * time.Millisecond
	// patience is how long a probe may take.
	patience = 10 * time.Second
)

// Prober serves the probes of a pool.
type Prober struct {
	pool   *balancer.Pool
	pace   pace
	routes routes
}

// New returns the Prober of a pool, which must be probed while Run runs; see
// [balancer.Pool.SetProbed].
func New(pool *balancer.Pool) *Prober {
	return &Prober{pool: pool, routes: routes{}}
}

// ended is the end of a probe.
type ended struct {
	proxy   string
	began   time.Time
	outcome balancer.Outcome
}

// Run asks Google about the keys that are due, over their own routes, until ctx
// ends. Probes that are under way then are given back and due again. It may be
// called again once it has returned, and remembers what it learnt of the routes
// and how much it has asked; two calls must not run at the same time.
func (p *Prober) Run(ctx context.Context, client *upstream.Client) {
	ends := make(chan ended, atOnce)
	running := 0
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		var due []*balancer.Probe
		var next time.Time
		wanted := p.pool.ProbeWanted()
		switch room := min(atOnce-running, p.pace.left(now)); {
		case room > 0:
			due, next = p.pool.Probes(room)
		case running == atOnce:
			wanted = nil
		default:
			wanted, next = nil, p.pace.next()
		}
		for _, pr := range due {
			if p.routes.closed(pr.Proxy(), now) {
				pr.Done(putOff, nil)
				continue
			}
			p.pace.take(now)
			running++
			go func() { ends <- ask(ctx, client, pr) }()
		}
		if len(due) > 0 {
			continue // there may be more
		}
		var alarm <-chan time.Time
		if !next.IsZero() {
			timer.Reset(max(next.Sub(now), every)) // never a busy loop, whatever the clocks say
			alarm = timer.C
		}
		select {
		case <-ctx.Done():
		case <-wanted:
		case <-alarm:
		case e := <-ends:
			running--
			p.routes.note(e, time.Now())
		}
	}
	for ; running > 0; running-- {
		p.routes.note(<-ends, time.Now())
	}
}

// pace is a bucket of burst tokens, which gets one more every so often. The zero
// value is a full one.
type pace struct {
	full time.Time // when the bucket will be full
}

// left is how many probes may begin.
func (p *pace) left(now time.Time) int {
	missing := p.full.Sub(now)
	if missing <= 0 {
		return burst
	}
	return burst - int((missing+every-1)/every)
}

// next is when a probe may begin although none is left.
func (p *pace) next() time.Time { return p.full.Add(-(burst - 1) * every) }

// take is the beginning of a probe.
func (p *pace) take(now time.Time) {
	if p.full.Before(now) {
		p.full = now
	}
	p.full = p.full.Add(every)
}
