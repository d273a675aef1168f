// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

const (
	// hashes is how many keys of its own order a conversation looks at before it is
	// treated as any other request.
	hashes = 8
	// homes is how many conversations are remembered; a power of two.
	homes    = 1 << 15
	crowded  = 1.15 // times the least cost beyond which a key takes no new conversation
	slotBits = 24   // of an entry, for the slot and 1; the others tell conversations apart
)

// affinity remembers where conversations were answered last, so that one which
// had to leave its first key stays with the next: that has the longest prefix
// now. An entry is overwritten by another conversation at times; then the hash
// alone decides. It is safe for concurrent use.
type affinity [homes]atomic.Uint64

// slot returns where the conversation was answered last, or -1.
func (a *affinity) slot(hash uint64) int {
	v := a[hash%homes].Load()
	if v>>slotBits != hash>>slotBits {
		return -1
	}
	return int(v&(1<<slotBits-1)) - 1
}

// keep notes where the conversation goes, and reports whether that is news.
func (a *affinity) keep(hash uint64, slot int) bool {
	v := hash>>slotBits<<slotBits | uint64(slot+1)&(1<<slotBits-1)
	return a[hash%homes].Swap(v) != v
}

// move is a conversation that went to a key.
type move struct {
	hash uint64
	id   string
}

// settleAt notes that the conversation goes to e.
func (p *Pool) settleAt(hash uint64, e *entry) {
	if !p.affinity.keep(hash, e.slot) {
		return
	}
	p.touchedMu.Lock()
	defer p.touchedMu.Unlock()
	if p.moves == nil {
		p.moves = map[uint64]move{}
	}
	p.moves[hash%homes] = move{hash, e.id}
}

// moveAgain puts moves among what Flush writes, but for those that others followed.
func (p *Pool) moveAgain(moves []move) {
	p.touchedMu.Lock()
	defer p.touchedMu.Unlock()
	for _, m := range moves {
		if _, moved := p.moves[m.hash%homes]; moved {
			continue
		}
		if p.moves == nil {
			p.moves = map[uint64]move{}
		}
		p.moves[m.hash%homes] = m
	}
}

// homeFor is how long a home outlives the last move in the store. Google's
// implicit caches live minutes.
const homeFor = time.Hour

func (m move) op() store.Op {
	return store.Op{Key: homePrefix + strconv.FormatUint(m.hash, 16), Value: encode(m.id), TTL: homeFor}
}

// home returns the key of the conversation, or nil if no near one is fit: the one
// that answered it last, else the first in an order that the conversation's hash
// gives which is fit and has little more to do than others; if none of the first
// few has, the conversation begins where any other request would. The order is the same after
// a restart, and a key that comes or goes moves the conversations of that key only.
func (c candidates) home(words int) *entry {
	if e := c.fits(c.pool.affinity.slot(c.hash)); e != nil {
		return e
	}
	_, most := c.cheap(words)
	most *= crowded
	size := uint64(words * 64)
	h := c.hash
	for range hashes {
		h = mix(h)
		if e := c.fits(int(h % size)); e != nil && c.cost(e.slot) <= most {
			return e
		}
	}
	return nil
}

// fits returns the key of a slot if it may take a conversation.
func (c candidates) fits(slot int) *entry {
	if slot < 0 || slot >= len(c.slots) || c.word(slot/64)>>(slot%64)&1 == 0 {
		return nil
	}
	e := c.slots[slot].Load()
	if e == nil || c.leaves(slot) {
		return nil
	}
	if q := c.lane.model.quota(slot); q != nil && !q.fit(c) {
		return nil
	}
	return e
}

// mix is the finalizer of splitmix64.
func mix(h uint64) uint64 {
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
