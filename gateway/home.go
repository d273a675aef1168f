// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// A user's home is the project that all they make goes to while it can: a request
// can only name several files, or a file and a cache, that are in one project.
// Source: specs/native-anthropic.md A.3.

const (
	homePrefix = "homes/"
	homeLife   = 30 * 24 * time.Hour // since something was made last
	homeFresh  = 24 * time.Hour      // age at which a home is written again
)

// homeRecord is what is kept of a home.
type homeRecord struct {
	Bound balancer.Binding `json:"bound"`
	At    time.Time        `json:"at"`
}

// home returns a user's home, with what the store has of it; nil for none.
func (r *Resources) home(user string) (home *homeRecord, raw []byte) {
	raw, err := r.store.Get(homePrefix + user)
	if err != nil {
		return nil, nil
	}
	value, err := r.sealer.Open(homePrefix+user, raw)
	if err != nil || json.Unmarshal(value, &home) != nil {
		return nil, raw
	}
	return home, raw
}

// move makes a project the user's home in place of what the store had, raw. Of
// several who try, one succeeds; the others get store.ErrConflict.
func (r *Resources) move(user string, to balancer.Binding, raw []byte) (now []byte, err error) {
	value, err := json.Marshal(homeRecord{to, time.Now()})
	if err != nil {
		return nil, err
	}
	key := homePrefix + user
	now = r.sealer.Seal(key, value)
	return now, r.store.Write(store.Batch{
		Expect: []store.Expect{{Key: key, Value: raw}},
		Ops:    []store.Op{{Key: key, Value: now, TTL: homeLife}},
	})
}

// make makes something in the user's home, or in another project, which is the
// home then. elsewhere tells whether a failure may be mended by another project.
func (x *exchange) make(attempt func(*balancer.Lease) result, elsewhere func(*translate.Failure) bool) *translate.Failure {
	want, retry := x.want()
	want.Unmetered = !x.makes() || want.Unmetered
	want.Affinity = fnv([]byte("home of " + x.record.UserID))
	for range 3 {
		home, raw := x.g.Resources.home(x.record.UserID)
		if home != nil && x.mayUse(want, home.Bound) {
			bound := want
			bound.Bound, bound.Tried, bound.Wait = &home.Bound, new(balancer.Tried), 0
			f := x.try(bound, retry, attempt)
			if f == nil && time.Since(home.At) > homeFresh {
				_, _ = x.g.Resources.move(x.record.UserID, home.Bound, raw) // or somebody else did
			}
			if f == nil || !elsewhere(f) {
				return f
			}
		}
		want.Tried = new(balancer.Tried)
		settled := true
		f := x.try(want, retry, func(lease *balancer.Lease) result {
			if raw, settled = x.settleIn(lease.Binding(), raw); !settled {
				return result{
					balancer.Outcome{Verdict: balancer.Canceled, Reason: "another project became the user's home"},
					&translate.Failure{Kind: translate.Overloaded, Message: "The user's files go to another project."},
				}
			}
			return attempt(lease)
		})
		if settled {
			return f
		}
	}
	want.Tried = new(balancer.Tried)
	return x.try(want, retry, attempt)
}

// settleIn makes a project the home. It reports false where another request has
// made a different one that meanwhile.
func (x *exchange) settleIn(bound balancer.Binding, raw []byte) (now []byte, ok bool) {
	now, err := x.g.Resources.move(x.record.UserID, bound, raw)
	if !errors.Is(err, store.ErrConflict) {
		return now, true
	}
	home, now := x.g.Resources.home(x.record.UserID)
	return now, home != nil && x.g.projectOf(home.Bound) == x.g.projectOf(bound)
}

// mayUse reports whether the user key may use the key that a binding names.
func (x *exchange) mayUse(want balancer.Want, b balancer.Binding) bool {
	key, ok := x.g.Pool.Get(b.KeyID)
	return ok && (want.Only == "" || want.Only == b.KeyID) && (key.Paid || !want.PaidOnly) && (len(want.Tags) == 0 ||
		slices.ContainsFunc(want.Tags, func(tag string) bool { return slices.Contains(key.Tags, tag) }))
}
