// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// usual is what requests took to their first output so far, in these tests.
const usual = 100 * time.Millisecond

// hedging makes a bubble's world hedge a share of the requests, as if it had
// answered enough of them.
func hedging(t testing.TB, google fakegemini.Config, share float64, edit ...func(*Config)) *world {
	t.Helper()
	w := newBubble(t, google, edit...)
	must(t, w.gw.Settings.Update(settings.Patch{"retry.hedge": share}))
	w.settleIn()
	return w
}

func (w *world) settleIn() {
	for range paceEnough {
		w.gw.pace.add(paced{model, false}, usual)
		w.gw.pace.add(paced{model, true}, usual)
	}
}

// script lets the attempts go as the directives say, one after the other.
func (w *world) script(steers ...string) {
	for i, s := range steers {
		w.google.Script(fakegemini.Rule{Skip: i, Times: 1, Steer: fakegemini.ParseSteer(s)})
	}
}

// watch is an observer that keeps what it heard.
type watch struct {
	waits    []Wait
	attempts []Attempt
	refusals []Refusal
	records  []usage.Record
}

func (o *watch) Attempted(_ context.Context, a Attempt)    { o.attempts = append(o.attempts, a) }
func (o *watch) Waited(_ context.Context, w Wait)          { o.waits = append(o.waits, w) }
func (o *watch) Refused(_ context.Context, r Refusal)      { o.refusals = append(o.refusals, r) }
func (o *watch) Served(_ context.Context, r *usage.Record) { o.records = append(o.records, *r) }
func (o *watch) on(c *Config)                              { c.Observer = o }
func (o *watch) verdict(number int) (v balancer.Verdict, n int) {
	for _, a := range o.attempts {
		if a.Number == number {
			v = a.Outcome.Verdict
			n++
		}
	}
	return v, n
}

