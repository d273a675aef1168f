// SPDX-License-Identifier: Apache-2.0

package store

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Decoded is a pair of a scan, and what was read out of it. Key is without the prefix.
type Decoded[T any] struct {
	Key   string
	Value T
	Err   error
}

// scanChunk is how many pairs are decoded at a time.
const scanChunk = 256

// ScanDecoded is Scan for what a start waits for: many pairs, whose decoding is most of
// the work. decode is called for several at a time, on all processors or on as many as
// workers says; then take for one after the other in the order of keys, until it returns
// false. decode gets the key without the prefix.
func ScanDecoded[T any](s Store, prefix string, workers int, decode func(key string, value []byte) (T, error), take func(Decoded[T]) bool) error {
	type chunk struct {
		raw     []Decoded[[]byte]
		decoded []Decoded[T]
		done    chan struct{}
	}
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	todo, inOrder := make(chan *chunk, 2*workers), make(chan *chunk, 2*workers)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for c := range todo {
				c.decoded = make([]Decoded[T], len(c.raw))
				for i, p := range c.raw {
					value, err := decode(p.Key, p.Value)
					c.decoded[i] = Decoded[T]{p.Key, value, err}
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
			if c.raw = append(c.raw, Decoded[[]byte]{Key: key[len(prefix):], Value: value}); len(c.raw) == scanChunk {
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
