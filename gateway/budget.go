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
	buckets [10]struct{ second, requests, retries int64 }
}

const retriesPerSecond = 3

// bucket returns that of the current second. mu is held.
func (b *retryBudget) bucket(now int64) *struct{ second, requests, retries int64 } {
	s := &b.buckets[now%int64(len(b.buckets))]
	if s.second != now {
		s.second, s.requests, s.retries = now, 0, 0
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
	var requests, retries int64
	for i := range b.buckets {
		if s := &b.buckets[i]; s.second > now-int64(len(b.buckets)) {
			requests += s.requests
			retries += s.retries
		}
	}
	if float64(retries) >= max(share*float64(requests), float64(retriesPerSecond*len(b.buckets))) {
		return false
	}
	b.bucket(now).retries++
	return true
}
