// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// booksRequests are how many requests the books are compared over.
const booksRequests = 5000

// rates are specs/gateways.md §1E once more, apart from prices.json.
var rates = map[string]fakegemini.Rate{
	"gemini-3.8-flash":       {Input: 750, Cached: 75, Output: 3750},
	"gemini-3-flash-preview": {Input: 500, Cached: 50, Output: 3000},
	"gemini-3.1-pro-preview": {Input: 2000, Cached: 200, Output: 12_000},
	"gemini-2.5-flash":       {Input: 300, Cached: 30, Output: 2500},
	"gemini-2.5-flash-image": {Input: 300, Output: 2500, Image: 30_000},
	"gemini-embedding-2":     {Input: 200},
}

// bookkeeper counts requests until all of them are in the books.
type bookkeeper struct {
	mu      sync.Mutex
	records []usage.Record
	served  sync.WaitGroup
}

func (b *bookkeeper) Waited(context.Context, Wait)       {}
func (b *bookkeeper) Attempted(context.Context, Attempt) {}
func (b *bookkeeper) Refused(context.Context, Refusal)   {}
func (b *bookkeeper) Served(_ context.Context, r *usage.Record) {
	b.mu.Lock()
	b.records = append(b.records, *r)
	b.mu.Unlock()
	b.served.Done()
}

// mixed are the kinds of requests, whose prompt is %s. What follows after the path is
// read is a client that leaves after so many events.
var mixed = []struct {
	path, body string
	leaves     int
}{
	{"/v1/chat/completions", `{"model":"gemini-3-flash-preview","messages":[{"role":"user","content":"%s"}]}`, 0},
	{"/v1/chat/completions", `{"model":"gemini-flash-latest","stream":true,"messages":[{"role":"user","content":"%s"}]}`, 0},
	{"/v1/chat/completions", `{"model":"gemini-3.1-pro-preview","messages":[{"role":"user","content":"%s"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]}`, 0},
	{"/v1/chat/completions", `{"model":"gemini-2.5-flash","n":2,"messages":[{"role":"user","content":"%s"}]}`, 0},
	{"/v1/chat/completions", `{"model":"gemini-3-flash-preview","n":3,"messages":[{"role":"user","content":"%s"}]}`, 0},
	{"/v1/responses", `{"model":"gemini-3-flash-preview","input":"%s"}`, 0},
	{"/v1/embeddings", `{"model":"gemini-embedding-2","input":["another","%s"]}`, 0},
	{"/v1/images/generations", `{"model":"gemini-2.5-flash-image","prompt":"%s"}`, 0},
	{"/v1/messages", `{"model":"gemini-3.1-pro-preview","max_tokens":500,"messages":[{"role":"user","content":"%s"}]}`, 0},
	{"/v1/messages", `{"model":"claude-sonnet-5-5","max_tokens":500,"stream":true,"messages":[{"role":"user","content":"%s [[cached 3]]"}]}`, 0},
	{"/v1/messages/count_tokens", `{"model":"claude-sonnet-5-5","messages":[{"role":"user","content":"%s"}]}`, 0},
	{"/v1beta/models/gemini-2.5-flash:generateContent", `{"contents":[{"parts":[{"text":"%s"}]}]}`, 0},
	{"/v1beta/models/gemini-2.5-flash:countTokens", `{"contents":[{"parts":[{"text":"%s"}]}]}`, 0},
	{"/v1beta/models/gemini-3.1-pro-preview:streamGenerateContent?alt=sse", `{"contents":[{"parts":[{"text":"%s [[events 6]]"}]}]}`, 0},
	{"/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", `{"contents":[{"parts":[{"text":"%s [[events 6]] [[silence 3]]"}]}]}`, 3},
	{"/v1/chat/completions", `{"model":"no such model","messages":[{"role":"user","content":"%s"}]}`, 0},
	{"/v1/chat/completions", `{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"%s [[status 400]]"}]}`, 0},
}

// TestBooks_EqualGoogles: after a storm of all kinds of requests, with errors, retries
// and clients that leave, the sums are those of Google to the token and the nano-USD:
// in all, by model, by user key and by Gemini key.
func TestBooks_EqualGoogles(t *testing.T) {
	requests := booksRequests
	if testing.Short() {
		requests /= 10
	}
	google := keys(6)
	google.Rates, google.Brief = rates, true
	var books bookkeeper
	w := newWorld(t, google, func(c *Config) { c.Observer = &books })
	w.google.Script(
		fakegemini.Rule{Chance: 0.03, Steer: fakegemini.Steer{Status: http.StatusServiceUnavailable}},
		// Has thought, says nothing, and is paid for: another key is asked once more.
		fakegemini.Rule{Model: "gemini-3.1-pro-preview", Chance: 0.03, Steer: fakegemini.Steer{Finish: "MALFORMED_FUNCTION_CALL"}},
	)
	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = w.usage.Run(ctx) })
	defer run.Wait()
	defer stop()
	people := newPeople(t, w, 5)

	books.served.Add(requests)
	var clients sync.WaitGroup
	const width = 16
	for c := range width {
		clients.Go(func() {
			for n := c; n < requests; n += width {
				kind := mixed[n%len(mixed)]
				who := people[n/len(mixed)%len(people)]
				w.visit(t, who.key, kind.path, fmt.Sprintf(kind.body, who.name+" asks "+strings.Repeat("so much ", n%40)), kind.leaves)
			}
		})
	}
	clients.Wait()
	books.served.Wait()
	compareBooks(t, w, people, &books)
}

