// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

const (
	nativeHi  = `{"contents":[{"parts":[{"text":"hello there"}]}]}`
	flash3    = "/v1beta/models/gemini-3-flash-preview:generateContent"
	answerHi  = `"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}],`
	unpricedM = "gemma-3-27b-it"
)

// billed is what a record says of money.
type billed struct {
	input, output int64 // tokens; output with thoughts
	cost          int64
	priced        bool
	estimated     bool
}

func billedOf(r *usage.Record) billed {
	return billed{r.Input + r.ToolUse, r.Output + r.Thoughts, r.Cost, r.Priced, r.Estimated}
}

// TestBill: what requests cost, worked out by hand from specs/gateways.md §1E in
// nano-USD. google is what Google answers in place of its own.
func TestBill(t *testing.T) {
	usageOf := func(members, more string) string {
		return `{` + answerHi + `"usageMetadata":{` + members + `}` + more + `}`
	}
	for _, tc := range []struct {
		name, path, body, google string
		want                     billed
	}{
		{
			"by the version", "/v1beta/models/gemini-flash-latest:generateContent", nativeHi,
			usageOf(`"promptTokenCount":10,"candidatesTokenCount":20,"thoughtsTokenCount":5`, `,"modelVersion":"gemini-2.5-flash"`),
			billed{10, 25, 10*300 + 25*2500, true, false},
		}, {
			"by the target where nobody prices the version", flash3, nativeHi,
			usageOf(`"promptTokenCount":10,"candidatesTokenCount":20`, `,"modelVersion":"gemini-3-flash-preview-11-2026"`),
			billed{10, 20, 10*500 + 20*3000, true, false},
		}, {
			"by the target where there is no version", flash3, nativeHi, usageOf(`"promptTokenCount":1`, ``), billed{1, 0, 500, true, false},
		}, {
			"nobody prices the model", "/v1beta/models/" + unpricedM + ":generateContent", nativeHi,
			usageOf(`"promptTokenCount":10,"candidatesTokenCount":20`, `,"modelVersion":"gemma-3-27b-it"`), billed{10, 20, 0, false, false},
		}, {
			"cached ones are part of the prompt", flash3, nativeHi,
			usageOf(`"promptTokenCount":100,"cachedContentTokenCount":90,"candidatesTokenCount":1`, ``), billed{100, 1, 10*500 + 90*50 + 3000, true, false},
		}, {
			"tools' results are prompt", flash3, nativeHi,
			usageOf(`"promptTokenCount":10,"toolUsePromptTokenCount":90`, ``), billed{100, 0, 100 * 500, true, false},
		}, {
			"beyond 200,000", "/v1beta/models/gemini-3.1-pro-preview:generateContent", nativeHi,
			usageOf(`"promptTokenCount":200001,"candidatesTokenCount":2`, ``), billed{200_001, 2, 200_001*4000 + 2*18_000, true, false},
		}, {
			"audio", flash3, nativeHi,
			usageOf(`"promptTokenCount":10,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":4}]`, ``), billed{10, 0, 6*500 + 4*1000, true, false},
		}, {
			"priority", flash3, nativeHi, usageOf(`"promptTokenCount":10,"serviceTier":"priority"`, ``), billed{10, 0, 10 * 900, true, false},
		}, {
			"a tier that nobody knows", flash3, nativeHi, usageOf(`"promptTokenCount":10,"serviceTier":"express"`, ``), billed{10, 0, 0, false, false},
		}, {
			"two searches of Gemini 3", flash3, nativeHi,
			`{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP","groundingMetadata":{"webSearchQueries":["","a","b"]}}],"usageMetadata":{"promptTokenCount":1}}`,
			billed{1, 0, 500 + 2*14_000_000, true, false},
		}, {
			"two searches of Gemini 2.5: one request", "/v1beta/models/gemini-2.5-flash:generateContent", nativeHi,
			`{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP","groundingMetadata":{"webSearchQueries":["a","b"]}}],"usageMetadata":{"promptTokenCount":1}}`,
			billed{1, 0, 300 + 35_000_000, true, false},
		}, {
			"maps have no price", flash3, nativeHi,
			`{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP","groundingMetadata":{"groundingChunks":[{"maps":{}}]}}],"usageMetadata":{"promptTokenCount":1}}`,
			billed{1, 0, 0, false, false},
		}, {
			"no usage: 11 tokens by length and 1,000 as usual", flash3, nativeHi, `{` + answerHi + `"modelVersion":"m"}`,
			billed{13, 1000, 13*500 + 1000*3000, true, true},
		}, {
			"embeddings without usage: a quarter of the letters", "/v1/embeddings", `{"model":"gemini-embedding-001","input":"eightchr"}`,
			`{"embeddings":[{"values":[1,2]}]}`, billed{2, 0, 2 * 150, true, true},
		}, {
			"embeddings with usage", "/v1/embeddings", `{"model":"gemini-embedding-2","input":"x"}`,
			`{"embeddings":[{"values":[1,2]}],"usageMetadata":{"promptTokenCount":7}}`, billed{7, 0, 7 * 200, true, false},
		}, {
			"images by the piece; what was held back is free", "/v1beta/models/imagen-4.0-generate-001:predict", `{"instances":[{"prompt":"x"}],"parameters":{"sampleCount":3}}`,
			`{"predictions":[{"bytesBase64Encoded":"AA=="},{"bytesBase64Encoded":"AA=="},{"raiFilteredReason":"no"}]}`, billed{0, 0, 2 * 40_000_000, true, false},
		}, {
			"counting", "/v1/messages/count_tokens", `{"model":"claude-sonnet-5-5","messages":[{"role":"user","content":"x"}]}`, "", billed{0, 0, 0, true, false},
		}, {
			"counting, native", "/v1beta/models/" + unpricedM + ":countTokens", nativeHi, "", billed{0, 0, 0, true, false},
		}, {
			"a cache: nobody tells for how many hours", "/v1beta/cachedContents", `{"model":"models/gemini-2.5-flash","contents":[{"parts":[{"text":"` + strings.Repeat("word ", 2000) + `"}]}]}`,
			"", billed{0, 0, 0, false, false},
		}, {
			"eight seconds of video, two of them", "/v1beta/models/veo-3.1-generate-preview:predictLongRunning", `{"instances":[{"prompt":"x"}],"parameters":{"sampleCount":2}}`,
			"", billed{0, 0, 2 * 8 * 400_000_000, true, true},
		}, {
			"four seconds of large video", "/v1beta/models/veo-3.1-generate-preview:predictLongRunning", `{"instances":[{"prompt":"x"}],"parameters":{"durationSeconds":"4","resolution":"4K"}}`,
			"", billed{0, 0, 4 * 600_000_000, true, true},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o watch
				w := newBubble(t, keys(2), o.on)
				if tc.google != "" {
					w.google.Script(fakegemini.Rule{Steer: fakegemini.Steer{Status: http.StatusOK, Body: tc.google}})
				}
				if a := w.do(t.Context(), http.MethodPost, tc.path, tc.body); a.status != http.StatusOK {
					t.Fatalf("%d %s", a.status, a.body)
				}
				r := o.records[len(o.records)-1]
				if got := billedOf(&r); got != tc.want {
					t.Errorf("got  %+v\nwant %+v", got, tc.want)
				}
				if (r.Price != "") != (tc.want.cost > 0) {
					t.Errorf("the price is called %q", r.Price)
				}
			})
		})
	}
}

