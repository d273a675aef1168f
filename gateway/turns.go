// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// turns let as many large requests and answers be converted at a time as there are
// processors, in the order in which they came. Go gives every goroutine its turn of up to
// 10 ms: a hundred that each have milliseconds of work would keep a short request waiting
// for a hundred of them, and all of their memory in use at once.
type turns struct {
	taken  chan struct{}
	waited atomic.Int64 // how long the last one waited that got its turn, in nanoseconds
	at     atomic.Int64 // when that was, in Unix nanoseconds
}

func newTurns() turns { return turns{taken: make(chan struct{}, runtime.GOMAXPROCS(0))} }

// await waits until it is the turn of so many bytes, which over ends. It fails with ctx.
// A nil Gate, and what is small, has its turn at any time.
func (g *Gate) await(ctx context.Context, bytes int) error {
	if g == nil || bytes < holdFrom {
		return nil
	}
	t := &g.turns
	select {
	case t.taken <- struct{}{}:
		t.waited.Store(0)
		return nil
	default:
	}
	since := time.Now()
	select {
	case t.taken <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	now := time.Now()
	t.waited.Store(int64(now.Sub(since)))
	t.at.Store(now.UnixNano())
	return nil
}

func (g *Gate) over(bytes int) {
	if g != nil && bytes >= holdFrom {
		<-g.turns.taken
	}
}

// tooLong reports whether turns have come so late that no more should be asked for.
func (t *turns) tooLong(now time.Time) bool {
	return t.waited.Load() > int64(burst) && now.UnixNano()-t.at.Load() < int64(time.Second)
}