// person is a user key; its name begins all of its prompts.
type person struct{ name, id, key string }

func newPeople(t *testing.T, w *world, n int) (people []person) {
	t.Helper()
	for i := range n {
		name := fmt.Sprintf("user-%d", i)
		k, secret, err := w.users.Create(t.Context(), users.Spec{Name: name, Limits: users.Limits{Budget: &users.Budget{Total: 1e15}}})
		must(t, err)
		people = append(people, person{name, k.ID, secret})
	}
	return people
}

// visit makes a request and reads its answer, or only so many of its events.
func (w *world) visit(t *testing.T, key, path, body string, leaves int) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := w.server.Client().Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for events := 0; lines.Scan(); {
		if events += strings.Count(lines.Text(), "data: "); leaves > 0 && events >= leaves {
			return
		}
	}
}

// tally is what books say of a model, a key or a user.
type tally struct{ input, cached, output, thoughts, tools, nano int64 }

func (t tally) of(c usage.Counts) tally {
	return tally{c.Input, c.Cached, c.Output, c.Thoughts, c.ToolUse, c.Cost}
}

func (t tally) plus(c fakegemini.Charge) tally {
	return tally{t.input + c.Prompt, t.cached + c.Cached, t.output + c.Output, t.thoughts + c.Thoughts, t.tools + c.Tools, t.nano + c.Nano}
}

// compareBooks compares the ledger with Google's books.
func compareBooks(t *testing.T, w *world, people []person, books *bookkeeper) {
	t.Helper()
	ids := map[string]string{} // by secret
	for n := range 6 {
		secret := fakegemini.DemoKey(n + 1)
		added, err := w.pool.Add(t.Context(), []balancer.NewKey{{Secret: secret}})
		must(t, err)
		ids[secret] = added[0].Key.ID
	}
	names := map[string]string{}
	for _, p := range people {
		names[p.name] = p.id
	}
	var all tally
	byModel, byKey, byUser := map[string]tally{}, map[string]tally{}, map[string]tally{}
	for _, e := range w.google.Entries() {
		if !e.Charge.Told {
			continue
		}
		if !e.Charge.Priced {
			t.Fatalf("Google has no price for %s", e.Model)
		}
		who, _, _ := strings.Cut(e.Prompt, " ")
		all = all.plus(e.Charge)
		byModel[e.Model] = byModel[e.Model].plus(e.Charge)
		byKey[ids[e.Key]] = byKey[ids[e.Key]].plus(e.Charge)
		byUser[names[who]] = byUser[names[who]].plus(e.Charge)
	}
	total := w.usage.Totals(time.Time{})
	if got := all.of(total.Counts); got != all || all.nano == 0 || all.cached == 0 || all.thoughts == 0 {
		t.Errorf("in all:\nours     %+v\nGoogle's %+v", got, all)
	}
	if total.Unpriced > 0 || total.Dropped > 0 || total.Requests != int64(len(books.records)) {
		t.Errorf("%d without a price, %d lost, %d counted of %d", total.Unpriced, total.Dropped, total.Requests, len(books.records))
	}
	compareTallies(t, "model", total.ByModel, byModel)
	compareTallies(t, "key", total.ByKey, byKey)
	compareTallies(t, "user", total.ByUser, byUser)
	for _, p := range people {
		account, err := w.users.Account(p.id)
		must(t, err)
		if spent := account.Standing().Spent; spent.Total != byUser[p.id].nano || spent.Day == 0 {
			t.Errorf("%s has spent %+v of the budget, Google says %d", p.name, spent, byUser[p.id].nano)
		}
	}
	checkStorm(t, books.records)
}

func compareTallies(t *testing.T, what string, ours map[string]usage.Counts, googles map[string]tally) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(googles)) {
		if got := (tally{}).of(ours[name]); got != googles[name] {
			t.Errorf("%s %s:\nours     %+v\nGoogle's %+v", what, name, got, googles[name])
		}
	}
	for name, c := range ours {
		if googles[name] == (tally{}) && (c.Cost != 0 || c.Tokens() != 0) {
			t.Errorf("%s %s used %+v, of which Google knows nothing", what, name, c)
		}
	}
}

// checkStorm makes sure that what the books are compared over has really happened.
func checkStorm(t *testing.T, records []usage.Record) {
	t.Helper()
	seen := map[string]int{}
	for i := range records {
		r := &records[i]
		seen[r.Outcome]++
		seen["class "+r.Class().String()]++
		switch {
		case r.Estimated:
			t.Errorf("estimated: %+v", r)
		case len(r.Tries) != r.Attempts:
			t.Errorf("%d attempts, told of %d: %+v", r.Attempts, len(r.Tries), r)
		case r.Outcome != "ok" && r.Outcome != "canceled" && r.Error == "":
			t.Errorf("no error text: %+v", r)
		case r.Cost > 0 && (r.Price == "" || r.Version == "" && r.Endpoint != "embeddings"):
			t.Errorf("no price or version: %+v", r)
		}
	}
	for _, want := range []string{"ok", "canceled", "invalid_request", "class ok", "class retried", "class client_error"} {
		if seen[want] == 0 {
			t.Errorf("no %s among %v", want, seen)
		}
	}
}
