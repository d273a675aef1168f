// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// pair is what a scan found, and what was read out of it.
type pair[T any] struct {
	key   string
	value T
	err   error
}

// scanChunk is how many pairs are read at a time.
const scanChunk = 256

// scanEach reads all pairs under a prefix: on all processors with decode, since a start
// waits for it, and then with take, one by one in the order of their keys, until that
// returns false. decode gets the key without the prefix.
func scanEach[T any](s store.Store, prefix string, decode func(key string, value []byte) (T, error), take func(pair[T]) bool) error {
	type chunk struct {
		raw     []pair[[]byte]
		decoded []pair[T]
		done    chan struct{}
	}
	workers := runtime.GOMAXPROCS(0)
	todo, inOrder := make(chan *chunk, 2*workers), make(chan *chunk, 2*workers)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for c := range todo {
				c.decoded = make([]pair[T], len(c.raw))
				for i, p := range c.raw {
					value, err := decode(p.key, p.value)
					c.decoded[i] = pair[T]{p.key, value, err}
				}
				close(c.done)
			}
		})
	}
	var failed error
	var enough atomic.Bool
	all.Go(func() {
		defer close(inOrder)
		defer close(todo)
		c := &chunk{done: make(chan struct{})}
		send := func() {
			todo <- c
			inOrder <- c
			c = &chunk{done: make(chan struct{})}
		}
		failed = s.Scan(prefix, "", func(key string, value []byte) bool {
			if c.raw = append(c.raw, pair[[]byte]{key: key[len(prefix):], value: value}); len(c.raw) == scanChunk {
				send()
			}
			return !enough.Load()
		})
		send()
	})
	for c := range inOrder {
		<-c.done
		for _, p := range c.decoded {
			if !enough.Load() && !take(p) {
				enough.Store(true)
			}
		}
	}
	all.Wait()
	return failed
}
