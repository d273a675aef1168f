// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// as is a user key of its own for one of the tests.
func (w *world) as(spec users.Spec) (id string) {
	w.t.Helper()
	key, secret, err := w.users.Create(w.t.Context(), spec)
	must(w.t, err)
	w.key = secret
	return key.ID
}

// say asks a model in a dialect.
func (w *world) say(dialect, model, prompt string) answer {
	w.t.Helper()
	switch dialect {
	case "openai":
		return w.post("/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]}`, model, prompt))
	case "anthropic":
		return w.post("/v1/messages", fmt.Sprintf(`{"model":%q,"max_tokens":100,"messages":[{"role":"user","content":%q}]}`, model, prompt))
	default:
		return w.post("/v1beta/models/"+model+":generateContent", fmt.Sprintf(`{"contents":[{"role":"user","parts":[{"text":%q}]}]}`, prompt))
	}
}

// TestLimits_Parallel: of 50 requests at once against rpm 10, exactly 10 are admitted,
// and Google sees no other.
func TestLimits_Parallel(t *testing.T) {
	w := newWorld(t, keys(3))
	w.as(users.Spec{Name: "ten a minute", Limits: users.Limits{RPM: 10}})
	var all sync.WaitGroup
	var admitted, refused, others atomic.Int64
	start := make(chan struct{})
	for range 50 {
		all.Go(func() {
			<-start
			switch got := w.ask(surfaces[0], "hi"); got.status {
			case http.StatusOK:
				admitted.Add(1)
			case http.StatusTooManyRequests:
				refused.Add(1)
			default:
				others.Add(1)
			}
		})
	}
	close(start)
	all.Wait()
	if admitted.Load() != 10 || refused.Load() != 40 || w.google.Count() != 10 {
		t.Errorf("%d admitted, %d refused, %d others; Google saw %d", admitted.Load(), refused.Load(), others.Load(), w.google.Count())
	}
}

// TestLimits_Refusals is what each limit's refusal looks like in each dialect: the
// status, the code, the limit with its value and use, and a true time.
func TestLimits_Refusals(t *testing.T) {
	type look struct {
		status   int
		contains []string
	}
	limited := map[string]look{
		"openai":    {429, []string{`"type":"rate_limit_error"`, `"code":"rate_limit_exceeded"`}},
		"anthropic": {429, []string{`"type":"rate_limit_error"`, `"request_id":"req_`}},
		"gemini":    {429, []string{`"status":"RESOURCE_EXHAUSTED"`, `QuotaFailure`}},
	}
	spent := map[string]look{
		"openai":    {429, []string{`"type":"insufficient_quota"`, `"code":"insufficient_quota"`}},
		"anthropic": {402, []string{`"type":"billing_error"`, `"request_id":"req_`}},
		"gemini":    {429, []string{`"status":"RESOURCE_EXHAUSTED"`, `QuotaFailure`}},
	}
	cent := users.USD(10_000_000)
	for _, c := range []struct {
		limit   string
		limits  users.Limits
		looks   map[string]look
		after   string // Retry-After, at midnight 2000-01-01
		until   string
		says    string
		quotaID string // Google's
		again   bool   // SDKs shall try by themselves
	}{
		{"rpm", users.Limits{RPM: 1}, limited, "60", "2000-01-01T00:01:00Z", "limit of 1 requests per minute (rpm): 1 used", "GenerateRequestsPerMinutePerProjectPerModel", true},
		{"tpm", users.Limits{TPM: 6}, limited, "", "", "limit of 6 tokens per minute (tpm): ", "GenerateContentInputTokensPerModelPerMinute", false},
		{"rpd", users.Limits{RPD: 1}, limited, "86400", "2000-01-02T00:00:00Z", "limit of 1 requests per day (rpd): 1 used", "GenerateRequestsPerDayPerProjectPerModel", false},
		{"tpd", users.Limits{TPD: 5}, limited, "86400", "2000-01-02T00:00:00Z", "limit of 5 tokens per day (tpd): ", "GenerateContentInputTokensPerModelPerDay", false},
		{"monthly_tokens", users.Limits{MonthlyTokens: 5}, limited, "2678400", "2000-02-01T00:00:00Z", "limit of 5 tokens per month (monthly_tokens): ", "PerMonth", false},
		{"budget.day", users.Limits{Budget: &users.Budget{Day: 1}}, spent, "86400", "2000-01-02T00:00:00Z", "limit of 0.000000001 USD per day (budget.day): ", "BudgetPerDayPerUser", false},
		{"budget.month", users.Limits{Budget: &users.Budget{Month: 1, Day: cent}}, spent, "2678400", "2000-02-01T00:00:00Z", "USD per month (budget.month): ", "BudgetPerMonthPerUser", false},
		{"budget.total", users.Limits{Budget: &users.Budget{Total: 1, Month: cent}}, spent, "", "", "It does not pass by itself", "BudgetPerUser", false},
	} {
		for _, dialect := range []string{"openai", "anthropic", "gemini"} {
			t.Run(c.limit+" "+dialect, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newBubble(t, keys(1))
					id := w.as(users.Spec{Name: "poor", Unlimited: true, Limits: c.limits})
					if got := w.say(dialect, model, "hello there, how are you?"); got.status != http.StatusOK {
						t.Fatalf("first: %d %s", got.status, got.body)
					}
					got := w.say(dialect, model, "hello there, how are you?")
					look := c.looks[dialect]
					want := append([]string{id, c.limit, c.says, c.until}, look.contains...)
					if dialect == "gemini" {
						want = append(want, c.quotaID)
						if c.after != "" {
							want = append(want, `"retryDelay":"`+c.after+`s"`)
						}
					}
					for _, part := range want {
						if !strings.Contains(got.body, part) {
							t.Errorf("lacks %q: %s", part, got.body)
						}
					}
					after, again := got.header.Get("Retry-After"), got.header.Get("X-Should-Retry")
					if got.status != look.status || c.limit != "tpm" && after != c.after || !c.again && c.limit != "tpm" && again != "false" || c.again && again == "false" {
						t.Errorf("%d, Retry-After %q, want %d and %q; X-Should-Retry %q", got.status, after, look.status, c.after, again)
					}
					if got.header.Get("X-Request-Id") == "" || w.google.Count() != 1 {
						t.Errorf("%v; Google saw %d", got.header, w.google.Count())
					}
					word := map[bool]string{true: "budget_spent", false: "user_rate_limited"}[strings.HasPrefix(c.limit, "budget")]
					if n := w.usage.Totals(time.Time{}).ByOutcome[word].Requests; n != 1 {
						t.Errorf("%d booked as %s", n, word)
					}
				})
			})
		}
	}
}

