// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"sync"
	"time"
)

// retryBudget keeps retries from multiplying the load on an upstream in trouble:
// over the last ten seconds at most a share of the requests may be repeated,
// three a second in any case. The zero value is ready.
// Source: specs/gateways.md U6 and §7.
type retryBudget struct {
	mu      sync.Mutex
	buckets [10]spent
}

// spent is what was asked of Google within a second, or several.
type spent struct{ second, requests, retries, hedges int64 }

const retriesPerSecond = 3

// bucket returns that of the current second. mu is held.
func (b *retryBudget) bucket(now int64) *spent {
	s := &b.buckets[now%int64(len(b.buckets))]
	if s.second != now {
		*s = spent{second: now}
	}
	return s
}

// request counts a client request.
func (b *retryBudget) request() {
	now := time.Now().Unix()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bucket(now).requests++
}

// take reports whether one more retry fits into share (0.2 = 20 %) and counts it.
func (b *retryBudget) take(share float64) bool {
	now := time.Now().Unix()
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.all(now)
	if float64(all.retries) >= max(share*float64(all.requests), float64(retriesPerSecond*len(b.buckets))) {
		return false
	}
	b.bucket(now).retries++
	return true
}

// hedge reports whether one more request may be asked of a second project, so that
// those are at most share of all, and counts it.
func (b *retryBudget) hedge(share float64) bool {
	now := time.Now().Unix()
	b.mu.Lock()
	defer b.mu.Unlock()
	if all := b.all(now); float64(all.hedges+1) > share*float64(all.requests) {
		return false
	}
	b.bucket(now).hedges++
	return true
}

// unhedge takes back what hedge counted, for a request that found no second key.
func (b *retryBudget) unhedge() {
	now := time.Now().Unix()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bucket(now).hedges--
}

// all sums the last ten seconds up. mu is held.
func (b *retryBudget) all(now int64) (sum spent) {
	for i := range b.buckets {
		if s := &b.buckets[i]; s.second > now-int64(len(b.buckets)) {
			sum.requests += s.requests
			sum.retries += s.retries
			sum.hedges += s.hedges
		}
	}
	return sum
}
