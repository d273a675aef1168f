// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// strategy chooses among the candidates for one request. It is called from many
// goroutines at once, holds no lock across calls and must not scan all
// candidates: there may be 100,000.
type strategy interface {
	// pick returns a candidate, or nil if there is none.
	pick(c candidates) *entry
	// measure is what pick compares: the key with the least goes first. It is for
	// [Pool.Explain] and changes nothing.
	measure(c candidates, e *entry) float64
}

// strategies are the strategies by their names in the configuration.
var strategies = map[string]strategy{
	"adaptive":    adaptive{},
	"least_used":  leastUsed{},
	"round_robin": roundRobin{},
}

// defaultStrategy is what an empty name means.
const defaultStrategy = "adaptive"

// SetStrategy changes how keys are chosen, from the next pick on. "" means
// adaptive.
func (p *Pool) SetStrategy(name string) error {
	if name == "" {
		name = defaultStrategy
	}
	s, ok := strategies[name]
	if !ok {
		return fmt.Errorf("unknown strategy %q; want adaptive, least_used or round_robin", name)
	}
	p.strategy.Store(&s)
	return nil
}

// roundRobin gives every candidate its turn: the next one in the order of slots
// after the last one given out. A key that rests loses its turn, and the keys
// behind it get no second one for that. Over any n·k picks with all n keys ready
// each gets exactly k, whatever the number of callers.
type roundRobin struct{}

func (roundRobin) pick(c candidates) *entry {
	for {
		from := c.lane.cursor.Load()
		e := c.next(int(from))
		if e == nil || c.lane.cursor.CompareAndSwap(from, int64(e.slot)+1) {
			return e
		}
	}
}

// measure is how many slots are before the key's turn.
func (roundRobin) measure(c candidates, e *entry) float64 {
	n := len(*c.pool.slots.Load())
	return float64((e.slot - int(c.lane.cursor.Load()) + n) % n)
}

// candidates are the keys that a request may use, as they are at the moment of
// looking. It is passed by value so that a pick allocates nothing.
type candidates struct {
	pool    *Pool
	lane    *lane
	slots   []atomic.Pointer[entry]
	open    []atomic.Uint64
	blocked []atomic.Uint64
	skip    []atomic.Uint64 // words that hold no candidate; nil for unknown
	tried   *Tried          // keys to leave out; nil for none
	wide    bool            // leave out all keys of tried projects
	soft    []atomic.Uint64 // keys to leave out as a second choice; nil for none
	proven  []atomic.Uint64 // keys that are known enough; nil for any
	tokens  int64           // that the request is taken for
	over    int64           // a limit of tokens that it is larger than; 0 for none
	roomy   bool            // leave out keys whose limit of tokens is not known; with over
	hash    uint64          // of the conversation; 0 for none
	now     time.Time
	fresh   bool // leave out untested keys that are being tried
}

// next returns the first candidate at or after a slot, cyclically; nil if there
// is none. It looks at 64 slots at a time and jumps over words that are known to
// hold none, up to 64 of them at once.
func (c candidates) next(from int) *entry {
	n := min(len(c.open), (len(c.slots)+63)/64)
	if n == 0 {
		return nil
	}
	first := from / 64
	if first >= n {
		first, from = 0, 0
	}
	// The first word is looked at twice: its end at once, its start after a turn.
	behind := ^uint64(0) << (from % 64)
	empty := 0
	for i, looked := first, 0; looked <= n; looked++ {
		if s := word(c.skip, i/64) >> (i % 64); s&1 != 0 {
			run := min(bits.TrailingZeros64(^s), n-i)
			looked += run - 1
			if i += run; i == n {
				i = 0
			}
			continue
		}
		w := c.word(i)
		switch looked {
		case 0:
			w &= behind
		case n:
			w &^= behind
		}
		for ; w != 0; w &= w - 1 {
			slot := i*64 + bits.TrailingZeros64(w)
			if e := c.slots[slot].Load(); e != nil && !c.leaves(slot) {
				return c.found(e, empty)
			}
		}
		empty++
		if i++; i == n {
			i = 0
		}
	}
	return c.found(nil, empty)
}

// manyEmpty is how many words without a candidate a search may meet before it
// pays to note them.
const manyEmpty = 16

// found ends a search. One that was long notes where nothing is, so that the
// next is short; if somebody holds the lock, it leaves that to the next.
func (c candidates) found(e *entry, empty int) *entry {
	if empty > manyEmpty && !c.lane.passing && c.pool.mu.TryLock() {
		c.pool.note(c)
		c.pool.unlock()
	}
	return e
}

// note writes down which words hold no candidate of a lane. It stays true until
// [Pool.gains] changes, but for what [model.block] takes back. Under p.mu.
func (p *Pool) note(c candidates) {
	c.proven, c.soft = nil, nil // proven or not, first choice or not, a key is a candidate
	for i := range c.open {
		c.lane.skip.set(i, c.word(i) == 0)
	}
	c.lane.skipOf.Store(p.gains.Load())
}

func (c candidates) word(i int) uint64 {
	w := c.open[i].Load() &^ word(c.blocked, i)
	if c.proven != nil {
		w &= word(c.proven, i)
	}
	if c.soft != nil {
		w &^= word(c.soft, i)
	}
	if w != 0 && (c.lane.paid != nil || c.lane.marks != nil) {
		w &= c.lane.filter(i)
	}
	return w
}