// TestBill_Attempts: what an attempt that failed has used is charged with the request
// that it was made for, where Google told.
func TestBill_Attempts(t *testing.T) {
	const used = `"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":7}`
	for _, tc := range []struct {
		name  string
		first fakegemini.Steer
		want  billed // without what the second attempt uses
	}{
		{"refused", fakegemini.Steer{Status: http.StatusServiceUnavailable}, billed{priced: true}},
		{"reset", fakegemini.Steer{Break: fakegemini.Reset}, billed{priced: true}},
		{"nothing in it, and paid for", fakegemini.Steer{Status: http.StatusOK, Body: `{` + used + `}`}, billed{10, 7, 10*500 + 7*3000, true, false}},
		{"nothing in it", fakegemini.Steer{Status: http.StatusOK, Body: `{}`}, billed{priced: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o watch
				w := newBubble(t, keys(2), o.on)
				tc.first.Status = max(tc.first.Status, 0)
				w.google.Script(fakegemini.Rule{Times: 1, Steer: tc.first})
				if a := w.do(t.Context(), http.MethodPost, flash3, nativeHi); a.status != http.StatusOK {
					t.Fatalf("%d %s", a.status, a.body)
				}
				r := o.records[0]
				if r.Attempts != 2 || len(r.Tries) != 2 || r.Tries[1].Verdict != "ok" || r.Tries[0].Verdict == "ok" || r.Class() != usage.Retried || r.Code != "" {
					t.Fatalf("attempts: %+v", r)
				}
				last := w.google.Entries()[1]
				c := last.Charge
				want := tc.want
				want.input += c.Prompt
				want.output += c.Output + c.Thoughts
				want.cost += c.Prompt*500 + (c.Output+c.Thoughts)*3000
				if got := billedOf(&r); got != want || c.Prompt == 0 {
					t.Errorf("got  %+v\nwant %+v", got, want)
				}
			})
		})
	}
}

