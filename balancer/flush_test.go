// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

var errDisk = errors.New("no space left on device")

// brokenStore is a store that fails the n-th write, or all from it on, until it is healed.
type brokenStore struct {
	store.Store
	n      int // counts down; 0 and below for none
	onward bool
	down   bool
	writes int
}

func (f *brokenStore) Write(b store.Batch) error {
	f.writes++
	if f.n--; f.n == 0 || f.down {
		f.down = f.onward
		return errDisk
	}
	return f.Store.Write(b)
}

func (f *brokenStore) heal() { f.n, f.down = 0, false }

// busy makes a pool that has to write several batches of everything, and returns the
// hashes of its conversations.
func busy(t *testing.T, s store.Store, now time.Time) (*Pool, []uint64) {
	t.Helper()
	p := openAt(t, s, &now)
	keys := newKeys(batchOps + 100)
	add(t, p, keys...)
	p.Declare([]NewKey{{Secret: "declared"}})
	lease(t, p, Want{Bound: &Binding{KeyID: KeyID("declared")}}).Done(invalid)
	p.Declare(nil) // it left the configuration with what was learnt not written yet
	hashes := make([]uint64, len(keys))
	for i := range keys {
		hashes[i] = uint64(i+1)<<32 | uint64(i)
		lease(t, p, Want{Bound: &Binding{KeyID: KeyID(keys[i].Secret)}}).Done(Outcome{Cost: int64(i) + 1})
		p.settleAt(hashes[i], p.byID[KeyID(keys[i].Secret)])
		switch {
		case i < 200:
			lease(t, p, Want{Model: "other", Bound: &Binding{KeyID: KeyID(keys[i].Secret)}}).Done(throttled)
		case i < 1050:
			lease(t, p, Want{Bound: &Binding{KeyID: KeyID(keys[i].Secret)}}).Done(Outcome{Verdict: Unclassified, Blame: ScopeKey, State: StateMisconfigured, Reason: "odd"})
		}
	}
	p.clock.Store(5)
	return p, hashes
}

