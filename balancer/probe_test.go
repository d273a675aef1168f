// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

func openProbed(t *testing.T, s store.Store, n int) *Pool {
	t.Helper()
	if s == nil {
		s = memory.New()
	}
	p, err := Open(Options{Store: s, Sealer: sealer(t), Strategy: "round_robin", Probed: true})
	if err != nil {
		t.Fatal(err)
	}
	if n > 0 {
		add(t, p, newKeys(n)...)
	}
	return p
}

// serveProbes ends all probes that are due.
func serveProbes(p *Pool, found func(id string) (Outcome, []string)) (ids []string) {
	for {
		due, _ := p.Probes(10)
		if len(due) == 0 {
			return ids
		}
		for _, pr := range due {
			ids = append(ids, pr.KeyID())
			pr.Done(found(pr.KeyID()))
		}
	}
}

// Requests on a pool of which nothing is known wait for the word of the probes,
// and no request meets a dead key.
func TestProbe_ColdBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openProbed(t, nil, 10)
		dead := map[string]bool{KeyID(secretOf(2)): true, KeyID(secretOf(5)): true, KeyID(secretOf(7)): true}
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				l, err := p.Lease(context.Background(), Want{Model: flash})
				if err != nil {
					t.Error(err)
					return
				}
				if dead[l.KeyID()] {
					t.Errorf("a request got the dead key %s", l.KeyID())
				}
				l.Done(ok)
			})
		}
		time.Sleep(300 * time.Millisecond)
		serveProbes(p, func(id string) (Outcome, []string) {
			if dead[id] {
				return invalid, nil
			}
			return ok, nil
		})
		wg.Wait()
		if s := p.Stats().States; s[StateActive] != 7 || s[StateInvalid] != 3 {
			t.Errorf("states: %v", s)
		}
	})
}

// A probe that does not end, or ends without a verdict, must not hold up the
// requests.
func TestProbe_NoVerdict(t *testing.T) {
	for name, probe := range map[string]func(*Pool){
		"nobody probes": func(*Pool) {},
		"probes hang":   func(p *Pool) { p.Probes(10) },
		"no verdict": func(p *Pool) {
			serveProbes(p, func(string) (Outcome, []string) {
				return Outcome{Verdict: Network, Retry: RetryOnce}, nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := openProbed(t, nil, 3)
				probe(p)
				began := time.Now()
				lease(t, p, Want{}).Done(ok)
				if waited := time.Since(began); waited > probeGrace+10*time.Millisecond {
					t.Errorf("waited %s", waited)
				}
			})
		})
	}
}

func TestProbe_Schedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openProbed(t, nil, 3)
		live, flaps, gone := KeyID(secretOf(0)), KeyID(secretOf(1)), KeyID(secretOf(2))
		bad := map[string]bool{flaps: true, gone: true}
		found := func(id string) (Outcome, []string) {
			if bad[id] {
				return invalid, nil
			}
			return ok, nil
		}
		want := func(ids ...string) {
			t.Helper()
			got := serveProbes(p, found)
			slices.Sort(got)
			slices.Sort(ids)
			if !slices.Equal(got, ids) {
				t.Fatalf("%s: probed %v; want %v", time.Now(), got, ids)
			}
		}
		want(live, flaps, gone)
		time.Sleep(probeAgain - time.Second)
		want()
		time.Sleep(time.Second)
		delete(bad, flaps)
		want(flaps, gone)
		if k, _ := p.Get(flaps); k.State != StateActive {
			t.Errorf("the key that came back is %s", k.State)
		}
		time.Sleep(probeAgain)
		want()
		time.Sleep(probeDaily - probeAgain)
		want(gone)
		if err := p.ProbeNow(live); err != nil {
			t.Fatal(err)
		}
		want(live)
		if err := p.SetState(context.Background(), gone, StateDisabled, "by hand"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * probeDaily)
		want()
	})
}

// A key whose list lacks a model that others have is not asked for it, also
// after a restart; a model that nobody lists may be asked of all.
func TestProbe_Models(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		p := openProbed(t, s, 4)
		has := KeyID(secretOf(3))
		serveProbes(p, func(id string) (Outcome, []string) {
			if id == has {
				return ok, []string{"gemini-rare", flash}
			}
			return ok, []string{flash}
		})
		check := func(p *Pool) {
			t.Helper()
			for range 8 {
				l := lease(t, p, Want{Model: "gemini-rare"})
				if l.KeyID() != has {
					t.Fatalf("leased %s for a model that it lacks", l.KeyID())
				}
				l.Done(ok)
			}
			seen := map[string]bool{}
			for range 8 {
				l := lease(t, p, Want{Model: "tuned-by-somebody"})
				seen[l.KeyID()] = true
				l.Done(ok)
			}
			if len(seen) != 4 {
				t.Errorf("%d keys served a model that nobody lists; want 4", len(seen))
			}
			if got := p.Models(); !slices.Equal(got, []string{"gemini-rare", flash}) {
				t.Errorf("Models = %v", got)
			}
		}
		check(p)
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		again := openProbed(t, s, 0)
		check(again)
		if due, _ := again.Probes(10); len(due) != 0 {
			t.Errorf("%d keys are probed again after a restart", len(due))
		}
		// Without the key that has it, the others' word is not heard.
		if err := again.Delete(context.Background(), has); err != nil {
			t.Fatal(err)
		}
		lease(t, again, Want{Model: "gemini-rare"}).Done(ok)
	})
}