// TestBill_Hedge: the user pays for one of two attempts, on the record and on the budget
// alike, whichever ends first and however.
func TestBill_Hedge(t *testing.T) {
	for name, c := range map[string]struct {
		steers []string
		leave  time.Duration // when the client does; 0 for not
		guess  bool
	}{
		"the second is faster":        {steers: []string{"[[hang]]"}},
		"the first is faster":         {steers: []string{"[[delay 200ms]]", "[[hang]]"}},
		"the client leaves both":      {steers: []string{"[[hang]]", "[[hang]]"}, leave: time.Second, guess: true},
		"the second fails, then left": {steers: []string{"[[hang]]", "[[status 503]]"}, leave: time.Second, guess: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o watch
				h := hedging(t, keys(4), 1, o.on)
				key, secret, err := h.users.Create(t.Context(), users.Spec{Limits: users.Limits{Budget: &users.Budget{Total: 1e9}}})
				must(t, err)
				h.key = secret
				h.script(c.steers...)
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				if c.leave > 0 {
					time.AfterFunc(c.leave, leave)
				}
				h.askCtx(ctx, surfaces[2], "hi there")
				synctest.Wait()
				r := o.records[0]
				want := int64(0)
				for _, e := range h.google.Entries() {
					if e.Charge.Told {
						want = e.Charge.Prompt*500 + (e.Charge.Output+e.Charge.Thoughts)*3000
					}
				}
				if c.guess {
					want = r.Input*500 + unseenOutput*3000
				}
				if r.Cost != want || want == 0 || r.Attempts != 2 || r.Estimated != c.guess {
					t.Errorf("cost %d of %d attempts, want %d; %+v", r.Cost, r.Attempts, want, r)
				}
				v, err := h.users.View(key.ID)
				if err != nil || v.Spent.Total != r.Cost {
					t.Errorf("the budget has lost %d, the record says %d; %v", v.Spent.Total, r.Cost, err)
				}
			})
		})
	}
}

// TestBill_ClientLeft: who leaves pays for what Google told until then, or else for
// what was foretold, which the record admits.
func TestBill_ClientLeft(t *testing.T) {
	for _, tc := range []struct {
		name, prompt string
		surface      surface
		want         func(c fakegemini.Charge) billed
	}{
		{"in the middle", "hello there [[silence 2]] [[events 5]]", surfaces[3], func(c fakegemini.Charge) billed {
			return billed{c.Prompt, c.Output + c.Thoughts, c.Prompt*500 + (c.Output+c.Thoughts)*3000, true, false}
		}},
		{"before anything", "hello there [[hang]]", surfaces[3], func(fakegemini.Charge) billed {
			return billed{18, 1000, 18*500 + 1000*3000, true, true}
		}},
		{"before a whole answer", "hello there [[hang]]", surfaces[0], func(fakegemini.Charge) billed {
			return billed{18, 1000, 18*500 + 1000*3000, true, true}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o watch
				w := newBubble(t, keys(2), o.on)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				w.askCtx(ctx, tc.surface, tc.prompt)
				r := o.records[0]
				if got, want := billedOf(&r), tc.want(w.google.Entries()[0].Charge); got != want || r.Outcome != "canceled" || !r.Partial || r.Error != "" {
					t.Errorf("got  %+v, %s\nwant %+v", got, r.Outcome, want)
				}
			})
		})
	}
}

