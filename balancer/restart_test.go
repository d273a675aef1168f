// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// everything makes each kind of state and rest in a pool of ten keys.
func everything(t *testing.T, p *Pool) {
	t.Helper()
	add(t, p, NewKey{Secret: "named", Name: "n", Project: "a/b c", Tags: []string{"x"}, Paid: true, Proxy: "http://u:p@host:1"})
	p.Declare([]NewKey{{Secret: "declared"}, {Secret: "declared-2", Project: "d"}})
	leaked := Outcome{Verdict: LeakedKey, Blame: ScopeKey, State: StateLeaked, Reason: "403 leaked"}
	suspended := Outcome{Verdict: SuspendedKey, Blame: ScopeProject, State: StateSuspended, Consumer: "projects/42"}
	keyRest := Outcome{Verdict: Unclassified, Blame: ScopeKey, Rest: time.Hour, Reason: "odd"}
	for _, o := range []Outcome{invalid, leaked, suspended, minuteFull, dayFull, throttled, noModel, noMoney, keyRest, ok, keyRest, dayFull, minuteFull} {
		lease(t, p, Want{Model: "all/of them"}).Done(o)
	}
	lease(t, p, Want{Model: "crowded"}).Done(noCapacity)
}

func snapshot(p *Pool) (keys map[string]Key, rests map[string]Rest) {
	keys, rests = map[string]Key{}, map[string]Rest{}
	for _, k := range first(p.List(Query{Limit: 1000})) {
		if k.Source == SourceConfig {
			k.Created = time.Time{} // declared anew
			if k.State == StateUntested {
				k.StateSince = time.Time{}
			}
		}
		k.Created, k.StateSince = k.Created.UTC().Round(0), k.StateSince.UTC().Round(0)
		keys[k.ID] = k
	}
	for _, r := range p.Rests(1000) {
		rests[fmt.Sprint(r.Scope, r.Project, r.KeyID, r.Model)] = r
	}
	return keys, rests
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, s, 10)
		everything(t, p)
		keys, rests := snapshot(p)
		if len(keys) != 13 || len(rests) != 10 {
			t.Fatalf("%d keys, %d rests to start with", len(keys), len(rests))
		}
		p.noteUses()
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		again := open(t, s, 0)
		again.Declare([]NewKey{{Secret: "declared"}, {Secret: "declared-2", Project: "d"}})
		keys2, rests2 := snapshot(again)
		for id := range keys {
			if !reflect.DeepEqual(keys[id], keys2[id]) {
				t.Errorf("key before %+v\nafter %+v", keys[id], keys2[id])
			}
		}
		for id := range rests {
			// Times lose their monotonic part on the way through the store.
			a, b := rests[id], rests2[id]
			if !a.Until.Equal(b.Until) || !a.Since.Equal(b.Since) {
				t.Errorf("rest before %+v\nafter %+v", a, b)
			}
			a.Until, a.Since, b.Until, b.Since = time.Time{}, time.Time{}, time.Time{}, time.Time{}
			if a != b {
				t.Errorf("rest before %+v\nafter %+v", a, b)
			}
		}
		if len(keys2) != len(keys) || len(rests2) != len(rests) {
			t.Errorf("%d keys, %d rests after the restart", len(keys2), len(rests2))
		}
		// What rests is really left alone.
		for range 5 {
			l := lease(t, again, Want{Model: "all/of them"})
			if k, _ := again.Get(l.KeyID()); k.State != StateActive {
				t.Errorf("%+v was leased", k)
			}
			l.Done(ok)
		}
	})
}

// The memory of repetitions outlives a restart, and a success wipes it there too.
func TestRestartEscalation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		reopen := func(p *Pool) *Pool {
			if err := p.Flush(); err != nil {
				t.Fatal(err)
			}
			return open(t, s, 0)
		}
		p := open(t, s, 1)
		lease(t, p, Want{}).Done(throttled)
		time.Sleep(6 * time.Second)
		p.Stats()
		p = reopen(p)
		lease(t, p, Want{}).Done(throttled)
		if u := refused(t, p, Want{}); u.RetryAfter != 10*time.Second {
			t.Errorf("after a restart the repetition rests %v, want 10s", u.RetryAfter)
		}
		time.Sleep(11 * time.Second)
		lease(t, p, Want{}).Done(ok)
		p = reopen(p)
		lease(t, p, Want{}).Done(throttled)
		if u := refused(t, p, Want{}); u.RetryAfter != 5*time.Second {
			t.Errorf("after a success and a restart it rests %v, want 5s", u.RetryAfter)
		}
	})
}

// counting tells when the store is written to.
type counting struct {
	store.Store
	writes []time.Time
	synced int
}

func (c *counting) Write(b store.Batch) error {
	c.writes = append(c.writes, time.Now())
	if b.Sync {
		c.synced++
	}
	return c.Store.Write(b)
}

// Run writes rests within 500 ms, a dead key at once and to the disk, nothing
// when nothing changed, and what is left when it ends.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &counting{Store: memory.New()}
		p := open(t, s, 5)
		for range 5 {
			lease(t, p, Want{}).Done(ok)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { _ = p.Run(ctx); close(ended) }()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		s.writes, s.synced = nil, 0
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(s.writes) != 0 {
			t.Errorf("%d writes without a change", len(s.writes))
		}
		began := time.Now()
		lease(t, p, Want{}).Done(minuteFull)
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if len(s.writes) != 2 || s.writes[1].Sub(began) > 500*time.Millisecond || s.synced != 0 { // the rest, and the books
			t.Errorf("a rest was written %v after %v, synced %d", s.writes, began, s.synced)
		}
		s.writes = nil
		lease(t, p, Want{}).Done(invalid)
		synctest.Wait()
		if len(s.writes) != 1 || s.synced != 1 {
			t.Errorf("a dead key was written %d times at once, synced %d", len(s.writes), s.synced)
		}
		lease(t, p, Want{}).Done(dayFull)
		cancel()
		<-ended
		if n := len(open(t, s, 0).Rests(0)); n != 2 {
			t.Errorf("%d rests after the last flush, want 2", n)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	s := memory.New()
	open(t, s, 1)
	if _, err := Open(Options{}); err == nil {
		t.Error("no store was accepted")
	}
	if _, err := Open(Options{Store: s, Sealer: sealer(t), Strategy: "random"}); err == nil || !strings.Contains(err.Error(), "random") {
		t.Errorf("unknown strategy: %v", err)
	}
	other, err := store.NewSealer(bytes.Repeat([]byte{2}, store.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(Options{Store: s, Sealer: other})
	if !errors.Is(err, store.ErrSealed) || !strings.Contains(err.Error(), KeyID(secretOf(0))) {
		t.Errorf("another master key: %v", err)
	}
	if err := s.Write(store.Batch{Ops: []store.Op{{Key: statePrefix + "gk_x", Value: []byte("{")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Store: s, Sealer: sealer(t)}); err == nil || !strings.Contains(err.Error(), "gk_x") {
		t.Errorf("damaged record: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Store: s, Sealer: sealer(t)}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("closed store: %v", err)
	}
}
