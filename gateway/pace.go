// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"slices"
	"sync"
	"time"
)

const (
	paceSamples = 64  // kept of each model, the newest
	paceEnough  = 20  // of them say something
	maxPaced    = 256 // models; names come from clients, but only those that answered count
)

// pace knows how long models took to their first output of late. The zero value
// is ready.
type pace struct {
	mu     sync.Mutex
	models map[paced]*samples
}

// samples are the times of the newest requests, in a ring.
type samples struct {
	times [paceSamples]time.Duration
	n     int // of all that came
}

// paced is what has a pace of its own: whole answers take longer to begin.
type paced struct {
	model  string
	stream bool
}

// add takes the time of one more request, or what it has waited so far if that is
// all that will be known.
func (p *pace) add(k paced, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ring := p.models[k]
	if ring == nil {
		if p.models == nil || len(p.models) >= maxPaced {
			p.models = map[paced]*samples{} // a fresh start costs some samples
		}
		ring = new(samples)
		p.models[k] = ring
	}
	ring.times[ring.n%paceSamples] = took
	ring.n++
}

// slow is the time that 19 of 20 requests took at most; not known before enough of
// them answered.
func (p *pace) slow(k paced) (after time.Duration, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ring := p.models[k]
	if ring == nil || ring.n < paceEnough {
		return 0, false
	}
	sorted := ring.times
	times := sorted[:min(ring.n, paceSamples)]
	slices.Sort(times)
	return times[(len(times)*19+19)/20-1], true
}
