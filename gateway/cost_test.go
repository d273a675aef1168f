// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

const (
	// tokenPrice is what a token costs in these tests, whatever it is of.
	tokenPrice = 1000
	// spendLimit is what Google lets the project spend; a request costs 43 tokens.
	spendLimit = 400_000
	// spendSpan is how long that counts.
	spendSpan = 10 * time.Minute
)

// newSpender starts a world of two keys of one project with a spend limit.
func newSpender(t *testing.T, limit int64, edit ...func(*Config)) *world {
	t.Helper()
	const project = "paid"
	edit = append([]func(*Config){flat}, edit...)
	w := newBubble(t, fakegemini.Config{TokenPrice: tokenPrice, Projects: []fakegemini.Project{{Name: project, Spend: limit}}}, edit...)
	var added []balancer.NewKey
	for n := range 2 {
		secret := fakegemini.DemoKey(n + 1)
		w.google.AddKey(fakegemini.Key{Secret: secret, Project: project})
		added = append(added, balancer.NewKey{Secret: secret, Project: project})
	}
	_, err := w.pool.Add(t.Context(), added)
	must(t, err)
	return w
}

// flat has every token of Gemini's models cost tokenPrice.
func flat(c *Config) {
	var err error
	c.Prices, err = usage.LoadPrices([]byte(`{"unit": "nano-USD per token", "prices": [
		{"models": ["gemini-*"], "source": "test", "date": "2026-11-25", "input": 1000, "cached": 1000, "output": 1000}]}`))
	if err != nil {
		panic(err)
	}
}

// spend is what the pool thinks of the project's spending.
func (w *world) spend() *balancer.Window {
	return w.pool.Explain(balancer.ExplainQuery{Model: model}).Candidates[0].Spend
}

// limitSpend is quota * { spend … }.
func (w *world) limitSpend(nano int64) {
	must(w.t, w.pool.SetLimits([]balancer.LimitRule{{Model: "*", Spend: nano}}))
}

// refusals are the times at which Google refused.
func (w *world) refusals() (at []time.Time) {
	for _, e := range w.google.Entries() {
		if e.Status == http.StatusTooManyRequests {
			at = append(at, e.At)
		}
	}
	return at
}

// chatEvery asks again and again and returns how many requests were served.
func (w *world) chatEvery(pause, span time.Duration) (served int) {
	w.t.Helper()
	for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(pause) {
		a := w.ask(surfaces[served%len(surfaces)], "hello there")
		switch a.status {
		case http.StatusOK:
			served++
		case http.StatusTooManyRequests:
		default:
			w.t.Fatalf("%d %s", a.status, a.body)
		}
	}
	return served
}

// TestSpend_SetLimit: who knows Google's limit and sets it never sees a refusal for
// it, and is served about as much as Google would.
func TestSpend_SetLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSpender(t, spendLimit)
		w.limitSpend(spendLimit)
		served := w.chatEvery(7*time.Second, 2*time.Hour)
		if at := w.refusals(); len(at) > 0 {
			t.Errorf("Google refused %d times, first at %v", len(at), at[0])
		}
		// Ten requests reach the limit. A window of ours is up to half a minute longer.
		if most := 10 * int(2*time.Hour/spendSpan); served > most || served < most*9/10 {
			t.Errorf("%d requests were served, Google takes %d", served, most)
		}
	})
}

// TestSpend_LearnedLimit: without a limit of the operator's, Google's is learned from
// refusals. Later ones are those of requests that try, once in ten minutes, whether
// Google takes more.
func TestSpend_LearnedLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSpender(t, spendLimit)
		first := time.Now()
		w.chatEvery(7*time.Second, 2*time.Minute)
		if at := w.refusals(); len(at) != 1 {
			t.Fatalf("%d refusals, want one, for which the project rests a minute or more: %v", len(at), at)
		}
		if s := w.spend(); s == nil || s.Limit != nil {
			t.Fatalf("after the first refusal the count begins, and no limit is known: %+v", s)
		}
		w.chatEvery(7*time.Second, 2*time.Hour-time.Since(first))
		s := w.spend()
		if s.Limit == nil || *s.Limit < spendLimit || *s.Limit > spendLimit+43*tokenPrice || s.Source != balancer.SourceObserved {
			t.Fatalf("learned %+v, want %d and less than a request more", s, spendLimit)
		}
		at := w.refusals()
		for i := range at[1:] {
			if learned := s.Since; !at[i].Before(learned) && at[i+1].Sub(at[i]) < spendSpan {
				t.Errorf("refused at %v and again at %v", at[i], at[i+1])
			}
		}
		if s.Since.Sub(first) > 2*time.Hour || len(at) < 5 || len(at) > 16 {
			t.Errorf("%d refusals in two hours: %v", len(at), at)
		}
	})
}

