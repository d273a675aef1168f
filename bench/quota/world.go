// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/gateway"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// world is a gateway between clients and a simulated Google. What a restart
// keeps is the store alone.
type world struct {
	google   *fakegemini.Server
	up       *upstream.Client
	db       store.Store
	sealer   *store.Sealer
	strategy string
	settings settings.Patch
	key      string // a user key

	gw   atomic.Pointer[gateway.Gateway]
	pool atomic.Pointer[balancer.Pool]
	stop func() // ends the goroutines of this life
}

// build makes a world; real says whether it is one of sockets.
func build(c fakegemini.Config, wait time.Duration, strategy string, real bool) (*world, error) {
	w := &world{google: fakegemini.New(c), db: memory.New(), strategy: strategy}
	to := upstream.Config{UserAgent: "bench", MaxIdle: 4096}
	if real {
		if err := w.google.Start(); err != nil {
			return nil, err
		}
	} else {
		net := newPipes()
		if err := w.google.Serve(net, nil); err != nil {
			return nil, err
		}
		to.Dial = net.dial
	}
	to.BaseURL = w.google.URL
	var err error
	if w.up, err = upstream.New(to); err != nil {
		return nil, err
	}
	if w.sealer, err = store.NewSealer(bytes.Repeat([]byte{7}, 32)); err != nil {
		return nil, err
	}
	w.settings = settings.Patch{"retry.wait": wait}
	if err := w.open(); err != nil {
		return nil, err
	}
	var keys []balancer.NewKey
	for _, k := range c.Keys {
		keys = append(keys, balancer.NewKey{Secret: k.Secret})
	}
	ctx := context.Background()
	if _, err := w.pool.Load().Add(ctx, keys); err != nil {
		return nil, err
	}
	registry, err := users.Open(w.db, users.Options{})
	if err != nil {
		return nil, err
	}
	_, w.key, err = registry.Create(ctx, users.Spec{Name: "bench", Unlimited: true})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// open brings everything up that a process has, from the store.
func (w *world) open() error {
	pool, err := balancer.Open(balancer.Options{Store: w.db, Sealer: w.sealer, Strategy: w.strategy})
	if err != nil {
		return err
	}
	registry, err := users.Open(w.db, users.Options{})
	if err != nil {
		return err
	}
	ledger, err := usage.Open(w.db, usage.Options{})
	if err != nil {
		return err
	}
	set, err := settings.Open(w.db, w.settings)
	if err != nil {
		return err
	}
	gw, err := gateway.New(gateway.Config{Pool: pool, Users: registry, Usage: ledger, Settings: set, Upstream: w.up, Version: "bench"})
	if err != nil {
		return err
	}
	w.pool.Store(pool)
	w.gw.Store(gw)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = pool.Run(ctx) })   // memory does not fail
	running.Go(func() { _ = ledger.Run(ctx) }) // as above
	w.stop = func() {
		cancel()
		running.Wait()
	}
	return nil
}

// restart ends the process and starts another one on the same store.
func (w *world) restart() error {
	w.stop()
	if err := w.open(); err != nil {
		return fmt.Errorf("opening again after a restart: %w", err)
	}
	return nil
}

func (w *world) close() {
	w.stop()
	w.up.Close()
	w.google.Close()
}