// A reload may switch the probes off and on.
func TestProbe_Switched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openProbed(t, nil, 3)
		held, _ := p.Probes(1)
		time.AfterFunc(100*time.Millisecond, func() { p.SetProbed(false) })
		began := time.Now()
		lease(t, p, Want{Wait: time.Minute}).Done(ok)
		if waited := time.Since(began); waited != 100*time.Millisecond {
			t.Errorf("a request waited %s for probes that were switched off after 100ms", waited)
		}
		if due, _ := p.Probes(10); len(due) != 0 {
			t.Errorf("%d probes of a pool without", len(due))
		}
		held[0].Done(ok, nil)
		p.SetProbed(true)
		select {
		case <-p.ProbeWanted():
		default:
			t.Error("nobody is told of the new keys")
		}
		if due := serveProbes(p, func(string) (Outcome, []string) { return ok, nil }); len(due) != 2 {
			t.Errorf("%d keys are probed; want the 2 that nothing is known of", len(due))
		}
	})
}

// Models come and go: a good key is asked once a day, also after a restart.
func TestProbe_Refresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		p := openProbed(t, s, 1)
		id := KeyID(secretOf(0))
		found := func(models ...string) func(string) (Outcome, []string) {
			return func(string) (Outcome, []string) { return ok, models }
		}
		if k, _ := p.Get(id); !k.Probed.IsZero() {
			t.Errorf("probed %s before any probe", k.Probed)
		}
		time.Sleep(time.Second)
		first := time.Now()
		serveProbes(p, found(flash, "gemini-old"))
		time.Sleep(probeDaily / 2)
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		p = openProbed(t, s, 0)
		if k, _ := p.Get(id); !k.Probed.Equal(first) {
			t.Errorf("probed %s; want %s", k.Probed, first)
		}
		if ids := serveProbes(p, found()); len(ids) != 0 {
			t.Error("asked again after half a day")
		}
		time.Sleep(probeDaily / 2)
		if ids := serveProbes(p, found(flash, "gemini-new")); len(ids) != 1 {
			t.Errorf("%d probes after a day", len(ids))
		}
		if got := p.Models(); !slices.Equal(got, []string{"gemini-new", flash}) {
			t.Errorf("models: %v", got)
		}
	})
}

// Whatever state a key is in, an answer to its probe is the end of that.
func TestProbe_Dead(t *testing.T) {
	suspended := Outcome{Verdict: SuspendedKey, Blame: ScopeProject, State: StateSuspended, Status: 403}
	for name, test := range map[string]struct {
		before State
		answer Outcome
		after  State
		next   time.Duration // until it is asked again; 0 for never
	}{
		"untested, invalid":      {StateUntested, invalid, StateInvalid, probeAgain},
		"active, suspended":      {StateActive, suspended, StateSuspended, 0},
		"invalid, invalid":       {StateInvalid, invalid, StateInvalid, probeDaily},
		"invalid, suspended":     {StateInvalid, suspended, StateSuspended, 0},
		"misconfigured, invalid": {StateMisconfigured, invalid, StateInvalid, probeAgain},
		"disabled, invalid":      {StateDisabled, invalid, StateDisabled, 0},
		"disabled, good":         {StateDisabled, ok, StateDisabled, 0},
		"leaked, good":           {StateLeaked, ok, StateLeaked, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := openProbed(t, nil, 1)
				id := KeyID(secretOf(0))
				serveProbes(p, func(string) (Outcome, []string) { return ok, nil })
				if err := p.SetState(context.Background(), id, test.before, ""); err != nil {
					t.Fatal(err)
				}
				if err := p.ProbeNow(id); err != nil {
					t.Fatal(err)
				}
				if ids := serveProbes(p, func(string) (Outcome, []string) { return test.answer, nil }); len(ids) != 1 {
					t.Fatalf("asked %d times at once", len(ids))
				}
				if k, _ := p.Get(id); k.State != test.after {
					t.Errorf("it is %s; want %s", k.State, test.after)
				}
				_, next := p.Probes(1)
				if got := time.Until(next); test.next == 0 && !next.IsZero() || test.next != 0 && got != test.next {
					t.Errorf("asked again in %s; want %s", got, test.next)
				}
			})
		})
	}
}

// Of many keys that are due none is lost, and the one that an operator asks for
// comes first.
func TestProbe_Overdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openProbed(t, nil, 100)
		serveProbes(p, func(string) (Outcome, []string) { return invalid, nil })
		time.Sleep(probeAgain)
		seen := map[string]bool{}
		ask := func(n int) (first string) {
			due, next := p.Probes(n)
			for _, pr := range due {
				if first == "" {
					first = pr.KeyID()
				}
				if seen[pr.KeyID()] {
					t.Errorf("%s is asked twice", pr.KeyID())
				}
				seen[pr.KeyID()] = true
				pr.Done(invalid, nil)
			}
			if len(seen) < 100 && next.After(time.Now()) {
				t.Errorf("next %s although only %d were asked", next, len(seen))
			}
			return first
		}
		ask(10)
		now := ""
		for i := range 100 {
			if now = KeyID(secretOf(i)); !seen[now] {
				break
			}
		}
		if err := p.ProbeNow(now); err != nil {
			t.Fatal(err)
		}
		if first := ask(1); first != now {
			t.Errorf("asked %s before %s", first, now)
		}
		for range 20 {
			ask(7)
		}
		if len(seen) != 100 {
			t.Errorf("%d of 100 keys were asked", len(seen))
		}
	})
}
