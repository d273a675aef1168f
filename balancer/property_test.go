// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// anyOutcome draws one of the outcomes that a classifier can make, and some
// that none should.
func anyOutcome(r *rand.Rand) Outcome {
	o := Outcome{
		Verdict: Verdict(r.IntN(int(Unclassified) + 1)),
		Blame:   Scope(r.IntN(int(ScopeRoute) + 1)),
		Retry:   Retry(r.IntN(int(RetrySame) + 1)),
		Rest:    time.Duration(r.IntN(100)) * time.Second, Escalate: r.IntN(3) == 0, UntilMidnight: r.IntN(10) == 0,
	}
	if r.IntN(8) == 0 {
		o.State = append(slices.Clone(States), "nonsense")[r.IntN(len(States)+1)]
	}
	if r.IntN(10) == 0 {
		o.Consumer = fmt.Sprint("projects/", r.IntN(3))
	}
	if r.IntN(10) == 0 {
		id := []string{"", perMinuteID, tokensID, perDayID}[r.IntN(4)]
		o.Limits = []Limit{{ID: id, Model: fmt.Sprint("m", r.IntN(4)), Value: int64(r.IntN(300))}}
		o.RetryAfter = time.Duration(r.IntN(90_000)) * time.Millisecond
	}
	switch r.IntN(6) {
	case 0, 1, 2:
		o = ok
	case 3:
		o = Outcome{Verdict: clientFaults[r.IntN(len(clientFaults))], Retry: o.Retry, Status: 400, Reason: "bad"}
	}
	if r.IntN(2) == 0 {
		o.Input, o.Cost = int64(r.IntN(300)), r.Int64N(3*dollar)
		o.Tokens = o.Input + 10
	}
	return o
}

// clientFaults are the verdicts that no key, project or route has to answer for.
var clientFaults = []Verdict{BadRequest, BadSignature, Blocked, ForeignResource, Canceled}

// anyRule draws what an operator may know. What was spent before a spend limit is set
// is not counted: a schedule has one from the start, or never.
func anyRule(r *rand.Rand, money bool) LimitRule {
	rule := LimitRule{Model: "*", Project: "shared", RPM: int64(1 + r.IntN(6))}
	if r.IntN(3) > 0 {
		rule.TPM = int64(50 + r.IntN(500))
	}
	if money {
		rule.Spend = 1 + r.Int64N(5*dollar)
	}
	return rule
}

// edges collects state changes that attempts may not cause.
type edges struct {
	mu       sync.Mutex
	operator bool // an operator's change is under way
	wrong    []StateChange
}

func (e *edges) StoreFailed(error) {}
func (e *edges) Rested(Rest)       {}

func (e *edges) StateChanged(c StateChange) {
	e.mu.Lock()
	defer e.mu.Unlock()
	legal := c.From.leasable() && c.To != StateUntested && c.To != StateDisabled && c.To.valid() && c.From != c.To
	if !legal && !e.operator {
		e.wrong = append(e.wrong, c)
	}
}

// deadlines returns the end of each rest in force, also of projects that have no
// key at the moment. Those by the pool's own count are left out: what was reserved may
// be given back.
func deadlines(p *Pool) map[string]time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]time.Time{}
	for _, h := range p.restHeap {
		r := h.public()
		if !h.inForce || h.books != nil || h.spending != nil {
			continue
		}
		out[r.Scope+"|"+r.Project+"|"+r.KeyID+"|"+r.Model+"|"+r.Route] = r.Until
	}
	return out
}

