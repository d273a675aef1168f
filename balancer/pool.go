// SPDX-License-Identifier: Apache-2.0

// Package balancer decides which Gemini key serves a request next. It knows
// each key's state and what rests: a model in a project whose quota is used up,
// a project without money, a key, a model without capacity, an egress route.
//
// [Pool.Lease] hands out the right to one attempt, [Lease.Done] takes back how
// it ended. Everything learnt that way outlives a restart through the store.
// The package calls neither Google nor a log; [Observer] hears what operators
// should know.
//
// A pick reads atomics: a bitmap of the keys that may be used at all, one per model
// of those that rest for it, and a cursor per kind of request; and it locks the
// books, one per project and model, of the few keys that it compares. What changes
// the bitmaps runs under one mutex, Pool.mu, which is taken before those of books
// and never held across I/O: a pick takes it where it makes books or fills them.
// Rests end lazily: the first pick after a deadline sets the bits back, and a timer
// does it while requests wait.
package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// defaultQueue is how many requests may wait for a recovery at once.
const defaultQueue = 1000

// Options is what a pool works with.
type Options struct {
	Store    store.Store
	Sealer   *store.Sealer    // seals the secrets in Store
	Now      func() time.Time // nil means time.Now
	Observer Observer         // nil for none
	Strategy string           // "" means adaptive
	MaxQueue int              // requests that may wait at once; 0 means 1,000
	Limits   []LimitRule      // see [Pool.SetLimits]
	Probed   bool             // see [Pool.SetProbed]
}

// Pool is the pool of Gemini keys. All methods are safe for concurrent use. No
// verb of fmt prints what is in it.
type Pool struct {
	store    store.Store
	sealer   *store.Sealer
	now      func() time.Time
	observer Observer
	maxQueue int

	// Read by picks without a lock.
	slots     atomic.Pointer[[]atomic.Pointer[entry]]
	open      bitmap // keys that may be used, as far as no model is involved
	proven    bitmap // keys whose first probe is over
	untested  bitmap // keys in open that nothing is known of
	probed    atomic.Bool
	models    atomic.Pointer[map[string]*model]
	strategy  atomic.Pointer[strategy]
	nextRest  atomic.Int64  // deadline at the top of restHeap in Unix ns; never for none
	gains     atomic.Uint64 // changes by which a key may have become a candidate of any lane
	inFlight  atomic.Int64
	usable    atomic.Int64 // keys in open
	top       atomic.Int64 // slots ever given out
	latest    atomic.Int64 // time that a pick has seen, in Unix ns
	affinity  affinity
	escalated atomic.Int32               // rests whose next would be longer
	clock     atomic.Int32               // evidence that Google's minutes follow the clock, less that they roll
	spends    atomic.Bool                // some project has a spending
	ruled     atomic.Pointer[limitRules] // limits, where they have one of tokens; nil otherwise
	grace     atomic.Int64               // until when requests wait for the first probes, in Unix ns
	troubled  atomic.Int32               // routes on which something failed since their last success

	statuses   atomic.Pointer[statusTable] // the last
	statusesMu sync.Mutex                  // held by who makes the next

	forecastMu   sync.Mutex
	forecasts    []Forecast
	forecastGood time.Time // until when they need not be made anew
	forecastTook time.Duration
	forecasting  bool // they are being made

	// writeMu orders writes to the store as the changes in memory. It is taken
	// before mu and held across I/O.
	writeMu sync.Mutex
	bookLog bookLog
	urgent  chan struct{} // wakes Run; capacity 1
	durable atomic.Bool   // the next flush must reach the disk

	touchedMu sync.Mutex
	touched   []*quota        // that Flush writes
	moves     map[uint64]move // that Flush writes, by their place in affinity
	spendings []*spending

	probeWanted chan struct{} // wakes who serves Probes; capacity 1

	mu           sync.Mutex
	blocks       blocks // where entries and their like are made
	version      uint64 // of all below, as far as a census depends on it
	byID         map[string]*entry
	free         []int              // slots of deleted keys
	used         int                // slots ever given out
	orphans      map[string]*record // states of ids that are in no set now
	projects     map[string]*project
	shelves      [shelfCount]shelf
	orphanRests  map[string]*restRecord // key-wide rests of such ids
	orphanRoutes map[string]*restRecord // rests of routes that no key takes yet, by routeID
	tags         map[string]*bitmap
	paid         bitmap
	weighted     bitmap              // keys with a weight above 1
	restricted   map[*entry]struct{} // keys that may serve some models only
	overlays     map[string]*spec    // what operators said of declared keys, by id
	trash        map[string]*trashed
	news         news              // what who shows the keys has not seen
	limits       limitRules        // of the operator
	routes       map[string]*rest  // by proxy
	ways         map[string]*route // by proxy
	proxies      []string          // routes of keys without one of their own
	leasable     int               // keys of all routes
	cutOff       int               // of those that rest for network trouble
	arrivals     [2]arrival        // the last, of two routes, that came while some route failed
	counts       map[State]int
	restHeap     restHeap
	resting      int          // rests in force
	restCounts   [classes]int // of rests, by rest.class
	rested       []Rest       // to be told after mu is released
	dirtyKeys    []*entry
	dirtyRests   []*rest
	changes      []StateChange // to be told after mu is released
	queue        []*waiter
	tickets      uint64
	turns        map[string]uint64   // the last one of each user who waits
	turned       uint64              // the latest that was served
	orphanHomes  map[string][]uint64 // conversations of ids that are in no set yet
	homeless     int                 // how many
	unprobed     []*entry            // keys that wait for their first probe
	overdue      []*entry            // keys to be asked again; some may be no more
	nextProbe    time.Time
	listings     map[string]*listing
	servable     *Servable   // the last; nil before it
	swept        time.Time   // when models were last swept
	dropped      time.Time   // when projects were last looked through
	timer        *time.Timer // serves the queue; nil before the first waiter
}

