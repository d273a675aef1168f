// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// Latency is how long things take. The zero value answers at once. What is drawn
// depends on Config.Seed, the request's body and how often that body was asked
// before, so that two runs with the same requests draw the same, in whatever
// order they arrive.
type Latency struct {
	// Uplink is the median time from arrival until a request counts against its
	// quotas. It varies (lognormal, σ = 0.5), so that requests overtake each other,
	// and is never more than [Latency.MaxUplink].
	Uplink time.Duration
	// Refusal is the time from the decision to refuse until the answer is sent.
	Refusal time.Duration
	// Output is the median time from the decision to serve until the first output;
	// the model thinks. It is lognormal with Sigma, and multiplied by Key.Slow.
	Output time.Duration
	Sigma  float64
}

// MaxUplink is the longest time until a request counts.
func (l Latency) MaxUplink() time.Duration { return 5 * l.Uplink }

func (l Latency) uplink(r *rand.Rand) time.Duration {
	return min(lognormal(r, l.Uplink, 0.5), l.MaxUplink())
}

func (l Latency) output(r *rand.Rand, slow float64) time.Duration {
	if slow <= 0 {
		slow = 1
	}
	return time.Duration(float64(lognormal(r, l.Output, l.Sigma)) * slow)
}

// lognormal draws a duration with this median.
func lognormal(r *rand.Rand, median time.Duration, sigma float64) time.Duration {
	if median <= 0 {
		return 0
	}
	return time.Duration(float64(median) * math.Exp(sigma*r.NormFloat64()))
}

// random is the source of what is drawn for this request.
func (x *exchange) random() *rand.Rand {
	if x.rand == nil {
		x.rand = x.s.draws.source(x.s.cfg.Seed, x.e.Body)
	}
	return x.rand
}

// draws remembers how often each body was asked.
type draws struct {
	mu    sync.Mutex
	asked map[uint64]uint32 // by hash
}

// maxAsked bounds the memory of bodies.
const maxAsked = 1 << 20

// source is that of the next request with this body.
func (d *draws) source(seed uint64, body []byte) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write(body) // a hash takes everything
	sum := h.Sum64()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked == nil || len(d.asked) > maxAsked {
		d.asked = map[uint64]uint32{}
	}
	n := d.asked[sum]
	d.asked[sum] = n + 1
	return rand.New(rand.NewPCG(seed^sum, uint64(n)))
}
