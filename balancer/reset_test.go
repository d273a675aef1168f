// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// What a reset ends and what it leaves, at once and after a restart without any
// other write.
func TestReset(t *testing.T) {
	keyRest := Outcome{Verdict: Unclassified, Blame: ScopeKey, Rest: time.Hour}
	for _, c := range []struct {
		name     string
		outcomes []Outcome
		left     int // rests
	}{
		{"dead", []Outcome{invalid}, 0},
		{"day of the model", []Outcome{dayFull}, 0},
		{"model not offered", []Outcome{noModel}, 0},
		{"project without money", []Outcome{noMoney}, 0},
		{"key-wide", []Outcome{keyRest}, 0},
		{"escalated", []Outcome{throttled, throttled}, 0},
		{"all of it", []Outcome{dayFull, keyRest, noMoney, invalid}, 0},
		{"model of all keys", []Outcome{noCapacity, minuteFull}, 1},
	} {
		for _, source := range []string{SourceStore, SourceConfig} {
			t.Run(c.name+", "+source, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { reset(t, source, c.outcomes, c.left) })
			})
		}
	}
}

func reset(t *testing.T, source string, outcomes []Outcome, left int) {
	s := memory.New()
	keys := []NewKey{{Secret: "one", Project: "p"}, {Secret: "sibling", Project: "p"}}
	start := func() *Pool {
		p := open(t, s, 0)
		if source == SourceConfig {
			p.Declare(keys)
		} else {
			add(t, p, keys...)
		}
		return p
	}
	p := start()
	id := KeyID("one")
	if err := p.SetState(t.Context(), KeyID("sibling"), StateDisabled, ""); err != nil {
		t.Fatal(err)
	}
	var leases []*Lease
	for range outcomes {
		leases = append(leases, lease(t, p, Want{}))
	}
	for i, l := range leases {
		l.Done(outcomes[i])
	}
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := p.Reset(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*Pool{p, start()} {
		if k, _ := p.Get(id); k.State != StateUntested || k.StateReason != "reset by an operator" || k.Source != source {
			t.Errorf("%+v", k)
		}
		if k, _ := p.Get(KeyID("sibling")); k.State != StateDisabled {
			t.Errorf("the sibling became %+v", k)
		}
		if rests := p.Rests(0); len(rests) != left || p.Stats().Resting != left {
			t.Errorf("rests left: %+v", rests)
		}
		if ready := readyFor(t, p, flash, "other"); ready[0] != (left == 0) || !ready[1] {
			t.Errorf("ready: %v", ready)
		}
		check(t, p, time.Now())
	}
	if left > 0 {
		return
	}
	time.Sleep(time.Second)
	lease(t, p, Want{}).Done(throttled) // the first one again
	if got := refused(t, p, Want{}).RetryAfter; got != 5*time.Second {
		t.Errorf("a rest after the reset is %v", got)
	}
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := len(start().Rests(0)); got != 1 {
		t.Errorf("%d rests after the next one and a restart", got)
	}
}

func TestResetRefuses(t *testing.T) {
	s := &broken{Store: memory.New()}
	p := open(t, s, 1)
	if err := p.Reset(t.Context(), "gk_none"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Reset(ctx, KeyID(secretOf(0))); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	lease(t, p, Want{}).Done(dayFull)
	s.err = errors.New("disk full")
	if err := p.Reset(t.Context(), KeyID(secretOf(0))); !errors.Is(err, s.err) {
		t.Error(err)
	}
	if len(p.Rests(0)) != 1 {
		t.Error("a reset that was not kept ended a rest")
	}
}

// A reset serves those who wait for a key.
func TestResetWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		lease(t, p, Want{}).Done(Outcome{Verdict: UnfundedProject, Blame: ScopeProject, Rest: time.Minute})
		served := make(chan *Lease)
		began := time.Now()
		go func() {
			l, err := p.Lease(t.Context(), Want{Model: flash, Wait: 2 * time.Minute})
			if err != nil {
				t.Error(err)
			}
			served <- l
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		if err := p.Reset(t.Context(), KeyID(secretOf(0))); err != nil {
			t.Fatal(err)
		}
		l := <-served
		if got := time.Since(began); l == nil || got != time.Second {
			t.Fatalf("lease %v after %v", l, got)
		}
		l.Done(ok)
		if k, _ := p.Get(l.KeyID()); k.State != StateActive {
			t.Errorf("%+v", k)
		}
	})
}

// A key that is deleted takes its rest along, also in the store.
func TestDeletedKeysRestIsGone(t *testing.T) {
	s := memory.New()
	p := open(t, s, 0)
	id := add(t, p, NewKey{Secret: "one"})[0]
	lease(t, p, Want{}).Done(Outcome{Verdict: Unclassified, Blame: ScopeKey, Rest: time.Hour})
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	add(t, p, NewKey{Secret: "one"})
	if rests := open(t, s, 0).Rests(0); len(rests) != 0 {
		t.Errorf("the rest of the deleted key is back: %+v", rests)
	}
}

// listening hears of the store.
type listening struct{ heard []string }

func (l *listening) StateChanged(StateChange) {}
func (l *listening) Rested(Rest)              {}

func (l *listening) StoreFailed(err error) {
	if err == nil {
		l.heard = append(l.heard, "works")
		return
	}
	l.heard = append(l.heard, "fails")
}

// A store that fails is told of once, and once when it works again.
func TestStoreFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &broken{Store: memory.New()}
		var heard listening
		p, err := Open(Options{Store: s, Sealer: sealer(t), Observer: &heard})
		if err != nil {
			t.Fatal(err)
		}
		add(t, p, newKeys(3)...)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.Run(ctx) }()
		for _, step := range []struct {
			name string
			err  error
			want []string
		}{
			{"works", nil, nil},
			{"fails", errors.New("disk full"), []string{"fails"}},
			{"fails on", errors.New("disk full"), []string{"fails"}},
			{"works again", nil, []string{"fails", "works"}},
			{"fails again", store.ErrClosed, []string{"fails", "works", "fails"}},
		} {
			s.err = step.err
			lease(t, p, Want{}).Done(Outcome{Verdict: RateLimited, Blame: ScopeProjectModel, Rest: time.Second})
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if !slices.Equal(heard.heard, step.want) {
				t.Errorf("%s: heard %q, want %q", step.name, heard.heard, step.want)
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, store.ErrClosed) {
			t.Errorf("the last flush: %v", err)
		}
	})
}