// TestBill_Later: what runs in the background is paid by who sees its result first,
// once; until then nobody knows what it costs.
func TestBill_Later(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o watch
		w := newBubble(t, keys(1), o.on)
		ask := func(method, path, body string) (string, billed) {
			a := w.do(t.Context(), method, path, body)
			if a.status != http.StatusOK {
				t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
			}
			r := o.records[len(o.records)-1]
			if r.Cost > 0 && r.Model != "gemini-2.5-flash" {
				t.Errorf("the model is %q", r.Model)
			}
			return a.body, billedOf(&r)
		}
		unknown, free := billed{}, billed{priced: true}

		var made struct{ ID, Name string }
		body, got := ask("POST", "/v1beta/interactions", `{"model":"gemini-2.5-flash","input":"hello there","background":true}`)
		if got != unknown {
			t.Errorf("an interaction begins at %+v", got)
		}
		decode(t, body, &made)
		_, got = ask("GET", "/v1beta/interactions/"+made.ID, "")
		if want := (billed{got.input, got.output, got.input*300 + got.output*2500, true, false}); got != want || got.input == 0 || got.output == 0 {
			t.Errorf("an interaction ends at %+v", got)
		}
		if _, got = ask("GET", "/v1beta/interactions/"+made.ID, ""); got != free {
			t.Errorf("it is looked at again for %+v", got)
		}

		body, got = ask("POST", "/v1beta/models/gemini-2.5-flash:batchGenerateContent",
			`{"batch":{"displayName":"b","inputConfig":{"requests":{"requests":[{"request":`+nativeHi+`},{"request":{"contents":[{"parts":[{"text":"[[status 500]]"}]}]}},{"request":`+nativeHi+`}]}}}}`)
		if got != unknown {
			t.Errorf("a batch begins at %+v", got)
		}
		decode(t, body, &made)
		_, got = ask("GET", "/v1beta/"+made.Name, "")
		if want := (billed{got.input, got.output, got.input*150 + got.output*1250, true, false}); got != want || got.input == 0 || got.output == 0 {
			t.Errorf("a batch ends at %+v", got)
		}
		if _, got = ask("GET", "/v1beta/"+made.Name, ""); got != free {
			t.Errorf("it is looked at again for %+v", got)
		}

		// Results in a file are paid by who has downloaded all of them.
		upload := w.do(t.Context(), "POST", "/upload/v1beta/files", `{"key":"a","request":`+nativeHi+`}`+"\n"+`{"key":"b","request":`+nativeHi+`}`+"\n",
			"X-Goog-Upload-Protocol", "raw", "Content-Type", "application/jsonl")
		var file struct{ File struct{ Name string } }
		decode(t, upload.body, &file)
		body, got = ask("POST", "/v1beta/models/gemini-2.5-flash:batchGenerateContent", `{"batch":{"displayName":"b","inputConfig":{"fileName":"`+file.File.Name+`"}}}`)
		if got != unknown {
			t.Errorf("a batch of a file begins at %+v", got)
		}
		decode(t, body, &made)
		body, got = ask("GET", "/v1beta/"+made.Name, "")
		if got != free {
			t.Errorf("it ends at %+v", got)
		}
		var ended struct {
			Response struct{ ResponsesFile string }
		}
		decode(t, body, &ended)
		path := "/download/v1beta/" + ended.Response.ResponsesFile + ":download?alt=media"
		_, got = ask("GET", path, "")
		if want := (billed{got.input, got.output, got.input*150 + got.output*1250, true, false}); got != want || got.input != 2*3 || got.output == 0 {
			t.Errorf("its results cost %+v", got)
		}
		if _, got = ask("GET", path, ""); got != free {
			t.Errorf("they are downloaded again for %+v", got)
		}
	})
}

// TestRecord_Failures: what the books have of requests that were refused.
func TestRecord_Failures(t *testing.T) {
	const key = "AIzaSyThisIsAStrangersKey-0123456789abcd"
	for _, tc := range []struct {
		name, path, body  string
		google            fakegemini.Steer
		outcome, code     string
		says              string
		attempts          int
		endpoint, dialect string
	}{
		{"by Google", "/v1/chat/completions", `{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"x"}]}`, fakegemini.Steer{Status: http.StatusBadRequest}, "invalid_request", "INVALID_ARGUMENT", "argument", 1, "chat.completions", "openai"},
		{"by every key", "/v1/messages", `{"model":"gemini-2.5-flash","max_tokens":9,"messages":[{"role":"user","content":"x"}]}`, fakegemini.Steer{Status: http.StatusTooManyRequests}, "rate_limited", "RESOURCE_EXHAUSTED", "", 2, "messages", "anthropic"},
		{"by us", "/v1/responses", `{"model":"` + key + ` x","input":"x"}`, fakegemini.Steer{}, "invalid_request", "", "[redacted]", 0, "responses", "openai"},
		{"a page", flash3, nativeHi, fakegemini.Steer{Status: http.StatusNotFound, HTML: true}, "", "NOT_FOUND", "", 0, "generateContent", "gemini"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o watch
				w := newBubble(t, keys(2), o.on)
				w.google.Script(fakegemini.Rule{Steer: tc.google})
				w.do(t.Context(), http.MethodPost, tc.path, tc.body, "User-Agent", "tester/1")
				r := o.records[0]
				if tc.outcome != "" && (r.Outcome != tc.outcome || r.Attempts < tc.attempts) || r.Code != tc.code || r.Endpoint != tc.endpoint || r.Dialect != tc.dialect {
					t.Errorf("%+v", r)
				}
				if r.Error == "" || !strings.Contains(r.Error, tc.says) || strings.Contains(r.Error, key) || len(r.Error) > maxErrorText {
					t.Errorf("the client is told %q", r.Error)
				}
				if got := billedOf(&r); got != (billed{priced: true}) || r.Agent != "tester/1" {
					t.Errorf("it costs %+v: %+v", got, r)
				}
			})
		})
	}
}