// TestLimits_Headers: where a user key stands is told with every answer, refusals
// included, in the dialect's words.
func TestLimits_Headers(t *testing.T) {
	for _, c := range []struct {
		dialect string
		limits  users.Limits
		want    map[string]string // "" for a header that must not be there
	}{
		{"openai", users.Limits{RPM: 10, TPM: 600}, map[string]string{
			"X-Ratelimit-Limit-Requests": "10", "X-Ratelimit-Remaining-Requests": "9", "X-Ratelimit-Reset-Requests": "6s", "X-Ratelimit-Limit-Tokens": "600",
		}},
		{"openai", users.Limits{RPD: 10, MonthlyTokens: 6000}, map[string]string{
			"X-Ratelimit-Limit-Requests": "10", "X-Ratelimit-Remaining-Requests": "9", "X-Ratelimit-Reset-Requests": "24h0m0s", "X-Ratelimit-Limit-Tokens": "6000", "X-Ratelimit-Reset-Tokens": "744h0m0s",
		}},
		{"openai", users.Limits{RPM: 1}, map[string]string{"X-Ratelimit-Reset-Requests": "1m0s", "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Limit-Tokens": ""}},
		{"gemini", users.Limits{RPM: 10}, map[string]string{"X-Ratelimit-Limit-Requests": "10", "X-Ratelimit-Remaining-Requests": "9"}},
		{"anthropic", users.Limits{RPM: 10, TPM: 600}, map[string]string{
			"Anthropic-Ratelimit-Requests-Limit": "10", "Anthropic-Ratelimit-Requests-Remaining": "9", "Anthropic-Ratelimit-Requests-Reset": "2000-01-01T00:00:06Z",
			"Anthropic-Ratelimit-Tokens-Limit": "600", "Anthropic-Ratelimit-Input-Tokens-Limit": "600", "Anthropic-Ratelimit-Output-Tokens-Limit": "600", "X-Ratelimit-Limit-Requests": "",
		}},
		{"openai", users.Limits{}, map[string]string{"X-Ratelimit-Limit-Requests": "", "X-Ratelimit-Limit-Tokens": ""}},
	} {
		t.Run(c.dialect, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubble(t, keys(1))
				w.as(users.Spec{Name: "watched", Unlimited: true, Limits: c.limits})
				got := w.say(c.dialect, model, "hi")
				for name, want := range c.want {
					if value := got.header.Get(name); value != want {
						t.Errorf("%s: %q, want %q", name, value, want)
					}
				}
			})
		})
	}
	t.Run("refused", func(t *testing.T) {
		w := newWorld(t, keys(1))
		w.as(users.Spec{Name: "one", Unlimited: true, Limits: users.Limits{RPM: 1}})
		w.say("openai", model, "hi")
		if got := w.say("openai", model, "hi"); got.status != 429 || got.header.Get("X-Ratelimit-Remaining-Requests") != "0" {
			t.Errorf("%d %v", got.status, got.header)
		}
	})
}

// TestBudget_SettlesToTheBooks: what a key has spent is what the books say, to the
// nano-USD, whatever was reserved and however a request ended.
func TestBudget_SettlesToTheBooks(t *testing.T) {
	synctest.Test(t, testSettlesToTheBooks) // a broken answer is asked for again for 10 s
}

