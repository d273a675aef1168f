// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// waits starts a Lease and returns where its end is told.
type waited struct {
	lease *Lease
	err   error
	after time.Duration
}

func start(ctx context.Context, p *Pool, w Want) <-chan waited {
	out := make(chan waited, 1)
	if w.Model == "" {
		w.Model = flash
	}
	go func() {
		began := time.Now()
		l, err := p.Lease(ctx, w)
		out <- waited{l, err, time.Since(began)}
	}()
	synctest.Wait()
	return out
}

func TestWaitForNearestRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 3)
		var nearest string
		for _, seconds := range []int{9, 4, 7} {
			l := lease(t, p, Want{})
			if seconds == 4 {
				nearest = l.KeyID()
			}
			o := minuteFull
			o.Rest = time.Duration(seconds) * time.Second
			l.Done(o)
		}
		began := time.Now()
		l := lease(t, p, Want{Wait: 10 * time.Second})
		if got := time.Since(began); got != 4*time.Second || l.KeyID() != nearest {
			t.Errorf("got %s after %v, want %s after 4s", l.KeyID(), got, nearest)
		}
	})
}

func TestNoWaitInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 2)
		for range 2 {
			lease(t, p, Want{}).Done(minuteFull)
		}
		began := time.Now()
		u := refused(t, p, Want{Wait: 10 * time.Second})
		if time.Since(began) != 0 || u.Reason != AllResting || u.RetryAfter != minuteFull.Rest {
			t.Errorf("%+v after %v; want AllResting at once", u, time.Since(began))
		}
		// What comes to rest for longer while somebody waits ends the wait.
		time.Sleep(25 * time.Second)
		out := start(t.Context(), p, Want{Wait: 10 * time.Second})
		p.lock()
		for _, r := range slices.Clone(p.restHeap) {
			p.extend(&rest{scope: r.scope, project: r.project, model: r.model, kind: ExhaustedForDay}, time.Now().Add(time.Hour), time.Now())
		}
		p.serve(time.Now())
		p.unlock()
		got := <-out
		if u, ok := errors.AsType[*Unavailable](got.err); !ok || u.Reason != AllExhausted || got.after != 0 {
			t.Errorf("%+v; want AllExhausted at once", got)
		}
	})
}

func TestWaitIsFIFO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		lease(t, p, Want{}).Done(minuteFull)
		time.Sleep(25 * time.Second)
		const n = 40
		served := make([]time.Time, n) // at the same moment for those of one step
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				l, err := p.Lease(t.Context(), Want{Model: flash, Wait: 10 * time.Second})
				if err != nil {
					t.Error(err)
					return
				}
				served[i] = time.Now()
				time.Sleep(time.Second)
				l.Done(ok)
			})
			synctest.Wait()
		}
		time.Sleep(5*time.Second + rampStep/2)
		synctest.Wait()
		if n := p.Stats().InFlight; n != 1 {
			t.Errorf("%d requests went to a key that has just come back, want 1", n)
		}
		late := start(t.Context(), p, Want{Wait: 10 * time.Second})
		select {
		case <-late:
			t.Error("a newcomer overtook those who wait")
		default:
		}
		wg.Wait()
		(<-late).lease.Done(ok)
		if !slices.IsSortedFunc(served, time.Time.Compare) {
			t.Errorf("served at %v", served)
		}
	})
}

// A key that is back is tried by one request; its refusal spares the others.
func TestRampStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const requests, refusals = 100, 3
		p := open(t, nil, 1)
		o := minuteFull
		o.Rest = 2 * time.Second
		lease(t, p, Want{}).Done(o)
		var mu sync.Mutex
		attempts, most := 0, 0
		var wg sync.WaitGroup
		for range requests {
			wg.Go(func() {
				for {
					l, err := p.Lease(t.Context(), Want{Model: flash, Wait: 30 * time.Second})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					attempts++
					refuse := attempts <= refusals
					most = max(most, p.Stats().InFlight)
					mu.Unlock()
					time.Sleep(rampStep / 2)
					if !refuse {
						l.Done(ok)
						return
					}
					if n := p.Stats().InFlight; n != 1 {
						t.Errorf("%d attempts at a time on a key that refuses", n)
					}
					l.Done(o)
				}
			})
		}
		wg.Wait()
		if attempts != requests+refusals {
			t.Errorf("%d attempts for %d requests, want %d", attempts, requests, requests+refusals)
		}
		if most < 4 {
			t.Errorf("at most %d in flight: the ramp does not rise", most)
		}
	})
}

