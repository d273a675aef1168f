// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/badger"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// callers is how many user keys send requests, of all.
const callers = 1000

// grown is a gateway with so many keys.
func grown(name string, geminiKeys, userKeys int) *system {
	return &system{name: name, config: gatewayConfig, fill: func(dir string) ([]string, error) {
		return fillStore(dir, geminiKeys, userKeys)
	}}
}

// fillStore makes a store with keys through the packages, as a gateway would have.
func fillStore(dir string, geminiKeys, userKeys int) (secrets []string, err error) {
	db, err := badger.Open(dir, badger.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	sealer, err := store.LoadMasterKey(db, nil, filepath.Join(dir, "master.key"))
	if err != nil {
		return nil, err
	}
	pool, err := balancer.Open(balancer.Options{Store: db, Sealer: sealer, Strategy: "round_robin"})
	if err != nil {
		return nil, err
	}
	keys := make([]balancer.NewKey, geminiKeys)
	for i := range keys {
		keys[i] = balancer.NewKey{Secret: fmt.Sprintf("bench-gemini-key-%d", i)}
	}
	if _, err = pool.Add(context.Background(), keys); err != nil {
		return nil, err
	}
	for range geminiKeys { // each has served, so that none is probed while the others are measured
		lease, err := pool.Lease(context.Background(), balancer.Want{Model: modelSmall, Tokens: 200})
		if err != nil {
			return nil, err
		}
		lease.Done(balancer.Outcome{Status: 200, Tokens: 260, Input: 180})
	}
	if err = pool.Flush(); err != nil {
		return nil, err
	}
	registry, err := users.Open(db, users.Options{})
	if err != nil {
		return nil, err
	}
	spec := users.Spec{Name: "bench", Limits: users.Limits{RPM: 10_000_000, TPM: 1_000_000_000_000, RPD: 1_000_000_000, Concurrency: 100_000}}
	for made := 0; made < userKeys; {
		some, err := registry.CreateMany(context.Background(), spec, min(users.MaxCreate, userKeys-made))
		if err != nil {
			return nil, err
		}
		made += len(some)
		for i := range some {
			if len(secrets) < callers {
				secrets = append(secrets, some[i].Secret)
			}
		}
	}
	return secrets, nil
}
