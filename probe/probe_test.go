// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// What Google says of a key in each of its states becomes the pool's word.
func TestRun_States(t *testing.T) {
	for google, want := range map[fakegemini.KeyState]balancer.State{
		fakegemini.KeyOK:        balancer.StateActive,
		fakegemini.KeyInvalid:   balancer.StateInvalid,
		fakegemini.KeyExpired:   balancer.StateInvalid,
		fakegemini.KeySuspended: balancer.StateSuspended,
		fakegemini.KeyLeaked:    balancer.StateLeaked,
		fakegemini.KeyBlocked:   balancer.StateMisconfigured,
		fakegemini.KeyReferrer:  balancer.StateMisconfigured,
		fakegemini.KeyRefused:   balancer.StateMisconfigured,
		fakegemini.KeyAPIOff:    balancer.StateMisconfigured,
		fakegemini.KeyRobot:     balancer.StateUntested,
		fakegemini.KeyLocation:  balancer.StateUntested,
		fakegemini.KeyNoBilling: balancer.StateUntested,
	} {
		t.Run("key "+string(google), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := fakegemini.New(fakegemini.Config{Keys: []fakegemini.Key{{Secret: secretOf(0), State: google}}})
				w := newWorld(t, s, newKeys(1, "")...)
				synctest.Wait()
				k := w.state(secretOf(0))
				if k.State != want {
					t.Errorf("the key is %s (%s); want %s", k.State, k.StateReason, want)
				}
				if strings.Contains(k.StateReason, secretOf(0)) {
					t.Errorf("the reason tells the key: %s", k.StateReason)
				}
				calls := w.seen("")
				if len(calls) != 1 || calls[0].key != secretOf(0) || calls[0].query != "pageSize=1000" {
					t.Errorf("Google was asked %+v", calls)
				}
				if got := w.pool.Models(); (got != nil) != (want == balancer.StateActive) {
					t.Errorf("models: %v", got)
				}
				if v := s.Violations(); len(v) > 0 {
					t.Errorf("violations: %+v", v)
				}
			})
		})
	}
}