func testSettlesToTheBooks(t *testing.T) {
	w := newBubble(t, keys(2))
	id := w.as(users.Spec{Name: "rich", Unlimited: true, Limits: users.Limits{Budget: &users.Budget{Total: 1_000_000_000_000}}})
	for _, s := range surfaces {
		for _, prompt := range []string{"hello", "[[thoughts 900]]", "[[size 9000]]", "[[status 400]]", "[[cut 3]]"} {
			w.ask(s, prompt)
		}
	}
	for _, dialect := range []string{"anthropic", "gemini"} {
		w.say(dialect, model, "hello")
	}
	synctest.Wait() // for what is still booking
	v, err := w.users.View(id)
	must(t, err)
	booked := w.usage.Totals(time.Time{})
	if v.Spent.Total == 0 || v.Spent.Total != booked.Cost || v.Spent.Day != booked.Cost {
		t.Errorf("spent %+v, booked %d", v.Spent, booked.Cost)
	}
}

// TestBudget_Unpriced: a key with a budget uses no model whose price is not known,
// unless it may.
func TestBudget_Unpriced(t *testing.T) {
	prices, err := usage.LoadPrices([]byte(`{"unit":"nano-USD per token","prices":[{"models":["gemini-2.5-pro"],"source":"test","date":"2026-10-07","input":1,"output":1}]}`))
	must(t, err)
	w := newWorld(t, keys(1), func(c *Config) { c.Prices = prices })
	budget := users.Limits{Budget: &users.Budget{Total: 1_000_000_000}}
	for _, c := range []struct {
		name   string
		spec   users.Spec
		model  string
		status map[string]int // by dialect; Anthropic's clients take a 403 for a bad key
	}{
		{"priced", users.Spec{Limits: budget}, "gemini-2.5-pro", map[string]int{"openai": 200, "anthropic": 200, "gemini": 200}},
		{"unknown price", users.Spec{Limits: budget}, model, map[string]int{"openai": 403, "anthropic": 404, "gemini": 403}},
		{"allowed to", users.Spec{Limits: budget, Unpriced: true}, model, map[string]int{"openai": 200, "anthropic": 200, "gemini": 200}},
		{"no budget", users.Spec{Unlimited: true}, model, map[string]int{"openai": 200, "anthropic": 200, "gemini": 200}},
	} {
		for dialect, want := range c.status {
			t.Run(c.name+" "+dialect, func(t *testing.T) {
				w.as(c.spec)
				got := w.say(dialect, c.model, "hi")
				if got.status != want || want != 200 && !strings.Contains(got.body, "has a budget") {
					t.Errorf("%d, want %d: %s", got.status, want, got.body)
				}
			})
		}
	}
	if got := w.get("/v1/models"); got.status != http.StatusOK {
		t.Errorf("a list: %d %s", got.status, got.body)
	}
}

// TestBudget_SpentLetsFreeThingsPass: lists and counts cost nothing.
func TestBudget_SpentLetsFreeThingsPass(t *testing.T) {
	w := newWorld(t, keys(1))
	w.as(users.Spec{Name: "spent", Unlimited: true, Limits: users.Limits{Budget: &users.Budget{Total: 1}}})
	w.say("openai", model, "hi")
	if got := w.say("openai", model, "hi"); got.status != 429 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	for _, path := range []string{"/v1/models", "/v1beta/models", "/v1/files"} {
		if got := w.get(path); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if got := w.post("/v1beta/models/"+model+":countTokens", `{"contents":[{"parts":[{"text":"hi"}]}]}`); got.status != http.StatusOK {
		t.Errorf("counting: %d %s", got.status, got.body)
	}
}

// TestBudget_Overshoot sends 64 requests at once against a budget that a few of them
// use up: what is spent exceeds it by no more than what those in flight used beyond
// their reservations.
func TestBudget_Overshoot(t *testing.T) {
	w := newWorld(t, keys(8))
	id := w.as(users.Spec{Name: "few", Unlimited: true, Limits: users.Limits{Budget: &users.Budget{Total: 20_000_000}}})
	var all sync.WaitGroup
	var admitted atomic.Int64
	for range 64 {
		all.Go(func() {
			if got := w.ask(surfaces[0], "[[thoughts 2000]]"); got.status == http.StatusOK {
				admitted.Add(1)
			}
		})
	}
	all.Wait()
	w.server.Close()
	v, err := w.users.View(id)
	must(t, err)
	each := w.usage.Totals(time.Time{}).Cost / max(admitted.Load(), 1)
	n := admitted.Load()
	const reserved = unseenOutput * 3000 // at the model's price of output, by those that came first
	if n == 0 || n == 64 || v.Spent.Total > 20_000_000+n*(each-reserved) || v.Spent.Total != n*each {
		t.Errorf("%d admitted at %d each: %d spent of 20000000", n, each, v.Spent.Total)
	}
}