// TestForetell: what is reserved before a request, of the numbers of §1E.
func TestForetell(t *testing.T) {
	for _, tc := range []struct {
		name, path, body string
		want             int64
		priced           bool
	}{
		{"a chat: 13 tokens, and 1,000 as usual", flash3, nativeHi, 13*500 + 1000*3000, true},
		{"an image", "/v1beta/models/gemini-2.5-flash-image:generateContent", nativeHi, 13*300 + 1290*30_000, true},
		{"a model without a price", "/v1beta/models/" + unpricedM + ":generateContent", nativeHi, 0, false},
		{"counting with a model without a price", "/v1beta/models/" + unpricedM + ":countTokens", nativeHi, 0, true},
		{"embeddings", "/v1beta/models/gemini-embedding-2:embedContent", nativeHi, 13 * 200, true},
		{"drawings", "/v1beta/models/imagen-4.0-generate-001:predict", `{"parameters":{"sampleCount":4}}`, 4 * 40_000_000, true},
		{"a video", "/v1beta/models/veo-3.1-lite-generate-preview:predictLongRunning", `{"parameters":{"durationSeconds":6,"resolution":"1080p"}}`, 6 * 80_000_000, true},
		{
			"videos without end", "/v1beta/models/veo-3.1-lite-generate-preview:predictLongRunning",
			`{"parameters":{"durationSeconds":4611686018427387904,"sampleCount":"4","resolution":"720p"}}`, (1 << 20) * 50_000_000, true,
		},
		{"fewer drawings than none", "/v1beta/models/imagen-4.0-generate-001:predict", `{"parameters":{"sampleCount":-4}}`, 0, true},
		{"a video of an unknown size", "/v1beta/models/veo-3.1-lite-generate-preview:predictLongRunning", `{"parameters":{"resolution":"8k"}}`, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newBubble(t, keys(1))
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tc.path, strings.NewReader(tc.body))
			must(t, err)
			r.Header.Set("Authorization", "Bearer "+w.key)
			rt, _ := match(r)
			x := w.gw.newExchange(nil, r, rt)
			defer x.cancel()
			x.body = []byte(tc.body)
			if f := x.convert(); f != nil {
				t.Fatal(f)
			}
			x.measure()
			if got, priced := x.foretell(); got != tc.want || priced != tc.priced {
				t.Errorf("%d, priced %v; want %d, %v", got, priced, tc.want, tc.priced)
			}
		})
	}
}

// TestBill_OwnPrice: what an operator pays for the model that was asked for goes before
// the table's price of the version that answered.
func TestBill_OwnPrice(t *testing.T) {
	prices := usage.BuiltInPrices().With(map[string]usage.OwnPrice{"gemini-flash-latest": {Input: 1_000_000, Cached: -1, Output: 2_000_000}})
	var b bill
	b.add(prices, "gemini-flash-latest", gemini.Usage{Reported: true, Prompt: 10, Candidates: 5, Version: "gemini-2.5-flash"}, usage.Used{})
	if b.cost != 20 || b.row != "own gemini-flash-latest" || b.unpriced {
		t.Errorf("%d by %q", b.cost, b.row)
	}
	b = bill{}
	b.add(prices, "gemini-2.5-flash", gemini.Usage{Reported: true, Prompt: 10, Version: "gemini-2.5-flash"}, usage.Used{})
	if b.cost != 3000 {
		t.Errorf("%d by %q", b.cost, b.row)
	}
}