// TestHedge: which of two attempts the client gets, what becomes of the other, and
// what is booked.
func TestHedge(t *testing.T) {
	for name, tc := range map[string]struct {
		steers   []string
		stream   bool // says something of streams only
		say      string
		took     time.Duration // about
		verdicts []balancer.Verdict
	}{
		"in time":           {[]string{"[[delay 90ms]][[say one]]"}, false, "one", 90 * time.Millisecond, []balancer.Verdict{balancer.OK}},
		"second wins":       {[]string{"[[delay 9s]][[say one]]", "[[delay 50ms]][[say two]]"}, false, "two", 150 * time.Millisecond, []balancer.Verdict{balancer.Canceled, balancer.OK}},
		"silence":           {[]string{"[[hang]]", "[[say two]]"}, false, "two", 100 * time.Millisecond, []balancer.Verdict{balancer.Canceled, balancer.OK}},
		"header only":       {[]string{"[[silence 0]]", "[[say two]]"}, true, "two", 100 * time.Millisecond, []balancer.Verdict{balancer.Canceled, balancer.OK}},
		"first wins":        {[]string{"[[delay 200ms]][[say one]]", "[[delay 9s]][[say two]]"}, false, "one", 200 * time.Millisecond, []balancer.Verdict{balancer.OK, balancer.Canceled}},
		"second fails":      {[]string{"[[delay 300ms]][[say one]]", "[[retry 30s]]"}, false, "one", 300 * time.Millisecond, []balancer.Verdict{balancer.OK, balancer.RateLimited}},
		"second refuses":    {[]string{"[[delay 300ms]][[say one]]", "[[status 400]]"}, false, "one", 300 * time.Millisecond, []balancer.Verdict{balancer.OK, balancer.BadRequest}},
		"first fails later": {[]string{"[[delay 200ms]][[status 503]]", "[[delay 300ms]][[say two]]"}, false, "two", 400 * time.Millisecond, []balancer.Verdict{balancer.Overloaded, balancer.OK}},
		"error in a 200":    {[]string{"[[delay 200ms]][[error200]]", "[[delay 300ms]][[say two]]"}, true, "two", 400 * time.Millisecond, []balancer.Verdict{balancer.Overloaded, balancer.OK}},
		"nothing in a 200":  {[]string{"[[delay 200ms]][[empty]]", "[[delay 300ms]][[say two]]"}, false, "two", 400 * time.Millisecond, []balancer.Verdict{balancer.Unusable, balancer.OK}},
		"both fail": {
			[]string{"[[delay 200ms]][[reset]]", "[[delay 50ms]][[status 500]]", "[[say three]]"}, false, "three", 200 * time.Millisecond,
			[]balancer.Verdict{balancer.Network, balancer.ServerError, balancer.OK},
		},
		"long answer": {[]string{"[[hang]]", "[[events 50]][[pace 10ms]][[size 5000]]"}, true, "", 600 * time.Millisecond, []balancer.Verdict{balancer.Canceled, balancer.OK}},
	} {
		for _, s := range surfaces {
			if tc.stream && !s.stream {
				continue
			}
			t.Run(name+" "+s.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var seen watch
					w := hedging(t, keys(4), 1, seen.on)
					w.script(tc.steers...)
					began := time.Now()
					got := w.ask(s, "hi")
					took := time.Since(began)
					synctest.Wait()
					if got.status != http.StatusOK || !strings.Contains(got.body, tc.say) || strings.Contains(got.body, `"error"`) {
						t.Fatalf("%d %s", got.status, got.body)
					}
					if s.openai && s.stream && !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
						t.Errorf("the answer is not whole: %s", got.body)
					}
					if took < tc.took-50*time.Millisecond || took > tc.took+300*time.Millisecond { // a pause before a retry is random
						t.Errorf("took %s, want about %s", took, tc.took)
					}
					for i, want := range tc.verdicts {
						if v, n := seen.verdict(i + 1); v != want || n != 1 {
							t.Errorf("attempt %d ended as %d, told %d times; want %d: %+v", i+1, v, n, want, seen.attempts)
						}
					}
					for _, a := range seen.attempts {
						if a.Hedge != (a.Number == 2) {
							t.Errorf("attempt %d is a hedge: %v", a.Number, a.Hedge)
						}
					}
					w.checkBooks(t, &seen, len(tc.verdicts))
				})
			})
		}
	}
}

// checkBooks demands that each attempt went to another project, that what was
// cancelled was so at once, that the pool has all leases back, and that the
// request counts once.
func (w *world) checkBooks(t *testing.T, seen *watch, attempts int) {
	t.Helper()
	entries := w.google.Entries()
	if len(entries) != attempts {
		t.Fatalf("%d attempts, want %d", len(entries), attempts)
	}
	r := seen.records[0]
	if len(seen.records) != 1 || r.Attempts != attempts {
		t.Errorf("records: %+v", seen.records)
	}
	output := r.At.Add(r.FirstOutput - r.Duration)
	projects := map[string]bool{}
	for _, e := range entries {
		projects[e.Project] = true
		if balancer.KeyID(e.Key) == r.KeyID && (e.Canceled || r.Input != e.Tokens) {
			t.Errorf("served by %+v, record %+v", e, r)
		}
	}
	if len(projects) != attempts {
		t.Errorf("%d attempts with %d projects", attempts, len(projects))
	}
	for i := range seen.attempts {
		a := &seen.attempts[i]
		e := entries[a.Number-1]
		if balancer.KeyID(e.Key) != a.KeyID {
			t.Errorf("attempt %d was told as of %s, Google saw %s", a.Number, a.KeyID, balancer.KeyID(e.Key))
		}
		if a.Outcome.Verdict != balancer.Canceled {
			continue
		}
		if !e.Canceled || e.CanceledAt.Sub(output) > 100*time.Millisecond {
			t.Errorf("the other one had output at %s, this was cancelled at %s", output, e.CanceledAt)
		}
	}
	if n := w.pool.Stats().InFlight; n != 0 {
		t.Errorf("%d leases are out", n)
	}
	for _, c := range w.pool.Explain(balancer.ExplainQuery{Model: model}).Candidates {
		if c.Score.InFlight != 0 || c.Score.Today > 1 {
			t.Errorf("%s: %+v", c.KeyID, c.Score)
		}
	}
	if v := w.google.Violations(); len(v) > 0 {
		t.Errorf("violations: %+v", v)
	}
}

