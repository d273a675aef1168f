// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/bench/rows"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/badger"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

const (
	week      = 7 * 24 * time.Hour
	busyUsers = 10_000 // of the user keys, those with rows in the log
	callers   = 1_000  // of them, those whose secrets are kept for requests
)

var models = [...]string{"gemini-3-flash", "gemini-3-pro", "gemini-2.5-flash"}

// fill makes a store as a gateway would have filled it, through the packages.
func fill(dir string, want size) (secrets []string, err error) {
	began := time.Now()
	db, err := badger.Open(dir, badger.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	sealer, err := store.LoadMasterKey(db, nil, filepath.Join(dir, "master.key"))
	if err != nil {
		return nil, err
	}
	userIDs, secrets, err := fillUsers(db, want.Users)
	if err != nil {
		return nil, err
	}
	fmt.Printf("%d user keys after %v\n", want.Users, time.Since(began).Round(time.Second))
	keyIDs, err := fillKeys(db, sealer, want.Keys)
	if err != nil {
		return nil, err
	}
	fmt.Printf("%d Gemini keys after %v\n", want.Keys, time.Since(began).Round(time.Second))
	err = fillRows(db, want.Rows, userIDs[:min(busyUsers, len(userIDs))], keyIDs)
	fmt.Printf("%d rows after %v\n", want.Rows, time.Since(began).Round(time.Second))
	return secrets, err
}

// fillUsers makes user keys of a thousand teams.
func fillUsers(db store.Store, n int) (ids, secrets []string, err error) {
	r, err := users.Open(db, users.Options{})
	if err != nil {
		return nil, nil, err
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for len(ids) < n {
		spec := users.Spec{Name: fmt.Sprintf("user %06d", rng.IntN(1_000_000)), Labels: []string{fmt.Sprintf("team-%d", len(ids)/1000%1000)}}
		if rng.IntN(3) == 0 {
			spec.ExpiresAt = time.Now().Add(time.Duration(1+rng.IntN(400)) * 24 * time.Hour)
		}
		made, err := r.CreateMany(context.Background(), spec, min(users.MaxCreate, n-len(ids)))
		if err != nil {
			return nil, nil, err
		}
		for i := range made {
			ids = append(ids, made[i].Key.ID)
			if len(secrets) < callers {
				secrets = append(secrets, made[i].Secret)
			}
		}
	}
	return ids, secrets, nil
}

// fillKeys makes Gemini keys, each of which has served, so that there is something
// known of all.
func fillKeys(db store.Store, sealer *store.Sealer, n int) (ids []string, err error) {
	p, err := balancer.Open(balancer.Options{Store: db, Sealer: sealer, Strategy: "round_robin"})
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(2, 2))
	m := rows.Maker{Rand: rng}
	keys := make([]balancer.NewKey, n)
	for i := range keys {
		keys[i] = balancer.NewKey{
			Secret: m.ID("AIzaSy", 33), Name: fmt.Sprintf("key %06d", rng.IntN(1_000_000)),
			Tags: []string{fmt.Sprintf("batch-%d", i/1000)}, Disabled: rng.IntN(50) == 0,
		}
	}
	results, err := p.Add(context.Background(), keys)
	if err != nil {
		return nil, err
	}
	for i := range results {
		if results[i].Err != nil {
			return nil, results[i].Err
		}
		ids = append(ids, results[i].Key.ID)
	}
	for _, model := range models {
		for range n {
			l, err := p.Lease(context.Background(), balancer.Want{Model: model, Tokens: 200})
			if err != nil {
				return nil, err
			}
			l.Done(balancer.Outcome{Status: 200, Tokens: 260, Input: 180})
		}
	}
	return ids, p.Flush()
}

// fillRows makes the log of the last week, a flush for every 4,000 rows.
func fillRows(db store.Store, n int, userIDs, keyIDs []string) error {
	end := time.Now().Add(-time.Second)
	m := &rows.Maker{
		Rand: rand.New(rand.NewPCG(3, 3)), At: end.Add(-week), Step: week / time.Duration(max(n, 1)),
		Users: len(userIDs), User: func(i int) string { return userIDs[i] }, Keys: len(keyIDs), Key: func(i int) string { return keyIDs[i] },
	}
	l, err := usage.Open(db, usage.Options{Now: func() time.Time { return m.At }, Log: usage.LogOptions{Retention: 2 * week, MaxSize: 4 << 30}})
	if err != nil {
		return err
	}
	for done := range n {
		l.Add(m.Record())
		if done%4000 == 3999 {
			if err := l.Flush(); err != nil {
				return err
			}
		}
	}
	return l.Flush()
}
