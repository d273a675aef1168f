// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// answersBySize refuses a request by the tokens that it has in truth.
func answersBySize(tokens, tpm int64) Outcome {
	if tokens > tpm {
		return refusal429(tokensID, tpm, 47*time.Second)
	}
	return Outcome{Input: tokens, Tokens: tokens + 1}
}

// insists is one request that makes attempts until the pool refuses, or Google does
// not; it returns how many, and what the pool said.
func insists(t *testing.T, p *Pool, estimate, tokens int64, tpm func(project string) int64) (attempts int, last Outcome, u *Unavailable) {
	t.Helper()
	tried := new(Tried)
	for attempts < 50 {
		l, err := p.Lease(t.Context(), Want{Model: flash, Tokens: estimate, Tried: tried})
		if err != nil {
			u, _ = errors.AsType[*Unavailable](err)
			return attempts, last, u
		}
		attempts++
		last = answersBySize(tokens, tpm(l.Project()))
		l.Done(last)
		if last.Verdict == OK {
			return attempts, last, nil
		}
	}
	t.Fatal("no end")
	return 0, last, nil
}

// TestOversized: a request that is larger than what projects may use in a minute rests
// none of them and asks few.
func TestOversized(t *testing.T) {
	same := func(string) int64 { return 1000 }
	for _, c := range []struct {
		name             string
		estimate, tokens int64
		most             int // attempts of the first one
		says             string
	}{
		{"as estimated", 5000, 5000, 3, "about 5000 input tokens, more than the 1000 "},
		{"a little larger", 1100, 1100, 3, "about 1100 input tokens, more than the 1000 "},
		{"estimated too small", 800, 1100, 3, "more input tokens than the 1000 "},
		{"a video behind a link", 20, 90_000, 3, "more input tokens than the 1000 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, nil, 40)
				for round := range 60 {
					n, _, u := insists(t, p, c.estimate, c.tokens, same)
					if n > c.most || u == nil || u.Reason != TooLarge || u.RetryAfter != 0 || !strings.Contains(u.Message, c.says) {
						t.Fatalf("round %d: %d attempts, then %+v", round, n, u)
					}
					if rests := p.Rests(0); len(rests) > 0 {
						t.Fatalf("round %d: rests %+v", round, rests)
					}
					if n, _, u := insists(t, p, 10, 10, same); n != 1 || u != nil {
						t.Fatalf("round %d: a small one: %d attempts, %+v", round, n, u)
					}
					time.Sleep(100 * time.Millisecond)
				}
				balanced(t, p, nil)
				check(t, p, time.Now())
			})
		})
	}
}

// TestOversized_OneIsLarger: a project with room enough serves it, known or not.
func TestOversized_OneIsLarger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 3)
		large := KeyID(secretOf(2))
		tpm := func(project string) int64 {
			if project == large {
				return 100_000
			}
			return 1000
		}
		for range 3 {
			if n, o, u := insists(t, p, 5000, 5000, tpm); u != nil || o.Verdict != OK || n > 3 {
				t.Fatalf("%d attempts, %+v, %+v", n, o, u)
			}
		}
		// It is known by now that only one will do, which rests.
		lease(t, p, Want{Bound: &Binding{KeyID: large}}).Done(minuteFull)
		tried := new(Tried)
		u := refused(t, p, Want{Tokens: 5000, Tried: tried})
		if u.Reason != AllResting || u.RetryAfter != 30*time.Second {
			t.Errorf("%+v", u)
		}
		began := time.Now()
		lease(t, p, Want{Tokens: 5000, Tried: tried, Wait: time.Minute}).Done(ok)
		if d := time.Since(began); d != 30*time.Second {
			t.Errorf("it waited %s", d)
		}
	})
}

// TestOversized_ByRule: what the operator says needs no attempt to be known.
func TestOversized_ByRule(t *testing.T) {
	p := open(t, nil, 40)
	if err := p.SetLimits([]LimitRule{{Model: "*", Project: KeyID(secretOf(7)), TPM: 6000}, {Model: "*", TPM: 1000}}); err != nil {
		t.Fatal(err)
	}
	l := lease(t, p, Want{Tokens: 5000, Tried: new(Tried)})
	if l.KeyID() != KeyID(secretOf(7)) {
		t.Errorf("a key with a limit that is too small")
	}
	l.Done(Outcome{Input: 5000})
	if u := refused(t, p, Want{Tokens: 9001, Tried: new(Tried)}); u.Reason != TooLarge || !strings.Contains(u.Message, "6000") {
		t.Errorf("%+v", u)
	}
	if u := refused(t, p, Want{Tokens: 5000, Tried: new(Tried)}); u.Reason != AllResting || u.RetryAfter < 50*time.Second {
		t.Errorf("%+v", u)
	}
	lease(t, p, Want{Tokens: 900}).Done(ok)
	if x := p.Explain(ExplainQuery{Model: flash, Tokens: 9001}); x.Counts[StandsReady] > 38 {
		t.Errorf("explained %v", x.Counts)
	}
}

// TestOversized_Strangers: a project that others draw on, too, is refused for tokens
// although its books are empty. No request is blamed for that, and it rests.
func TestOversized_Strangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 2)
		used := KeyID(secretOf(0))
		refusals := 0
		for range 50 {
			tried := new(Tried)
			for {
				l, err := p.Lease(t.Context(), Want{Model: flash, Tokens: 10, Tried: tried})
				if err != nil {
					t.Fatal(err)
				}
				if l.KeyID() == used {
					refusals++
					l.Done(refusal429(tokensID, 1000, 47*time.Second))
					continue
				}
				l.Done(Outcome{Input: 10})
				break
			}
		}
		if refusals != 2 {
			t.Errorf("%d refusals within a moment", refusals)
		}
	})
}

// TestOversized_Waiting: a request in the queue that turns out too large for all is
// told so at once.
func TestOversized_Waiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		lease(t, p, Want{}).Done(Outcome{Verdict: Throttled, Blame: ScopeProjectModel, Rest: time.Minute})
		told := make(chan error)
		go func() {
			_, err := p.Lease(context.Background(), Want{Model: flash, Tokens: 5000, Tried: new(Tried), Wait: 5 * time.Minute})
			told <- err
		}()
		synctest.Wait()
		if err := p.SetLimits([]LimitRule{{Model: "*", TPM: 1000}}); err != nil {
			t.Fatal(err)
		}
		if u, is := errors.AsType[*Unavailable](<-told); !is || u.Reason != TooLarge {
			t.Errorf("%+v", u)
		}
		if s := fmt.Sprint(p.Stats().Waiting); s != "0" {
			t.Error(s)
		}
	})
}
