// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"runtime"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// BenchmarkCollect is what the collector takes to go through 100,000 used keys that
// were there at the start.
func BenchmarkCollect(b *testing.B) {
	s := memory.New()
	p := open(b, s, 100_000)
	for range 100_000 {
		lease(b, p, Want{Tokens: 10}).Done(ok)
	}
	if err := p.Flush(); err != nil {
		b.Fatal(err)
	}
	p = open(b, s, 0)
	p.store = nil // what is in it is nothing of ours
	for b.Loop() {
		runtime.GC()
	}
	runtime.KeepAlive(p)
}