// TestHedge_LoserIsNotBlamed: however often a project loses, it neither rests nor
// counts as unreliable.
func TestHedge_LoserIsNotBlamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		google := keys(2)
		w := hedging(t, google, 1)
		w.google.Script(fakegemini.Rule{Key: google.Keys[0].Secret, Steer: fakegemini.Steer{Break: fakegemini.Hang}})
		for range 30 {
			if got := w.ask(surfaces[0], "[[delay 10ms]]"); got.status != http.StatusOK {
				t.Fatalf("%d %s", got.status, got.body)
			}
		}
		synctest.Wait()
		if n := w.google.Count(fakegemini.CanceledByClient); n < 2 {
			t.Errorf("only %d attempts lost", n)
		}
		if rests := w.pool.Rests(10); len(rests) > 0 {
			t.Errorf("a loser rests: %+v", rests)
		}
		for _, c := range w.pool.Explain(balancer.ExplainQuery{Model: model}).Candidates {
			if c.Score.Reliability != 1 || c.State == balancer.StateInvalid {
				t.Errorf("%+v", c)
			}
		}
	})
}

// TestHedge_UserPaysOnce compares what a user key has left after a request that was
// hedged and after one that was not.
func TestHedge_UserPaysOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := func(attempts int, steers ...string) (requests string, tokens int) {
			w := hedging(t, keys(4), 1)
			var err error
			_, w.key, err = w.users.Create(t.Context(), users.Spec{Name: "poor", Limits: users.Limits{RPM: 10, TPM: 100_000, Concurrency: 1}})
			must(t, err)
			w.script(steers...)
			for range 2 { // the second answer tells what the first request cost
				began := time.Now()
				got := w.ask(surfaces[0], "[[size 9000]]")
				time.Sleep(time.Second - time.Since(began))
				requests = got.header.Get("X-Ratelimit-Remaining-Requests")
				tokens, err = strconv.Atoi(got.header.Get("X-Ratelimit-Remaining-Tokens"))
				must(t, err)
			}
			if n := w.google.Count(); n != attempts {
				t.Errorf("%d attempts, want %d", n, attempts)
			}
			return requests, tokens
		}
		requests, plain := left(2)
		again, hedged := left(3, "[[hang]]")
		// An answer is some 2,000 tokens. It is charged when it ends, so that in the
		// tenth of a second that hedging takes 150 fewer have flowed back.
		if requests != "8" || again != "8" || max(plain-hedged, hedged-plain) > 300 {
			t.Errorf("left after a plain request %s and %d tokens, after a hedged one %s and %d", requests, plain, again, hedged)
		}
	})
}

// TestHedge_RefusedRequest: the client's own fault ends both attempts.
func TestHedge_RefusedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen watch
		w := hedging(t, keys(3), 1, seen.on)
		w.script("[[delay 200ms]][[status 400]]", "[[hang]]")
		got := w.ask(surfaces[2], "hi")
		synctest.Wait()
		if first, _ := seen.verdict(1); got.status != http.StatusBadRequest || first != balancer.BadRequest {
			t.Errorf("%d %s, %+v", got.status, got.body, seen.attempts)
		}
		if n := w.google.Count(fakegemini.CanceledByClient); n != 1 || w.google.Count() != 2 || w.pool.Stats().InFlight != 0 {
			t.Errorf("%d of %d attempts cancelled, %d leases out", n, w.google.Count(), w.pool.Stats().InFlight)
		}
	})
}

