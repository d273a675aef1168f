// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// google answers lists with one handler and generations with another.
func google(list, generate http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = io.Copy(io.Discard, r.Body) // or the server would not notice that the client leaves
			generate(w, r)
			return
		}
		list(w, r)
	}
}

func refuses(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const (
	invalidKey = `{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "API key not valid.", "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}}`
	minuteFull = `{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaDimensions": {"model": "gemini-a"}, "quotaValue": "5"}]}, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s"}]}}`
	answered   = `{"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "MAX_TOKENS"}], "usageMetadata": {"promptTokenCount": 1}}`
)

func TestCheck(t *testing.T) {
	never := func(http.ResponseWriter, *http.Request) { t.Error("a generation was asked for") }
	for _, c := range []struct {
		name   string
		google http.HandlerFunc
		model  string
		want   balancer.Verdict
		state  balancer.State
		calls  int
	}{
		{"lives", google(good, never), "", balancer.OK, balancer.StateActive, 1},
		{"serves", google(good, refuses(200, answered)), "gemini-a", balancer.OK, balancer.StateActive, 2},
		{"is unknown to Google", google(refuses(400, invalidKey), never), "gemini-a", balancer.InvalidKey, balancer.StateInvalid, 1},
		{"has no quota now", google(good, refuses(429, minuteFull)), "gemini-a", balancer.RateLimited, balancer.StateActive, 2},
		{"dies between", google(good, refuses(400, invalidKey)), "gemini-a", balancer.InvalidKey, balancer.StateInvalid, 2},
		{"hangs", google(hang, never), "gemini-a", balancer.UpstreamTimeout, balancer.StateUntested, 1},
		{"hangs at the generation", google(good, hang), "gemini-a", balancer.UpstreamTimeout, balancer.StateActive, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, c.google, newKeys(1, "")...)
				w.stop() // only the check asks
				began := time.Now()
				o, err := Check(t.Context(), w.pool, w.client, balancer.KeyID(secretOf(0)), c.model)
				if err != nil || o.Verdict != c.want {
					t.Fatalf("%+v, %v", o, err)
				}
				if took := time.Since(began); took > checkFor {
					t.Errorf("it took %s", took)
				}
				if k := w.state(secretOf(0)); k.State != c.state || k.InFlight != 0 {
					t.Errorf("the key is %s (%s), %d in flight", k.State, k.StateReason, k.InFlight)
				}
				if strings.Contains(o.Reason, secretOf(0)) {
					t.Errorf("the reason tells the key: %s", o.Reason)
				}
			})
		})
	}
}

// What a check finds out keeps requests off: the model rests.
func TestCheck_Teaches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, google(good, refuses(429, minuteFull)), newKeys(1, "")...)
		w.stop()
		id := balancer.KeyID(secretOf(0))
		if _, err := Check(t.Context(), w.pool, w.client, id, "gemini-a"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.pool.Lease(t.Context(), balancer.Want{Model: "gemini-a"}); err == nil {
			t.Error("a request got the key although its minute is used up")
		}
		d, _ := w.pool.Detail(id)
		if len(d.Rests) == 0 || d.Status != balancer.StatusCooling {
			t.Errorf("%+v", d)
		}
	})
}

func TestCheck_Refusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, google(hang, hang), newKeys(1, "")...)
		w.stop()
		id := balancer.KeyID(secretOf(0))
		if _, err := Check(t.Context(), w.pool, w.client, "gk_none", ""); !errors.Is(err, balancer.ErrNotFound) {
			t.Error(err)
		}
		before := len(w.seen(""))
		// One at a time: the second waits for the first, and gives up with its context.
		pr, err := w.pool.BeginProbe(id)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Check(ctx, w.pool, w.client, id, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if n := len(w.seen("")); n != before {
			t.Errorf("Google was asked %d times", n-before)
		}
		pr.Done(balancer.Outcome{}, nil)
		ctx, cancel = context.WithCancel(t.Context())
		go func() {
			synctest.Wait()
			cancel()
		}()
		if _, err := Check(ctx, w.pool, w.client, id, ""); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if k := w.state(secretOf(0)); k.State != balancer.StateActive {
			t.Errorf("what the operator gave up counts: %s", k.State)
		}
	})
}