// check compares all that is derived with what it is derived from.
func check(t *testing.T, p *Pool, now time.Time) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endRests(now, 1<<30)
	inForce, inFlight, counts, escalated := 0, 0, map[State]int{}, map[*project]int{}
	var rests [classes]int
	for i, r := range p.restHeap {
		known := p.known(r)
		if r.books != nil {
			known = r.books.fill
		}
		if r.spending != nil {
			known = r.spending.fill
		}
		if r.index != i || known != r || r.forgotten {
			t.Fatalf("heap holds %+v at %d", r.public(), i)
		}
		if r.inForce {
			inForce++
			rests[r.class()]++
		}
		if r.step > 0 && r.project != nil {
			escalated[r.project]++
		}
	}
	if inForce != p.resting {
		t.Errorf("resting is %d, want %d", p.resting, inForce)
	}
	if counted := p.restCounts; !slices.Equal(counted[1:], rests[1:]) {
		t.Errorf("rests are counted as %v, want %v", counted, rests)
	}
	for _, e := range p.byID {
		n := int(e.inFlight.Load())
		if inFlight += n; n < 0 {
			t.Errorf("%s has %d in flight", e.id, n)
		}
		l := e.live.Load()
		counts[l.state]++
		if !slices.Contains(l.project.keys, e) || p.projects[l.project.id] != l.project {
			t.Errorf("%s is not in its project %s", e.id, l.project.id)
		}
		for _, m := range *p.models.Load() {
			c := p.candidates(&m.plain, nil)
			// A key that never was open may lie beyond the words.
			may := e.slot/64 < len(c.open) && c.word(e.slot/64)&(1<<(e.slot%64)) != 0 && m.until.Load() <= now.UnixNano()
			gated := m.quota(e.slot) != nil && m.quota(e.slot).gated
			if want := l.state.leasable() && p.longest(e, m) == nil && !gated; may != want {
				t.Fatalf("%s may be leased for %q: %t, want %t", e.id, m.name, may, want)
			}
		}
	}
	for _, project := range p.projects {
		if got := int(project.escalated.Load()); got != escalated[project] {
			t.Errorf("%s: escalated is %d, want %d", project.id, got, escalated[project])
		}
	}
	maps.DeleteFunc(p.counts, func(_ State, n int) bool { return n == 0 })
	if !maps.Equal(counts, p.counts) || inFlight > int(p.inFlight.Load()) {
		t.Errorf("counts %v, want %v; in flight %d, want %d", p.counts, counts, p.inFlight.Load(), inFlight)
	}
}