// TestSpend_Costs: what the pool is told of each kind of request.
func TestSpend_Costs(t *testing.T) {
	chat := `{"model":"` + model + `","messages":[{"role":"user","content":"hello there"}]}`
	native := `{"contents":[{"parts":[{"text":"hello there"}]}]}`
	for _, tc := range []struct {
		name, path, body string
		free             bool
	}{
		{"chat", "/v1/chat/completions", chat, false},
		{"chat stream", "/v1/chat/completions", strings.Replace(chat, "{", `{"stream":true,`, 1), false},
		{"messages", "/v1/messages", strings.Replace(chat, "{", `{"max_tokens":100,`, 1), false},
		{"native", "/v1beta/models/" + model + ":generateContent", native, false},
		{"native stream", "/v1beta/models/" + model + ":streamGenerateContent", native, false},
		{"thoughts", "/v1beta/models/" + model + ":generateContent", strings.Replace(native, "{", `{"generationConfig":{"thinkingConfig":{"thinkingLevel":"HIGH"}},`, 1), false},
		{"counting", "/v1beta/models/" + model + ":countTokens", native, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o watch
				w := newSpender(t, 1<<40, o.on)
				ask := func() (usage.Record, balancer.Outcome) {
					if a := w.do(t.Context(), http.MethodPost, tc.path, tc.body); a.status != http.StatusOK {
						t.Fatalf("%d %s", a.status, a.body)
					}
					return o.records[len(o.records)-1], o.attempts[len(o.attempts)-1].Outcome
				}
				if _, end := ask(); end.Cost != 0 {
					t.Errorf("worked out %d for nobody", end.Cost)
				}
				w.limitSpend(1 << 40)
				r, end := ask()
				want := tokenPrice * (r.Input + r.Output + r.Thoughts)
				if tc.free {
					want = 0
				} else if want == 0 {
					t.Fatal("the answer reports no usage")
				}
				if end.Cost != want || w.spend().Used != want {
					t.Errorf("cost %d, counted %d; want %d", end.Cost, w.spend().Used, want)
				}
			})
		})
	}
}

// TestSpend_Unpriced: a model without a price is served, and counts nothing.
func TestSpend_Unpriced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none, err := usage.LoadPrices([]byte(`{"unit": "nano-USD per token", "prices": [{"models": ["other"], "source": "test", "date": "2026-11-25", "input": 1}]}`))
		must(t, err)
		w := newSpender(t, 1<<40, func(c *Config) { c.Prices = none })
		w.limitSpend(1)
		for range 3 {
			if a := w.ask(surfaces[0], "hello"); a.status != http.StatusOK {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		if s := w.spend(); s.Used != 0 {
			t.Errorf("counted %d", s.Used)
		}
	})
}

// over tells when a request has ended.
type over chan usage.Record

func (o over) Attempted(context.Context, Attempt)        {}
func (o over) Waited(context.Context, Wait)              {}
func (o over) Refused(context.Context, Refusal)          {}
func (o over) Served(_ context.Context, r *usage.Record) { o <- *r }

// TestSpend_Live: a session is paid when it ends.
func TestSpend_Live(t *testing.T) {
	ended := make(over, 1)
	w := newWorld(t, keys(1), flat, func(c *Config) { c.Observer = ended })
	w.limitSpend(1 << 40)
	c := w.live(t, `{"setup":{"model":"models/gemini-2.5-flash-native-audio-preview"}}`)
	c.until("setupComplete", func(m liveMessage) bool { return m.SetupComplete != nil })
	c.say("hello there")
	c.until("turnComplete", func(m liveMessage) bool { return m.Server.Complete })
	must(t, c.conn.Close(websocket.StatusNormalClosure, ""))
	r := <-ended
	if want := tokenPrice * (r.Input + r.Output + r.Thoughts); want == 0 || w.spend().Used != want || r.Cost != want || !r.Priced || r.Estimated || len(r.Tries) != 1 {
		t.Errorf("counted %d, want %d: %+v", w.spend().Used, want, r)
	}
}

// TestSpend_LiveKinds: what the tokens of a session are of.
func TestSpend_LiveKinds(t *testing.T) {
	var u liveUsage
	details := `[{"modality":"AUDIO","tokenCount":1},{"modality":"IMAGE","tokenCount":2},{"modality":"VIDEO","tokenCount":3}]`
	u.report([]byte(`{"promptTokenCount":10,"promptTokensDetails":` + details + `,"cacheTokensDetails":` + details + `,"responseTokenCount":20,"responseTokensDetails":` + details + `}`))
	want := usage.Used{
		Prompt: 10, PromptAudio: 1, PromptImage: 2, PromptVideo: 3, CachedAudio: 1, CachedImage: 2, CachedVideo: 3,
		Output: 20, OutputAudio: 1, OutputImage: 2, OutputVideo: 3, Requests: 1,
	}
	if got := used(u.total()); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// TestSpend_ClientLeft: what the model had written until then is paid for.
func TestSpend_ClientLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSpender(t, 1<<40)
		w.limitSpend(1 << 40)
		w.google.Script(fakegemini.Rule{Steer: fakegemini.Steer{Break: fakegemini.Hang}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w.askCtx(ctx, surfaces[3], "hello there")
		if s := w.spend(); s.Used == 0 {
			t.Error("counted nothing")
		}
	})
}

// TestSpend_Foretold: requests that run side by side are kept from spending a
// limit several times over by what each of them is taken to cost.
func TestSpend_Foretold(t *testing.T) {
	var o outputs
	if got := o.guess("u", "m", 7); got != 7 {
		t.Errorf("%d before any answer, want 7", got)
	}
	for range 50 {
		o.learn("u", "m", 100)
	}
	for user, want := range map[string]int64{"u": 100, "v": 7} {
		if got := o.guess(user, "m", 7); got != want {
			t.Errorf("%s: %d, want %d", user, got, want)
		}
	}
	for range 50 {
		o.learn("u", "m", 10)
	}
	if got := o.guess("u", "m", 7); got < 10 || got > 20 {
		t.Errorf("%d after shorter answers, want about 10", got)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newSpender(t, 1<<40)
		w.limitSpend(3_000_000)
		w.google.Script(fakegemini.Rule{Steer: fakegemini.Steer{Delay: time.Minute}})
		var answers [8]answer
		for i := range answers {
			go func() { answers[i] = w.ask(surfaces[0], fmt.Sprint("hello ", i)) }()
		}
		time.Sleep(5 * time.Second)
		// 1,003 tokens each: three are below the limit together, the fourth would be beyond.
		if n := len(w.google.Entries()); n != 3 {
			t.Errorf("%d requests run at the same time, want 3", n)
		}
		time.Sleep(5 * time.Minute)
	})
}
