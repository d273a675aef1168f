// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"sync"
	"time"
)

// retryBudget keeps retries from multiplying the load on an upstream in trouble:
// over the last ten seconds at most a share of the requests may be repeated, and
// a few in any case. The zero value is ready.
// Source: specs/gateways.md U6 and §7.
type retryBudget struct {
	mu      sync.Mutex
	buckets [10]spent
}

// spent is what was asked of Google within a second, or several.
type spent struct{ second, requests, retries, helped, hedges int64 }

// What is there in ten seconds however few requests come: enough for a client that
// asks now and then. Three more for each retry that helped, because a Google that
// answers some is worth asking again; one that refuses everything is not.
const (
	fewRetries  = 10
	mostRetries = 30
)

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
	few := min(fewRetries+3*all.helped, mostRetries)
	if float64(all.retries) >= max(share*float64(all.requests), float64(few)) {
		return false
	}
	b.bucket(now).retries++
	return true
}

// help counts a request that was answered after a retry.
func (b *retryBudget) help() {
	now := time.Now().Unix()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bucket(now).helped++
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
			sum.helped += s.helped
			sum.hedges += s.hedges
		}
	}
	return sum
}