// Ten thousand random sequences: deadlines only extend, states change only as
// they may, faults of clients rest nothing, no limit of the operator is broken, be it
// of requests, tokens or money, nothing is counted twice, what is reserved is what
// is under way, and picks see what the records say.
func TestRandomOutcomes(t *testing.T) {
	sequences, steps := 10_000, 40
	if testing.Short() {
		sequences = 500
	}
	for seed := range sequences {
		synctest.Test(t, func(t *testing.T) { randomOutcomes(t, uint64(seed), steps) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomOutcomes(t *testing.T, seed uint64, steps int) {
	r := rand.New(rand.NewPCG(seed, 0))
	seen := &edges{}
	p, err := Open(Options{Store: memory.New(), Sealer: sealer(t), Observer: seen})
	if err != nil {
		t.Fatal(err)
	}
	keys := newKeys(4)
	keys[0].Project, keys[1].Project = "shared", "shared"
	keys[2].Proxy = "http://host"
	ids := add(t, p, keys...)
	var leases []*Lease
	o := oracle{project: "shared"}
	limits := func(rule LimitRule) {
		if err := p.SetLimits([]LimitRule{rule}); err != nil {
			t.Fatal(err)
		}
		o.rule = rule
	}
	money := r.IntN(2) == 0
	if r.IntN(3) > 0 {
		limits(anyRule(r, money))
	}
	for range steps {
		before := deadlines(p)
		switch n := r.IntN(20); {
		case n < 8:
			w := Want{Model: fmt.Sprint("m", r.IntN(3)), Tokens: int64(r.IntN(300)), Cost: r.Int64N(2 * dollar)}
			if l, err := p.Lease(t.Context(), w); err == nil {
				o.leased(t, p, l, w)
				leases = append(leases, l)
			}
		case n < 16 && len(leases) > 0:
			i := r.IntN(len(leases))
			out := anyOutcome(r)
			leases[i].Done(out)
			if r.IntN(2) == 0 {
				leases[i].Done(anyOutcome(r)) // without effect
			}
			o.done(leases[i], out)
			if out.Reason == "bad" {
				blameless(t, p, before)
			}
			leases = slices.Delete(leases, i, i+1)
		case n == 17:
			seen.operator = true
			_ = p.SetState(t.Context(), ids[r.IntN(4)], States[r.IntN(len(States))], "")
			seen.operator = false
		case n == 16:
			seen.operator = true
			resetOne(t, p, ids[r.IntN(4)], before)
			seen.operator = false
		case n == 18:
			if id := ids[r.IntN(4)]; p.Delete(t.Context(), id) == nil {
				add(t, p, keys[slices.Index(ids, id)])
				delete(before, "key||"+id+"||") // goes with the key
			}
		case o.rule.Model != "" && r.IntN(4) == 0:
			limits(anyRule(r, money))
		default:
			time.Sleep(o.pause(r))
		}
		now := time.Now()
		after := deadlines(p)
		for id, until := range before {
			if until.After(now) && after[id].Before(until) {
				t.Errorf("%s: the deadline moved from %v to %v", id, until, after[id])
			}
		}
		check(t, p, now)
		balanced(t, p, leases)
	}
	for _, l := range leases {
		l.Done(ok)
	}
	balanced(t, p, nil)
	if n := p.inFlight.Load(); n != 0 || len(seen.wrong) != 0 {
		t.Errorf("in flight at the end: %d; wrong state changes: %+v", n, seen.wrong)
	}
	check(t, p, time.Now())
	emptied(t, p)
	check(t, p, time.Now())
}

// blameless reports rests that a client's fault began or extended.
func blameless(t *testing.T, p *Pool, before map[string]time.Time) {
	t.Helper()
	for rest, until := range deadlines(p) {
		if was, known := before[rest]; !known || until.After(was) {
			t.Errorf("a client's fault made %s rest until %v", rest, until)
		}
	}
}

// resetOne resets a key and takes what that should end from the rests before it.
func resetOne(t *testing.T, p *Pool, id string, before map[string]time.Time) {
	t.Helper()
	project := p.byID[id].live.Load().project.id
	if err := p.Reset(t.Context(), id); err != nil {
		t.Error(err)
	}
	maps.DeleteFunc(before, func(rest string, _ time.Time) bool {
		return strings.HasPrefix(rest, "key||"+id+"|") || strings.HasPrefix(rest, "project|"+project+"|") || strings.HasPrefix(rest, "project_model|"+project+"|")
	})
	for rest := range deadlines(p) {
		if _, kept := before[rest]; !kept {
			t.Errorf("%s outlives the reset of %s", rest, id)
		}
	}
}

// Everything at once, for the race detector and for what must hold at the end.
func TestManyCallers(t *testing.T) {
	p := open(t, nil, 200)
	if err := p.SetLimits([]LimitRule{{Model: "*", RPM: 20, TPM: 2000, Spend: 100 * dollar}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { _ = p.Run(ctx); close(ran) }()
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for i := range 150 {
				w := Want{Model: fmt.Sprint("m", r.IntN(3)), Tried: new(Tried), Wait: time.Duration(r.IntN(3)) * time.Millisecond, Tokens: int64(r.IntN(300)), Cost: r.Int64N(2 * dollar)}
				if r.IntN(4) == 0 {
					w.Tags = []string{fmt.Sprint("t", r.IntN(3))}
				}
				for range 3 {
					l, err := p.Lease(ctx, w)
					if err != nil {
						if _, is := errors.AsType[*Unavailable](err); !is {
							t.Error(err)
						}
						break
					}
					o := anyOutcome(r)
					o.Rest /= 10_000 // milliseconds
					if i%20 != 0 {
						o.State = ""
					}
					l.Done(o)
				}
				switch secret := fmt.Sprint("more-", g); {
				case i%50 == 10:
					_, _ = p.Add(ctx, []NewKey{{Secret: secret, Tags: []string{fmt.Sprint("t", g%3)}}})
				case i%50 == 30:
					_ = p.Delete(ctx, KeyID(secret))
				case i%50 == 40:
					_ = p.SetState(ctx, KeyID(secretOf(r.IntN(200))), StateActive, "")
				case i%50 == 20:
					_ = p.Reset(ctx, KeyID(secretOf(r.IntN(200))))
				case i%50 == 45 && g < 4:
					p.Declare([]NewKey{{Secret: "declared"}, {Secret: secretOf(g)}})
				case i%10 == 0:
					p.List(Query{Search: "t1", Sort: "name"})
					p.Rests(10)
					p.Stats()
				}
			}
		})
	}
	wg.Wait()
	cancel()
	<-ran
	if s := p.Stats(); s.InFlight != 0 || s.Waiting != 0 {
		t.Errorf("at the end: %+v", s)
	}
	balanced(t, p, nil)
	check(t, p, time.Now())
}
