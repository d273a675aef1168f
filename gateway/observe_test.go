// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestObserver_Refused: who turned a request away is told once, with the limit or what
// the pool lacks; what Google answered is no refusal.
func TestObserver_Refused(t *testing.T) {
	one := int64(1)
	for name, tc := range map[string]struct {
		spec   users.Spec
		keys   int
		steer  string
		asks   int // of which the last counts
		say    string
		want   string // reason, who, what; "" for none
		status int
	}{
		"served":        {spec: users.Spec{Unlimited: true}, keys: 1, asks: 1, status: 200},
		"client's":      {spec: users.Spec{Unlimited: true}, keys: 1, asks: 1, say: "[[status 400]]", status: 400},
		"google's":      {spec: users.Spec{Unlimited: true}, keys: 1, asks: 1, say: "[[status 500]]", status: 502},
		"rpm":           {spec: users.Spec{Limits: users.Limits{RPM: one}}, keys: 1, asks: 2, want: "rpm user", status: 429},
		"models":        {spec: users.Spec{Unlimited: true, Models: []string{"other-*"}}, keys: 1, asks: 1, want: "models user", status: 403},
		"no keys":       {spec: users.Spec{Unlimited: true}, asks: 1, want: "no_keys pool", status: 503},
		"all resting":   {spec: users.Spec{Unlimited: true}, keys: 1, steer: "[[retry 30s]]", asks: 2, want: "all_resting pool", status: 429},
		"all exhausted": {spec: users.Spec{Unlimited: true}, keys: 1, steer: "daily", asks: 2, want: "all_exhausted pool", status: 429},
	} {
		t.Run(name, func(t *testing.T) {
			var o watch
			google := keys(tc.keys)
			if tc.steer == "daily" {
				google.Limits.RPD, tc.steer = 1, ""
			}
			w := newWorld(t, google, o.on)
			patchWait(t, w, 0)
			tc.spec.Name = "the user"
			_, secret, err := w.users.Create(t.Context(), tc.spec)
			must(t, err)
			w.key = secret
			if tc.steer != "" {
				w.google.Script(fakegemini.Rule{Steer: fakegemini.ParseSteer(tc.steer)})
			}
			var got answer
			for range tc.asks {
				o.refusals = nil
				got = w.post("/v1/chat/completions", fmt.Sprintf(`{"model":"%s","messages":[{"role":"user","content":"hi %s"}]}`, model, tc.say))
			}
			var told []string
			for _, r := range o.refusals {
				who := "user"
				if r.Pool {
					who = "pool"
				}
				told = append(told, r.Reason+" "+who)
				if r.UserName != "the user" || r.UserID == "" || r.Model != model {
					t.Errorf("%+v", r)
				}
			}
			if want := strings.Split(tc.want, ","); got.status != tc.status || tc.want == "" && told != nil || tc.want != "" && !slices.Equal(told, want) {
				t.Errorf("%d, told of %q, want %d and %q: %s", got.status, told, tc.status, tc.want, got.body)
			}
		})
	}
}

// TestObserver_Budget: the refusal of a key whose budget is used up says so.
func TestObserver_Budget(t *testing.T) {
	var o watch
	w := newWorld(t, keys(1), o.on)
	_, secret, err := w.users.Create(t.Context(), users.Spec{Name: "poor", Limits: users.Limits{Budget: &users.Budget{Total: 1}}})
	must(t, err)
	w.key = secret
	var got answer
	for range 2 {
		got = w.post("/v1/chat/completions", fmt.Sprintf(`{"model":"%s","messages":[{"role":"user","content":"hi"}]}`, model))
	}
	if got.status != http.StatusTooManyRequests {
		t.Errorf("%d %s", got.status, got.body)
	}
	if len(o.refusals) != 1 || !o.refusals[0].Budget || o.refusals[0].Reason != "budget.total" || o.refusals[0].Pool {
		t.Errorf("%+v", o.refusals)
	}
}

// TestObserver_Waited: a request that waited for a key says how long, and the attempt
// that follows begins then.
func TestObserver_Waited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o watch
		w := newBubble(t, keys(1), o.on)
		w.script("[[retry 3s]]")
		begun := time.Now()
		got := w.post("/v1/chat/completions", fmt.Sprintf(`{"model":"%s","messages":[{"role":"user","content":"hi"}]}`, model))
		if got.status != http.StatusOK || len(o.waits) != 1 || len(o.attempts) != 2 {
			t.Fatalf("%d, waits %+v, %d attempts: %s", got.status, o.waits, len(o.attempts), got.body)
		}
		wait, second := o.waits[0], o.attempts[1]
		if wait.Duration < 3*time.Second || wait.Duration > 4*time.Second || wait.Failed || wait.Model != model || wait.Started.Before(begun) {
			t.Errorf("%+v", wait)
		}
		if gap := second.Started.Sub(wait.Started.Add(wait.Duration)); gap < 0 || gap > time.Second {
			t.Errorf("the attempt began %s after the wait", gap)
		}
	})
}

// TestObserver_Attempt: what an attempt tells of itself.
func TestObserver_Attempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		var parameters Parameters
		o := &onAttempt{attempted: func(a Attempt) {
			u := a.Usage()
			got = append(got, fmt.Sprintf("%d %s %s %v %s %d %v %s", a.Number, a.Dialect(), a.Endpoint(), a.Stream(), a.FirstOutput(), a.Outcome.Status, u.Output() > 0, u.Version))
			parameters = a.Parameters()
		}}
		w := newBubble(t, keys(2), func(c *Config) { c.Observer = o })
		w.script("[[status 503]]", "[[delay 2s]]")
		w.post("/v1/chat/completions", `{"model":"`+model+`","stream":true,"max_tokens":77,"temperature":0.5,"top_p":0.9,"seed":5,"stop":["a","b"],"messages":[{"role":"user","content":"hi"}]}`)
		want := []string{"1 openai chat.completions true 0s 503 false ", "2 openai chat.completions true 2s 200 true " + model}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		number := func(n int64) *int64 { return &n }
		fraction := func(n float64) *float64 { return &n }
		expected := Parameters{MaxTokens: number(77), Seed: number(5), Temperature: fraction(0.5), TopP: fraction(0.9), Stop: []string{"a", "b"}}
		if !reflect.DeepEqual(parameters, expected) {
			t.Errorf("parameters %+v", parameters)
		}
	})
}

// TestOpen counts streams while they are open.
func TestOpen(t *testing.T) {
	var open Open
	var during int64
	o := &onAttempt{attempted: func(Attempt) { during = open.Streams.Load() }}
	w := newWorld(t, keys(1), func(c *Config) { c.Open, c.Observer = &open, o })
	for _, stream := range []bool{false, true} {
		during = -1
		w.post("/v1/chat/completions", fmt.Sprintf(`{"model":"%s","stream":%v,"messages":[{"role":"user","content":"hi"}]}`, model, stream))
		if want := map[bool]int64{true: 1}[stream]; during != want || open.Streams.Load() != 0 {
			t.Errorf("stream %v: %d open, %d after it", stream, during, open.Streams.Load())
		}
	}
}

// onAttempt is an observer of attempts.
type onAttempt struct {
	watch
	attempted func(Attempt)
}

func (o *onAttempt) Attempted(_ context.Context, a Attempt) { o.attempted(a) }