// count returns how many candidates there are.
func (c candidates) count() int {
	n := 0
	for i := range c.open {
		n += bits.OnesCount64(c.word(i))
	}
	return n
}

// leaves reports whether the request leaves a candidate out.
func (c candidates) leaves(slot int) bool {
	if (c.tokens > 0 || c.over > 0) && c.outgrows(slot) {
		return true
	}
	fresh := c.fresh && c.pool.untested.has(slot)
	if !fresh && c.tried == nil {
		return false
	}
	e := c.slots[slot].Load()
	switch {
	case e == nil:
		return true
	case fresh && e.unproven():
		return true
	case c.tried == nil:
		return false
	case c.wide:
		return c.tried.hasProject(e.live.Load().project)
	}
	return c.tried.has(e)
}

// candidates returns the keys for a request of the lane.
func (p *Pool) candidates(l *lane, tried *Tried) candidates {
	c := candidates{pool: p, lane: l, slots: *p.slots.Load(), open: p.open.view(), blocked: l.model.blocked.view()}
	if l.skipOf.Load() == p.gains.Load() {
		c.skip = l.skip.view()
	}
	if tried.used() {
		c.tried, c.wide = tried, true
	}
	return c
}

// pick returns a key for the lane, or nil if none is ready: one of a project
// that the request has not met yet, else one of the keys it has not met yet. Keys
// whose first probe is over go before those that nothing is known of, and an
// untested key is tried by one request at a time as long as others are there, so
// that a burst on a new pool does not meet each of its dead keys several times.
func (p *Pool) pick(l *lane, w *Want, now time.Time) *entry {
	if l.model.until.Load() > now.UnixNano() {
		return nil
	}
	c := p.candidates(l, w.Tried)
	c.now, c.hash = now, w.Affinity
	if !w.Unmetered {
		c.tokens, c.over = w.Tokens, w.over
	}
	if c.over > 0 { // better one that is known to have more room than one that may have
		c.roomy = true
		if e := p.seek(c, now); e != nil {
			return e
		}
		c.roomy = false
	}
	return p.seek(c, now)
}

// seek is pick among some candidates.
func (p *Pool) seek(c candidates, now time.Time) *entry {
	s := *p.strategy.Load()
	c.fresh = true
	if p.probed.Load() {
		c.proven = p.provenWords()
		if e := p.best(s, c); e != nil {
			return e
		}
		if p.grace.Load() > now.UnixNano() {
			return nil // who asks Google of the keys will know in a moment
		}
		c.proven = nil
	}
	e := p.best(s, c)
	if e == nil {
		c.fresh = false
		e = p.best(s, c)
	}
	if e == nil && c.wide {
		c.wide = false
		e = p.best(s, c)
	}
	return e
}

// best returns what the strategy picks among the keys of first choice, else among
// all.
func (p *Pool) best(s strategy, c candidates) *entry {
	if c.lane.model.softs.Load() > 0 {
		c.soft = c.lane.model.soft.view()
		if e := s.pick(c); e != nil {
			return e
		}
		c.soft = nil
	}
	return s.pick(c)
}

// provenWords returns the set of keys whose first probe is over; never nil.
func (p *Pool) provenWords() []atomic.Uint64 {
	if words := p.proven.view(); words != nil {
		return words
	}
	return []atomic.Uint64{}
}

// Tried is what one request has used: keys, projects and the last outcome. Its
// zero value is ready. It may be shared by goroutines of the same request.
type Tried struct {
	mu       sync.Mutex
	keys     []*entry
	projects []*project
	key1     [1]*entry // room for what most requests use
	project1 [1]*project
	last     Outcome
	ended    bool  // last is one
	at       place // in the queue; zero before it waited
	tokens   int64 // that the request has at least, as refusals told

	over    int64  // a limit of tokens that it is larger than; 0 for none
	refused int    // times that its size was refused
	unclear int    // times that it was refused for tokens which may have been others'
	below   int64  // the largest limit of those: its size was refused there, too, if over is not less
	suspect *quota // of the first such time, where that was in doubt
}

func (t *Tried) used() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.keys) > 0
}

func (t *Tried) has(e *entry) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.keys, e)
}

func (t *Tried) hasProject(p *project) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.projects, p)
}

func (t *Tried) add(e *entry) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keys == nil {
		t.keys, t.projects = t.key1[:0], t.project1[:0]
	}
	t.keys = append(t.keys, e)
	if p := e.live.Load().project; !slices.Contains(t.projects, p) {
		t.projects = append(t.projects, p)
	}
}

func (t *Tried) end(o Outcome) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last, t.ended = o, true
}

func (t *Tried) place() place {
	if t == nil {
		return place{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at
}

func (t *Tried) stand(at place) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = at
}

// Renew lets the request try every key once more. What it has learned of itself,
// its place in the queue and its last outcome stay.
func (t *Tried) Renew() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keys, t.projects = nil, nil
}

// counts raises what the request is taken for.
func (t *Tried) counts(tokens int64) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tokens = max(t.tokens, tokens)
}

func (t *Tried) lastOutcome() *Outcome {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended {
		return nil
	}
	o := t.last
	return &o
}
