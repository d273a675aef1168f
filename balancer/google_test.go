// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// google is Google's side of the quotas, told apart from the balancer's on purpose:
// lists of what it took, counted anew for each request.
type google struct {
	t       *testing.T
	aligned bool
	limits  map[string]caps  // by project and model
	spend   map[string]int64 // what projects may spend in ten minutes; missing for no limit
	set     bool             // the pool knows that beforehand

	mu      sync.Mutex
	taken   map[string][]charge
	spent   map[string][]charge             // by project
	poor    map[string][2]time.Time         // when and until when projects rest for what they spent
	told    map[string]map[string]time.Time // limits that refusals named, and when first
	refused map[string][2]time.Time         // when and until when it said that there is no room
	taught  int                             // refusals that named nothing new
}

type caps struct{ rpm, tpm, rpd int64 }

type charge struct {
	at     time.Time
	tokens int64 // or nano-USD
}

// overspends refuses a request of a project that has spent its limit, as Google does:
// for all models, and without a number or a time.
func (g *google) overspends(project string, now time.Time) bool {
	limit, limited := g.spend[project]
	if !limited {
		return false
	}
	if said := g.poor[project]; now.After(said[0]) && now.Before(said[1]) {
		g.t.Errorf("%s was asked %s too early after it had spent its limit", project, said[1].Sub(now))
	}
	var sum int64
	for _, was := range g.spent[project] {
		if now.Sub(was.at) < spendWindow {
			sum += was.tokens
		}
	}
	if sum < limit {
		return false
	}
	if g.set {
		g.t.Errorf("%s was asked although %d of %d were spent", project, sum, limit)
	}
	g.poor[project] = [2]time.Time{now, now.Add(overspent.Rest)}
	return true
}

// charges books what a request cost when its answer has ended.
func (g *google) charges(project string, cost int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.spent[project] = append(g.spent[project], charge{time.Now(), cost})
}

func (g *google) ends(at time.Time) time.Time {
	if g.aligned {
		return at.Truncate(time.Minute).Add(time.Minute)
	}
	return at.Add(time.Minute)
}

// oversized is the reason of refusals that are the request's own fault.
const oversized = "oversized"

// asks is a request that arrives now. Where it breaks a limit that the pool was
// told, or comes before the announced time, that is an error of the pool.
func (g *google) asks(project, model string, tokens int64) Outcome {
	g.mu.Lock()
	defer g.mu.Unlock()
	id, now := project+"/"+model, time.Now()
	// What is asked at the same moment was under way.
	if said := g.refused[id]; now.After(said[0]) && now.Before(said[1]) {
		g.t.Errorf("%s was asked %s before the announced time", id, said[1].Sub(now))
	}
	c := g.limits[id]
	var requests, sum, today int64
	var first, room time.Time // when one request, or the tokens, have left
	for _, was := range g.taken[id] {
		if g.ends(was.at).After(now) {
			if first.IsZero() {
				first = g.ends(was.at)
			}
			requests++
			sum += was.tokens
		}
		if pacificMidnight(was.at).After(now) {
			today++
		}
	}
	left := sum
	for _, was := range g.taken[id] {
		if g.ends(was.at).After(now) && left+tokens > c.tpm {
			left -= was.tokens
			room = g.ends(was.at)
		}
	}
	if c.tpm > 0 && tokens > c.tpm {
		// There is no time at which it would be taken.
		o := refusal429(tokensID, c.tpm, g.ends(now).Sub(now))
		o.Reason = oversized
		return o
	}
	refuse := func(name string, value int64, until time.Time) Outcome {
		switch first, told := g.told[id][name]; {
		case told && now.After(first):
			g.taught++
		case g.told[id] == nil:
			g.told[id] = map[string]time.Time{name: now}
		default:
			g.told[id][name] = now
		}
		g.refused[id] = [2]time.Time{now, until}
		o := refusal429(name, value, until.Sub(now))
		o.Rest = until.Sub(now)
		if name == perDayID {
			o.Verdict, o.UntilMidnight, o.Rest = Exhausted, true, 0
		}
		return o
	}
	switch {
	case g.overspends(project, now):
		return overspent
	case c.rpd > 0 && today >= c.rpd:
		return refuse(perDayID, c.rpd, pacificMidnight(now))
	case c.rpm > 0 && requests >= c.rpm:
		return refuse(perMinuteID, c.rpm, first)
	case c.tpm > 0 && sum > 0 && sum+tokens > c.tpm:
		return refuse(tokensID, c.tpm, room)
	}
	g.taken[id] = append(g.taken[id], charge{now, tokens})
	return Outcome{Input: tokens, Tokens: tokens + 10, Status: 200}
}