// TestHedge_Mended: a request that Google refuses and the gateway can mend begins
// anew without the second attempt of before.
func TestHedge_Mended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := hedging(t, keys(3), 1, func(c *Config) { c.Timeouts.Total = time.Minute })
		w.script("[[hang]]", "[[hang]]")
		const refused = `{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"The specified schema produces a constraint that has too many states for serving."}}`
		w.google.Script(fakegemini.Rule{Times: 1, Steer: fakegemini.Steer{Status: 400, Body: refused, Delay: 200 * time.Millisecond}})
		w.google.Script(fakegemini.Rule{Skip: 2, Times: 1, Steer: fakegemini.Steer{Status: 503}})
		w.google.Script(fakegemini.Rule{Skip: 3, Times: 1, Steer: fakegemini.Steer{Delay: time.Second, Text: "mended"}})
		got := w.do(t.Context(), http.MethodPost, "/v1/chat/completions", `{"model":"`+model+`","messages":[{"role":"user","content":"hi"}],
			"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"object","properties":{"a":{"type":["string","null"],"pattern":"x"}}}}}}`)
		if n := w.google.Count(); got.status != http.StatusOK || !strings.Contains(got.body, "mended") || n != 4 {
			t.Errorf("%d after %d attempts: %s", got.status, n, got.body)
		}
	})
}

// TestHedge_Disconnect: a client that leaves ends both attempts.
func TestHedge_Disconnect(t *testing.T) {
	for _, s := range surfaces {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := hedging(t, keys(3), 1)
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				left := time.Now().Add(500 * time.Millisecond)
				w.askCtx(ctx, s, "[[hang]]")
				synctest.Wait()
				entries := w.google.Entries()
				if len(entries) != 2 {
					t.Fatalf("%d attempts", len(entries))
				}
				for _, e := range entries {
					if !e.Canceled || e.CanceledAt.Sub(left) > 100*time.Millisecond {
						t.Errorf("not cancelled in time: %+v", e)
					}
				}
				if s := w.pool.Stats(); s.InFlight != 0 || len(w.pool.Rests(10)) != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestHedge_Timeout: silence of both ends at the time for the first output, and
// retries go on as ever.
func TestHedge_Timeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := hedging(t, keys(4), 1, func(c *Config) { c.Timeouts.FirstOutput = time.Second })
		w.script("[[hang]]", "[[hang]]")
		if got := w.ask(surfaces[1], "[[say well]]"); got.status != http.StatusOK || !strings.Contains(got.body, "well") || w.google.Count() != 3 {
			t.Errorf("%d after %d attempts: %s", got.status, w.google.Count(), got.body)
		}
	})
}

// TestHedge_Budget: of a hundred slow requests no more than the share is asked
// twice, nor of those that come later.
func TestHedge_Budget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := hedging(t, keys(250), 0.05)
		for round := range 3 {
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if got := w.ask(surfaces[0], "[[delay 3s]]"); got.status != http.StatusOK {
						t.Errorf("%d %s", got.status, got.body)
					}
				})
			}
			wg.Wait()
			if n, want := w.google.Count(), 105*(round+1); n != want {
				t.Errorf("round %d: %d attempts, want %d", round, n, want)
			}
			w.gw.pace = pace{} //nolint:govet // nobody holds the lock; the slow ones would become usual
			w.settleIn()
			time.Sleep(time.Duration(round) * 20 * time.Second) // the second round is in the time of the first
		}
	})
}

// TestHedge_Panic: a bug in an attempt is met by the request's goroutine, and the
// leases are back all the same.
func TestHedge_Panic(t *testing.T) {
	w := newWorld(t, keys(1))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	x := &exchange{g: w.gw, r: httptest.NewRequestWithContext(ctx, http.MethodPost, "/", nil), ctx: ctx, call: &translate.Call{Model: model, Stream: 99}}
	h := hedge{x: x}
	x.g.Upstream = nil
	lease, err := w.pool.Lease(ctx, balancer.Want{Model: model})
	must(t, err)
	defer func() {
		if p := recover(); p == nil || w.pool.Stats().InFlight != 0 {
			t.Errorf("panic %v, %d leases out", p, w.pool.Stats().InFlight)
		}
	}()
	h.attempt(lease)
}