// Answers that say nothing of the key leave it as it is, and are not asked for
// again at once.
func TestRun_NoVerdict(t *testing.T) {
	for name, google := range map[string]http.HandlerFunc{
		"overloaded": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"error": {"code": 503, "status": "UNAVAILABLE"}}`, http.StatusServiceUnavailable)
		},
		"canceled by Google": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(499) },
		"not JSON":           func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("Welcome")) },
		"a portal's page":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>Log in</html>")) },
		"no body":            func(http.ResponseWriter, *http.Request) {},
		"reset":              func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			models(w, "gemini-a")
		},
		"hangs": hang,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, google, newKeys(1, "")...)
				time.Sleep(patience + 5*time.Second)
				synctest.Wait()
				if k := w.state(secretOf(0)); k.State != balancer.StateUntested {
					t.Errorf("the key is %s (%s)", k.State, k.StateReason)
				}
				if n := len(w.seen("")); n != 1 {
					t.Errorf("Google was asked %d times in 15s", n)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if n := len(w.seen("")); n < 3 || n > 10 {
					t.Errorf("Google was asked %d times in an hour", n)
				}
				if w.pool.Models() != nil {
					t.Errorf("models: %v", w.pool.Models())
				}
			})
		})
	}
}

func TestRun_Pages(t *testing.T) {
	const first = `{"models": [{"name": "models/gemini-a"}, {"name": "gemini-b"}, {}], "nextPageToken": "a b&c"}`
	for name, test := range map[string]struct {
		then  string // the body of the second page; "" for an error, "…" for the first again
		calls int
		want  []string
	}{
		"two":          {`{"models": [{"name": "models/gemini-c"}]}`, 2, []string{"gemini-a", "gemini-b", "gemini-c"}},
		"endless":      {"…", maxPages, nil},
		"second fails": {"", 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					switch token := r.FormValue("pageToken"); {
					case token == "" || test.then == "…":
						_, _ = rw.Write([]byte(first))
					case test.then == "" || token != "a b&c":
						rw.WriteHeader(http.StatusInternalServerError)
					default:
						_, _ = rw.Write([]byte(test.then))
					}
				}), newKeys(1, "")...)
				synctest.Wait()
				if k := w.state(secretOf(0)); k.State != balancer.StateActive {
					t.Errorf("the key is %s (%s)", k.State, k.StateReason)
				}
				if got := w.pool.Models(); !slices.Equal(got, test.want) {
					t.Errorf("models: %v", got)
				}
				if n := len(w.seen("")); n != test.calls {
					t.Errorf("%d requests; want %d", n, test.calls)
				}
			})
		})
	}
}

// An import of many keys must not look like an attack.
func TestRun_Pace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 1000
		w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(100 * time.Millisecond)
			good(rw, r)
		}), newKeys(keys, "")...)
		began := time.Now()
		time.Sleep(time.Minute)
		calls := w.seen("")
		if len(calls) != keys {
			t.Fatalf("%d of %d keys were asked in a minute", len(calls), keys)
		}
		asked := map[string]bool{}
		for i, c := range calls {
			asked[c.key] = true
			if after := c.at.Sub(began); i >= burst && after < time.Duration(i+1-burst)*every {
				t.Fatalf("%d keys were asked after %s", i+1, after)
			}
		}
		if w.most != atOnce {
			t.Errorf("%d at the same time; want %d", w.most, atOnce)
		}
		if len(asked) != keys || w.pool.Stats().States[balancer.StateActive] != keys {
			t.Errorf("%d keys were asked: %v", len(asked), w.pool.Stats().States)
		}
		if last := calls[keys-1].at.Sub(began); last > 52*time.Second {
			t.Errorf("it took %s", last)
		}
	})
}

// Run wakes for what becomes due, and only for that: with a busy loop this test
// would not end.
func TestRun_Wakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fakegemini.New(fakegemini.Config{Keys: []fakegemini.Key{{Secret: secretOf(0)}, {Secret: secretOf(1), State: fakegemini.KeyInvalid}}})
		w := newWorld(t, s)
		want := func(n int) {
			t.Helper()
			synctest.Wait()
			if got := len(w.seen("")); got != n {
				t.Fatalf("%d requests; want %d", got, n)
			}
		}
		time.Sleep(time.Hour)
		want(0)
		w.add(newKeys(2, "")...)
		want(2)
		time.Sleep(time.Hour - time.Second)
		want(2)
		time.Sleep(2 * time.Second)
		want(3) // the invalid one
		must(t, w.pool.ProbeNow(balancer.KeyID(secretOf(0))))
		want(4)
		s.SetKeyState(secretOf(1), fakegemini.KeyOK)
		must(t, w.pool.ProbeNow(balancer.KeyID(secretOf(1))))
		want(5)
		if k := w.state(secretOf(1)); k.State != balancer.StateActive {
			t.Errorf("the key that came back is %s", k.State)
		}
	})
}

// The end of Run gives back what is under way.
func TestRun_Ends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, http.HandlerFunc(hang), newKeys(20, "")...)
		time.Sleep(time.Second)
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > 0 {
			t.Errorf("Run ended after %s", took)
		}
		if n := len(w.seen("")); n != atOnce {
			t.Errorf("%d probes were under way; want %d", n, atOnce)
		}
		due, _ := w.pool.Probes(100)
		if len(due) != 20 {
			t.Errorf("%d of 20 keys are due again", len(due))
		}
		for _, pr := range due {
			pr.Done(balancer.Outcome{Verdict: balancer.Canceled}, nil)
		}
	})
}

// A second Run continues the pace of the first.
func TestRun_Again(t *testing.T) {
	p := New(nil)
	now := time.Now()
	for range burst {
		p.pace.take(now)
	}
	if left := p.pace.left(now); left != 0 {
		t.Errorf("%d left of a burst", left)
	}
	if left := p.pace.left(p.pace.next()); left != 1 {
		t.Errorf("%d left when the next may begin", left)
	}
	if left := p.pace.left(p.pace.next().Add(-1)); left != 0 {
		t.Errorf("%d left just before", left)
	}
	if left := p.pace.left(now.Add(time.Hour)); left != burst {
		t.Errorf("%d left after an hour", left)
	}
}

// A request that came first waits for the verdict and gets a good key.
func TestRun_ColdRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fakegemini.New(fakegemini.Config{Keys: []fakegemini.Key{{Secret: secretOf(0), State: fakegemini.KeyExpired}, {Secret: secretOf(1)}}})
		w := newWorld(t, s, newKeys(2, "")...)
		l, err := w.pool.Lease(context.Background(), balancer.Want{Model: "gemini-a", Wait: 10 * time.Second})
		must(t, err)
		if l.Secret() != secretOf(1) {
			t.Error("the request got the dead key")
		}
		l.Done(balancer.Outcome{})
	})
}