// The ramp rises although no answer is complete yet: streams may take minutes.
func TestRampRisesWithoutAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		o := minuteFull
		o.Rest = time.Second
		lease(t, p, Want{}).Done(o)
		var outs []<-chan waited
		for range 15 {
			outs = append(outs, start(t.Context(), p, Want{Wait: 10 * time.Second}))
		}
		time.Sleep(time.Second + rampStep/2)
		for _, want := range []int{1, 3, 7, 15} {
			synctest.Wait()
			if n := p.Stats().InFlight; n != want {
				t.Errorf("%d in flight, want %d", n, want)
			}
			time.Sleep(rampStep)
		}
		for _, out := range outs {
			(<-out).lease.Done(ok)
		}
	})
}

// A refused request does not go behind those who came after it.
func TestWaiterKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 2)
		o := minuteFull
		for seconds := range 2 {
			o.Rest = time.Duration(seconds+1) * time.Second
			lease(t, p, Want{}).Done(o)
		}
		w := Want{Wait: 10 * time.Second, Tried: new(Tried)}
		old := start(t.Context(), p, w)
		young := start(t.Context(), p, Want{Wait: 10 * time.Second, Tried: new(Tried)})
		time.Sleep(time.Second)
		o.Rest = time.Minute
		(<-old).lease.Done(o)
		old = start(t.Context(), p, w)
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case got := <-old:
			got.lease.Done(ok)
		default:
			t.Error("the younger request was served first")
		}
		(<-young).lease.Done(ok)
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := Open(Options{Store: memory.New(), Sealer: sealer(t), MaxQueue: 2})
		if err != nil {
			t.Fatal(err)
		}
		add(t, p, newKeys(1)...)
		o := minuteFull
		o.Rest = time.Second
		lease(t, p, Want{}).Done(o)
		a, b := start(t.Context(), p, Want{Wait: time.Minute}), start(t.Context(), p, Want{Wait: time.Minute})
		u := refused(t, p, Want{Wait: time.Minute})
		if u.Reason != AllResting || u.RetryAfter != time.Second || u.Message != queueFull {
			t.Errorf("%+v", u)
		}
		if s := p.Stats(); s.Waiting != 2 {
			t.Errorf("waiting: %d", s.Waiting)
		}
		(<-a).lease.Done(ok)
		(<-b).lease.Done(ok)
	})
}

func TestWaitEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		o := minuteFull
		o.Rest = 5 * time.Second
		lease(t, p, Want{}).Done(o)
		ctx, cancel := context.WithCancel(t.Context())
		out := start(ctx, p, Want{Wait: 10 * time.Second})
		time.Sleep(time.Second)
		cancel()
		got := <-out
		if !errors.Is(got.err, context.Canceled) || got.after != time.Second {
			t.Errorf("%+v", got)
		}
		if s := p.Stats(); s.Waiting != 0 || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
		if _, err := p.Lease(ctx, Want{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Lease with an ended context: %v", err)
		}
	})
}