// Open loads the keys of the store and what is known of them. A secret that
// does not open is an error, because nothing but a wrong master key explains it.
func Open(o Options) (*Pool, error) {
	if o.Store == nil || o.Sealer == nil {
		return nil, errors.New("balancer: Options.Store and Options.Sealer must be given")
	}
	p := &Pool{
		store: o.Store, sealer: o.Sealer, now: o.Now, observer: o.Observer, maxQueue: o.MaxQueue,
		urgent:       make(chan struct{}, 1),
		probeWanted:  make(chan struct{}, 1),
		listings:     map[string]*listing{},
		orphanHomes:  map[string][]uint64{},
		byID:         map[string]*entry{},
		orphans:      map[string]*record{},
		orphanRests:  map[string]*restRecord{},
		orphanRoutes: map[string]*restRecord{},
		projects:     map[string]*project{},
		tags:         map[string]*bitmap{},
		routes:       map[string]*rest{},
		ways:         map[string]*route{},
		counts:       map[State]int{},
		turns:        map[string]uint64{},
		restricted:   map[*entry]struct{}{},
		overlays:     map[string]*spec{},
		trash:        map[string]*trashed{},
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.maxQueue == 0 {
		p.maxQueue = defaultQueue
	}
	p.slots.Store(&[]atomic.Pointer[entry]{})
	p.models.Store(&map[string]*model{})
	p.nextRest.Store(never)
	p.probed.Store(o.Probed)
	p.gains.Store(1) // no lane has noted anything
	if err := p.SetStrategy(o.Strategy); err != nil {
		return nil, err
	}
	if err := p.SetLimits(o.Limits); err != nil {
		return nil, err
	}
	if err := p.load(); err != nil {
		return nil, fmt.Errorf("loading the Gemini keys: %w", err)
	}
	if err := p.moveBooks(); err != nil {
		return nil, fmt.Errorf("moving the books of the quotas: %w", err)
	}
	return p, nil
}

// Format implements [fmt.Formatter] for all verbs: a pool is printed as its size.
func (p *Pool) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, fmt.Sprintf("{Gemini key pool, %d keys}", p.Stats().Keys))
}

// Get returns the key with this id.
func (p *Pool) Get(id string) (Key, bool) {
	p.mu.Lock()
	e := p.byID[id]
	p.mu.Unlock()
	if e == nil {
		return Key{}, false
	}
	return e.key(), true
}

// Stats returns a summary. It costs the same for every size of pool.
func (p *Pool) Stats() PoolStats {
	now := p.now()
	p.lock()
	defer p.unlock()
	p.advance(now, restsPerPick)
	return PoolStats{
		Keys: len(p.byID), Usable: p.counts[StateActive] + p.counts[StateUntested], States: maps.Clone(p.counts),
		Resting: p.resting, Waiting: len(p.queue), InFlight: int(p.inFlight.Load()),
	}
}

// lock begins a change. Every change ends with unlock.
func (p *Pool) lock() { p.mu.Lock() }

// unlock ends a change and tells the observer what came of it.
func (p *Pool) unlock() {
	changes, rested := p.changes, p.rested
	p.changes, p.rested = nil, nil
	p.mu.Unlock()
	if p.observer == nil {
		return
	}
	for _, c := range changes {
		p.observer.StateChanged(c)
	}
	for _, r := range rested {
		p.observer.Rested(r)
	}
}

// Run writes what changed, at most 500 ms after it did and at once for a dead
// key. When ctx ends it flushes once more and returns the error of that. What an
// earlier flush could not write is written with the next, and the [Observer] is
// told when they begin to fail and when they are over it.
func (p *Pool) Run(ctx context.Context) error {
	failing, uses := false, p.now()
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			p.noteUses()
			return p.Flush()
		case <-ticker.C:
			if now := p.now(); now.Sub(uses) >= usesEvery {
				uses = now
				p.noteUses()
			}
			err = p.Flush()
		case <-p.urgent:
			err = p.flushState()
		}
		if (err != nil) != failing {
			failing = err != nil
			if p.observer != nil {
				p.observer.StoreFailed(err)
			}
		}
	}
}
