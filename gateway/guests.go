// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"crypto/sha256"
	"strings"
	"sync"
	"time"
)

const (
	// guestPrefix stands before what Issue makes. No user key begins so.
	guestPrefix = "gbp-"
	// guestLife is how long a guest may stay. Source: specs/ui.md §3.8.
	guestLife = 10 * time.Minute
	maxGuests = 256
	// Guest is the user of guests who are under no user key's limits.
	Guest = "playground"
)

// Guests are keys for a few minutes that an operator tries the API with: in memory
// only, for the limits and the books of a user key, or for none, with any Gemini
// key or one. All sites share one. Safe for concurrent use. The zero value is ready.
type Guests struct {
	mu   sync.Mutex
	keys map[[32]byte]guest // by SHA-256
}

type guest struct {
	user  string // id of the user key, "" for none
	only  string // id of the one Gemini key that serves it, "" for any
	until time.Time
	ended <-chan struct{} // of the operator's session; nil = none
}

func (g *guest) valid(now time.Time) bool {
	select {
	case <-g.ended:
		return false
	default:
		return now.Before(g.until)
	}
}

// Issue makes a key that counts as the user key with this id, or as [Guest] for "",
// and is served by the Gemini key with the id only, or by any for "". It is good
// for ten minutes, or until ended is closed. Of very many the one that
// ends first goes.
func (g *Guests) Issue(user, only string, ended <-chan struct{}, now time.Time) (secret string, until time.Time) {
	secret, until = guestPrefix+randomID(43), now.Add(guestLife)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.keys == nil {
		g.keys = map[[32]byte]guest{}
	}
	var first [32]byte
	for hash, old := range g.keys {
		if !old.valid(now) {
			delete(g.keys, hash)
		} else if oldest, ok := g.keys[first]; !ok || old.until.Before(oldest.until) {
			first = hash
		}
	}
	if len(g.keys) >= maxGuests {
		delete(g.keys, first)
	}
	g.keys[sha256.Sum256([]byte(secret))] = guest{user, only, until, ended}
	return secret, until
}

// find tells whose guest a key is, and which Gemini key is to serve it.
func (g *Guests) find(secret string, now time.Time) (user, only string, ok bool) {
	if g == nil || !strings.HasPrefix(secret, guestPrefix) {
		return "", "", false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	found, ok := g.keys[sha256.Sum256([]byte(secret))]
	return found.user, found.only, ok && found.valid(now)
}