// openAt opens a pool with a clock of its own, in which what all projects spend
// counts.
func openAt(t *testing.T, s store.Store, now *time.Time) *Pool {
	t.Helper()
	p, err := Open(Options{
		Store: s, Sealer: sealer(t), Strategy: "round_robin", Now: func() time.Time { return *now },
		Limits: []LimitRule{{Model: "*", Spend: 1 << 50}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// knownTo is all that a pool must not forget, in words.
func knownTo(p *Pool, hashes []uint64) map[string]string {
	all := map[string]string{"clock": fmt.Sprint(p.clock.Load())}
	for _, k := range first(p.List(Query{Limit: 10_000})) {
		all["state of "+k.ID] = fmt.Sprint(k.State, k.StateReason)
	}
	for id, r := range p.orphans {
		all["state of "+id] = fmt.Sprint(r.State, r.Reason)
	}
	for _, r := range p.Rests(10_000) {
		all[fmt.Sprint("rest of ", r.Scope, r.Project, r.Model, r.KeyID)] = fmt.Sprint(r.Kind, r.Until.UTC())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, project := range p.projects {
		for _, q := range project.quotas {
			m := q.model
			if q.today == 0 {
				continue // nothing to keep
			}
			all["quota of "+project.id+m.name] = fmt.Sprint(q.today, q.minute.requests)
		}
		if s := project.spending.Load(); s != nil && s.sum > 0 {
			all["spent by "+project.id] = fmt.Sprint(s.sum)
		}
	}
	for _, hash := range hashes {
		if slot := p.affinity.slot(hash); slot >= 0 {
			all[fmt.Sprintf("home of %x", hash)] = (*p.slots.Load())[slot].Load().id
		}
	}
	return all
}

// TestFlush_FailedWrites: whichever write fails, once or from then on, the next flush
// writes all that is not in the store yet, also what changed since.
func TestFlush_FailedWrites(t *testing.T) {
	for _, onward := range []bool{false, true} {
		t.Run(fmt.Sprint("onward=", onward), func(t *testing.T) {
			n := 1
			for ; ; n++ {
				f := &brokenStore{Store: memory.NewAt(func() time.Time { return noon })}
				p, hashes := busy(t, f, noon)
				f.n, f.onward = n, onward
				err := p.Flush()
				if err == nil {
					break
				}
				if !errors.Is(err, errDisk) {
					t.Fatal(err)
				}
				for i := range batchOps + 99 { // some of them are waiting, some were written
					if i%3 == 0 {
						p.settleAt(hashes[i], p.byID[KeyID(secretOf(i+1))])
						if i >= 1050 {
							lease(t, p, Want{Bound: &Binding{KeyID: KeyID(secretOf(i))}}).Done(Outcome{Cost: 1})
						}
					}
				}
				f.heal()
				if err := p.Flush(); err != nil {
					t.Fatal(err)
				}
				f.writes = 0
				if err := p.Flush(); err != nil || f.writes > 0 {
					t.Errorf("write %d: %d more writes of nothing, %v", n, f.writes, err)
				}
				now := noon
				compare(t, fmt.Sprint("write ", n), knownTo(p, hashes), knownTo(openAt(t, f, &now), hashes))
			}
			if n < 9 {
				t.Errorf("only %d writes were tried", n)
			}
		})
	}
}

// compare tells up to five differences.
func compare(t *testing.T, name string, want, got map[string]string) {
	t.Helper()
	told := 0
	for _, what := range slices.Sorted(maps.Keys(want)) {
		if got[what] != want[what] {
			if told++; told <= 5 {
				t.Errorf("%s: %s: %q, want %q", name, what, got[what], want[what])
			}
		}
	}
	if told > 5 || len(got) != len(want) {
		t.Errorf("%s: %d differences; %d facts, want %d", name, told, len(got), len(want))
	}
}

// TestFlush_LongOutage: a store that fails for long makes the pool remember neither
// without bound nor what is outdated.
func TestFlush_LongOutage(t *testing.T) {
	f := &brokenStore{Store: memory.New(), n: 3, onward: true} // the first two are the keys
	p := open(t, f, 1)
	other := add(t, p, NewKey{Secret: "other"})[0]
	for round := range 3 {
		for hash := range uint64(homes) {
			p.settleAt((hash+1)<<32|hash, p.byID[KeyID(secretOf(0))])
		}
		if err := p.Flush(); !errors.Is(err, errDisk) {
			t.Fatalf("round %d: %v", round, err)
		}
		for hash := range uint64(homes) {
			p.settleAt((hash+1)<<32|hash, p.byID[other])
		}
		if len(p.moves) > homes {
			t.Fatalf("round %d: %d moves are kept", round, len(p.moves))
		}
	}
	f.heal()
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	p = open(t, f, 0)
	for hash := range uint64(homes) {
		if slot := p.affinity.slot((hash+1)<<32 | hash); slot != p.byID[other].slot {
			t.Fatalf("conversation %d lives in slot %d, want %d", hash, slot, p.byID[other].slot)
		}
	}
}

// TestFlush_LargeRecords: what is to be written is split by its size, too.
func TestFlush_LargeRecords(t *testing.T) {
	const n = 400
	now := noon
	s := memory.NewAt(func() time.Time { return now })
	p := openAt(t, s, &now)
	add(t, p, newKeys(n)...)
	p.mu.Lock()
	for i := range n {
		e := p.byID[KeyID(secretOf(i))]
		q := p.makeQuota(e.live.Load().project, p.modelOf(flash, true))
		for j := range 110 {
			q.minute.merge([]spend{{now.Add(-time.Duration(j) * spendGrain).UnixNano(), 100, 0, 1_000_000}})
		}
		p.markQuota(q)
		models := make([]string, 100)
		for j := range models {
			models[j] = fmt.Sprintf("gemini-of-a-rather-long-name-%d-%d", i, j)
		}
		p.learnModels(e, models, now)
	}
	p.mu.Unlock()
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	again := openAt(t, s, &now)
	if _, quotas := again.Quotas(QuotaQuery{}); quotas != n {
		t.Errorf("the books of %d quotas are kept, want %d", quotas, n)
	}
	if models := len(again.Models()); models != n*100 {
		t.Errorf("%d models are known, want %d", models, n*100)
	}
}
