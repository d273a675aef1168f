// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"crypto/sha256"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// How much guessing is allowed. Source: specs/ui.md §5.
const (
	failureWindow   = time.Minute
	failuresPerNet  = 5  // wrong keys in a window from one address
	failuresPerAll  = 60 // wrong keys in a window from everywhere; then one per address
	maxRememberNets = 4096
)

// maxCredential bounds what is hashed; longer ones are wrong anyway.
const maxCredential = 1024

// guard slows the guessing of keys. An address that sent too many wrong ones is
// refused unseen until its window ends. While the whole world guesses, each address
// has one wrong try instead of five; a right key from an address without one always
// gets in, so that guessing locks no operator out. It is shared by all ways to send
// a key: the header, signing in, signing in again.
//
// Requests without a key are not guesses and not counted: any page could make an
// operator's browser send them.
type guard struct {
	now func() time.Time

	mu   sync.Mutex
	all  failures
	nets map[netip.Prefix]failures
}

// failures counts wrong keys since the first of a window.
type failures struct {
	since time.Time
	count int
}

func (f failures) at(now time.Time) failures {
	if now.Sub(f.since) >= failureWindow {
		return failures{since: now}
	}
	return f
}

// try compares a key that came from ip; roleOf says what the key with a hash opens,
// "" for nothing, in constant time. Comparing and counting are one step: parallel
// guesses get no extra tries.
func (g *guard) try(given string, sent bool, ip netip.Addr, roleOf func(hash [32]byte) role) (role, *Problem) {
	if len(given) > maxCredential {
		given = "" // wrong anyway
	}
	hash := sha256.Sum256([]byte(given))
	from := network(ip)
	now := g.now()

	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = g.all.at(now)
	mine := g.nets[from].at(now)
	allowed := failuresPerNet
	if g.all.count >= failuresPerAll {
		allowed = 1
	}
	if mine.count >= allowed {
		p := problem(http.StatusTooManyRequests, "too_many_failures", "Too many wrong admin keys came from this address. Wait, then try again.")
		p.retryAfter = mine.since.Add(failureWindow).Sub(now)
		return "", p
	}
	if !sent {
		return "", problem(http.StatusUnauthorized, "missing_admin_key", "Send the admin key in the header Authorization: Bearer <admin key>.")
	}
	if r := roleOf(hash); r != "" {
		return r, nil
	}
	mine.count++
	g.all.count++
	g.remember(from, mine, now)
	return "", problem(http.StatusUnauthorized, "wrong_admin_key", "This is not the admin key. User keys and Gemini keys do not work here.")
}

// remember keeps the count of a network, within bounds: if so many addresses
// guess in one window, further ones are held by the count of all alone.
func (g *guard) remember(from netip.Prefix, f failures, now time.Time) {
	if g.nets == nil {
		g.nets = make(map[netip.Prefix]failures)
	}
	if _, known := g.nets[from]; !known && len(g.nets) >= maxRememberNets {
		for net, old := range g.nets {
			if now.Sub(old.since) >= failureWindow {
				delete(g.nets, net)
			}
		}
		if len(g.nets) >= maxRememberNets {
			return
		}
	}
	g.nets[from] = f
}

// credential finds the key in the Authorization header, with or without Bearer.
func credential(h http.Header) (key string, sent bool) {
	values := h["Authorization"]
	if len(values) == 0 {
		return "", false
	}
	if len(values) > 1 || len(values[0]) > maxCredential {
		return "", true // ambiguous or absurd: wrong
	}
	key = strings.TrimSpace(values[0])
	if scheme, token, ok := strings.Cut(key, " "); ok && strings.EqualFold(scheme, "Bearer") {
		key = strings.TrimSpace(token)
	}
	return key, key != "" && !strings.EqualFold(key, "Bearer")
}

// network is whose failures are counted together: an IPv4 address, or the /64
// that one IPv6 customer has at least.
func network(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	net, _ := ip.Prefix(bits) // the zero address gives the zero Prefix: one more network
	return net
}