// Random pools, 1,500 or as many as QUOTA_CASES says, over a Google with limits of
// requests, tokens, days and money: what the pool knows of a limit it keeps, nothing is asked before an announced
// time, faults of clients rest nothing, every waiter is answered by its deadline,
// and at the end nothing is reserved, gated or queued.
func TestRandomQuotas(t *testing.T) {
	runs := 1500
	if testing.Short() {
		runs = 300
	}
	if text := os.Getenv("QUOTA_CASES"); text != "" { //nolint:forbidigo // a knob of the test
		var err error
		if runs, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for seed := range runs {
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Log("seed", seed)
				}
			}()
			randomQuotas(t, uint64(seed))
		})
	}
}

func randomQuotas(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	time.Sleep(time.Duration(r.Int64N(int64(400 * 24 * time.Hour)))) // any day, those of the clock changes among them
	if r.IntN(3) == 0 {
		time.Sleep(time.Until(pacificMidnight(time.Now())) - 2*time.Minute)
	}
	s := memory.New()
	strategy := []string{"adaptive", "least_used", "round_robin"}[r.IntN(3)]
	p, err := Open(Options{Store: s, Sealer: sealer(t), Strategy: strategy, MaxQueue: 20})
	if err != nil {
		t.Fatal(err)
	}
	g := &google{
		t: t, aligned: r.IntN(4) == 0, limits: map[string]caps{}, taken: map[string][]charge{},
		told: map[string]map[string]time.Time{}, refused: map[string][2]time.Time{},
		spend: map[string]int64{}, spent: map[string][]charge{}, poor: map[string][2]time.Time{},
	}
	models := []string{"m0", "m1"}
	var keys []NewKey
	projects := 1 + r.IntN(4)
	for i := range projects {
		name := fmt.Sprint("p", i)
		for _, m := range models {
			c := caps{rpm: int64(2 + r.IntN(8))}
			if r.IntN(3) == 0 {
				c.tpm = int64(500 + r.IntN(1500))
			}
			if r.IntN(3) == 0 {
				c.rpd = int64(10 + r.IntN(20))
			}
			g.limits[name+"/"+m] = c
		}
		if r.IntN(3) == 0 {
			g.spend[name] = (1 + r.Int64N(8)) * dollar
		}
		for range 1 + r.IntN(3) {
			keys = append(keys, NewKey{Secret: fmt.Sprint("key-", len(keys)), Project: name, Paid: r.IntN(4) == 0, Weight: 1 + r.IntN(2)})
		}
	}
	add(t, p, keys...)
	if r.IntN(3) == 0 { // known beforehand
		for id, c := range g.limits {
			if err := p.SetLimits(append(p.limits.rules, LimitRule{Model: id[3:], Project: id[:2], RPM: c.rpm, TPM: c.tpm, RPD: c.rpd})); err != nil {
				t.Fatal(err)
			}
			g.told[id] = map[string]time.Time{perMinuteID: {}, tokensID: {}, perDayID: {}}
		}
		for project, limit := range g.spend {
			if err := p.SetLimits(append(p.limits.rules, LimitRule{Model: "*", Project: project, Spend: limit})); err != nil {
				t.Fatal(err)
			}
		}
		g.set = true
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { _ = p.Run(ctx); close(ran) }()
	var wg sync.WaitGroup
	pace := 2 * time.Second
	if r.IntN(4) == 0 {
		pace = 30 * time.Second // half an hour: what is spent leaves its window
	}
	for range 60 {
		time.Sleep(time.Duration(r.ExpFloat64() * float64(pace)))
		wait := time.Duration(r.IntN(20)) * time.Second
		w := Want{
			Model: models[r.IntN(2)], Tokens: int64(r.IntN(400)), Tried: new(Tried), Wait: wait, User: fmt.Sprint(r.IntN(3)),
			Affinity: uint64(r.IntN(2)) * r.Uint64(), Cost: r.Int64N(dollar),
		}
		tokens := w.Tokens
		if r.IntN(12) == 0 {
			tokens = int64(2001 + r.IntN(3000)) // more than any may have that has a limit
			w.Tokens = tokens - tokens*int64(r.IntN(3))/6
		}
		fault, gone := r.IntN(10) == 0, r.IntN(15) == 0
		took := time.Duration(r.ExpFloat64() * float64(2*time.Second))
		if r.IntN(20) == 0 {
			took += time.Minute
		}
		wg.Go(func() { asks(t, p, g, w, tokens, took, fault, gone) })
	}
	wg.Wait()
	synctest.Wait()
	if g.taught > 0 && !g.aligned {
		t.Errorf("seed %d: %d refusals by limits that were known", seed, g.taught)
	}
	settled(t, p)
	balanced(t, p, nil)
	check(t, p, time.Now())
	if s := p.Stats(); s.Waiting != 0 || s.InFlight != 0 {
		t.Errorf("at the end: %+v", s)
	}
	cancel()
	<-ran
}

// asks is one request with its attempts.
func asks(t *testing.T, p *Pool, g *google, w Want, tokens int64, took time.Duration, fault, gone bool) {
	deadline := time.Now().Add(w.Wait)
	misfits := 0
	for attempt := 0; attempt < 4 || misfits > mostMisfits; attempt++ {
		if misfits > mostMisfits {
			t.Errorf("a request of %d tokens was refused %d times for them", tokens, misfits)
			return
		}
		w.Wait = max(time.Until(deadline), 0)
		ctx, cancel := t.Context(), context.CancelFunc(func() {})
		if gone {
			ctx, cancel = context.WithTimeout(ctx, w.Wait/2)
		}
		asked := time.Now()
		l, err := p.Lease(ctx, w)
		cancel()
		if late := time.Since(asked) - w.Wait; late > 0 {
			t.Errorf("answered %s after the deadline", late)
		}
		if err != nil {
			u, is := errors.AsType[*Unavailable](err)
			if !is && !gone {
				t.Error(err)
			}
			if is && u.RetryAfter < 0 {
				t.Errorf("%+v", u)
			}
			return
		}
		if fault {
			l.Done(Outcome{Verdict: BadRequest, Status: 400, Reason: "bad"})
			for _, r := range p.Rests(0) {
				if r.Reason == "bad" {
					t.Errorf("a client's fault made something rest: %+v", r)
				}
			}
			return
		}
		o := g.asks(l.Project(), w.Model, tokens)
		if o.Reason == oversized {
			misfits++
			l.Done(o)
			if limit := o.Limits[0].Value; w.Tokens > limit && !l.reserved.explore {
				for _, r := range p.Rests(0) {
					if r.Reason == oversized && r.Project == l.Project() && r.Since.Equal(time.Now()) {
						t.Errorf("%d tokens, taken for %d, of %d: %+v", tokens, w.Tokens, limit, r)
					}
				}
			}
			continue
		}
		if o.Verdict == OK {
			l.Accepted()
			time.Sleep(took)
			if o.Cost = w.Cost - w.Cost/3; w.Cost%4 == 0 {
				o.Cost = 0 // nobody knows: the estimate stands
			}
			g.charges(l.Project(), w.Cost-w.Cost/3)
			l.Done(o)
			return
		}
		l.Done(o)
	}
}