// What brings a key ends the wait at once, without anybody looking.
func TestWaitEndsWithNewKey(t *testing.T) {
	for _, c := range []struct {
		name  string
		bring func(*Pool, string) error
	}{
		{"Add", func(p *Pool, _ string) error {
			_, err := p.Add(context.Background(), []NewKey{{Secret: "new"}})
			return err
		}},
		{"Declare", func(p *Pool, _ string) error { p.Declare([]NewKey{{Secret: "new"}}); return nil }},
		{"SetState", func(p *Pool, id string) error {
			return p.SetState(context.Background(), id, StateActive, "")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, nil, 2)
				o := minuteFull
				o.Rest = 5 * time.Second
				lease(t, p, Want{}).Done(o)
				l := lease(t, p, Want{})
				l.Done(invalid)
				out := start(t.Context(), p, Want{Wait: 10 * time.Second})
				time.Sleep(time.Second)
				if err := c.bring(p, l.KeyID()); err != nil {
					t.Fatal(err)
				}
				if got := <-out; got.err != nil || got.after != time.Second {
					t.Errorf("%+v; want a lease after 1s", got)
				}
			})
		})
	}
}

// A lane whose keys stay ready serves everybody within the ramp, and who cannot
// wait that long takes what is there at the end of its time.
func TestLateTakesWhatIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		o := minuteFull
		o.Rest = time.Second
		lease(t, p, Want{}).Done(o)
		var outs []<-chan waited
		for range 5 {
			outs = append(outs, start(t.Context(), p, Want{Wait: time.Second + 10*time.Millisecond}))
		}
		for i, out := range outs {
			got := <-out
			if got.err != nil || got.after > time.Second+10*time.Millisecond {
				t.Errorf("request %d: %+v", i, got)
			}
		}
	})
}

func TestDisabledWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		o := minuteFull
		o.Rest = 5 * time.Second
		l := lease(t, p, Want{})
		l.Done(o)
		out := start(t.Context(), p, Want{Wait: 10 * time.Second})
		if err := p.SetState(t.Context(), l.KeyID(), StateDisabled, "by hand"); err != nil {
			t.Fatal(err)
		}
		if u, ok := errors.AsType[*Unavailable]((<-out).err); !ok || u.Reason != AllDead {
			t.Errorf("got %v; want AllDead", u)
		}
	})
}

// Who does not wait is refused while others wait for the same keys, so that it does
// not take from them, and served where it does not.
func TestNoWaitStandsBehindThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		l := lease(t, p, Want{})
		l.Done(Outcome{Verdict: RateLimited, Blame: ScopeProjectModel, Rest: 300 * time.Millisecond, RetryAfter: 300 * time.Millisecond})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				l, err := p.Lease(t.Context(), Want{Model: flash, User: "waits", Wait: 10 * time.Second, Tried: new(Tried)})
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(50 * time.Millisecond)
				l.Done(ok)
			})
		}
		time.Sleep(310 * time.Millisecond)
		met := 0
		for p.Stats().Waiting > 0 {
			l, err := p.Lease(t.Context(), Want{Model: flash, User: "impatient", Tried: new(Tried)})
			u, refused := errors.AsType[*Unavailable](err)
			if !refused {
				t.Fatalf("one who does not wait got %v, %v before %d who do", l, err, p.Stats().Waiting)
			}
			if u.Reason != AllResting || u.RetryAfter <= 0 || !strings.Contains(u.Message, "Other requests wait") {
				t.Fatalf("%+v", u)
			}
			met++
			lease(t, p, Want{Unmetered: true}).Done(ok)
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		lease(t, p, Want{}).Done(ok)
		if met == 0 {
			t.Error("nobody waited")
		}
	})

	t.Run("nobody is hurt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := open(t, nil, 1)
			if err := p.SetLimits([]LimitRule{{Model: "*", TPM: 100}}); err != nil {
				t.Fatal(err)
			}
			lease(t, p, Want{Tokens: 60}).Done(Outcome{Input: 60})
			large := start(t.Context(), p, Want{Tokens: 50, Wait: 2 * time.Minute, Tried: new(Tried)})
			if p.Stats().Waiting != 1 {
				t.Fatal("nobody waits")
			}
			lease(t, p, Want{Tokens: 5}).Done(Outcome{Input: 5})
			(<-large).lease.Done(ok)
		})
	})
}
