// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"
)

// TestPrices_With: what answers cost at an operator's own prices, worked out by hand, in
// nano-USD. A price of 1 is a nano-USD for a million tokens.
func TestPrices_With(t *testing.T) {
	now := california("2026-11-25 12:00:00")
	p := BuiltInPrices().With(map[string]OwnPrice{
		"gemini-2.5-flash": {Input: 150_000_000, Cached: 15_000_000, Output: 1_250_000_000}, // 150, 15 and 1250 a token
		"gemini-2.5-pro":   {Input: 1_000_000, Cached: -1, Output: 3_500_000},               // 1 and 3.5 a token
		"gemini-3.8-flash": {Input: 1, Cached: 0, Output: 499_999},                          // next to nothing
		"gemini-9":         {Input: 2_000_000, Cached: 3_000_000, Output: 0},
		"imagen-4.0-generate-001": {
			Input: 1_000_000, Cached: -1, Output: 1_000_000,
		},
	})
	for _, tc := range []struct {
		name, model string
		at          time.Time
		used        Used
		want        int64
	}{
		{"nothing", "gemini-2.5-flash", now, Used{}, 0},
		{"text", "gemini-2.5-flash", now, Used{Prompt: 1000, Cached: 400, Output: 200, Thoughts: 30, ToolUse: 7}, 150*607 + 15*400 + 1250*230},
		{"resource name", "models/gemini-2.5-flash", now, Used{Prompt: 1}, 150},
		{"audio costs as text", "gemini-2.5-flash", now, Used{Prompt: 1000, PromptAudio: 400, Cached: 500, CachedAudio: 300, Output: 5, OutputAudio: 4}, 150*500 + 15*500 + 1250*5},
		{"batch", "gemini-2.5-flash", now, Used{Prompt: 10, Tier: Batch}, 1500},
		{"flex", "gemini-2.5-flash", now, Used{Prompt: 10, Tier: Flex}, 1500},
		{"priority, that the table has no price for", "gemini-2.5-flash", now, Used{Prompt: 10, Tier: Priority}, 1500},
		{"search as in the table", "gemini-2.5-flash", now, Used{Prompt: 1, Queries: 3, Grounded: 1}, 150 + 35_000_000},
		{"cached as input", "gemini-2.5-pro", now, Used{Prompt: 10, Cached: 4}, 10},
		{"long prompts cost no more", "gemini-2.5-pro", now, Used{Prompt: 300_000, Output: 2}, 300_007},
		{"half is rounded up, once", "gemini-2.5-pro", now, Used{Prompt: 1, Output: 3, Thoughts: 2}, 19}, // 1 + 17.5
		{"below half is nothing", "gemini-3.8-flash", now, Used{Prompt: 1, Output: 1}, 1},                // 0.5
		{"a millionth each", "gemini-3.8-flash", now, Used{Prompt: 499_999}, 0},
		{"a millionth each, half", "gemini-3.8-flash", now, Used{Prompt: 500_000}, 1},
		{"cached is free", "gemini-3.8-flash", now, Used{Prompt: 1_000_000, Cached: 1_000_000}, 0},
		{"the same next year", "gemini-3.8-flash", california("2027-01-01 00:00:00"), Used{Prompt: 1_000_000, Output: 2}, 2},
		{"searches", "gemini-3.8-flash", california("2027-01-01 00:00:00"), Used{Queries: 2}, 28_000_000},
		{"unknown to the table", "gemini-9", now, Used{Prompt: 10, Cached: 4, Output: 9, Thoughts: 9}, 2*6 + 3*4},
		{"image as in the table", "imagen-4.0-generate-001", now, Used{Prompt: 5, Images: 2}, 5 + 2*40_000_000},
		{"another model", "gemini-2.5-flash-lite", now, Used{Prompt: 10}, 1000},
		{"below zero", "gemini-2.5-flash", now, Used{Prompt: -5, Output: -1, Thoughts: -9, Cached: -3}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, known := p.Cost(tc.model, tc.at, tc.used); got != tc.want || !known {
				t.Errorf("%d, known %v; want %d", got, known, tc.want)
			}
		})
	}
	for name, u := range map[string]Used{"search": {Queries: 1}, "image": {Images: 1}, "tier": {Prompt: 1, Tier: UnknownTier}} {
		if got, known := p.Cost("gemini-9", now, u); known {
			t.Errorf("%s without a price: %d", name, got)
		}
	}
	row := p.Find("gemini-2.5-flash", now)
	if in, out := row.PerMillion(); in != 150_000_000 || out != 1_250_000_000 || row.Source != "own" || row.Date != "" || row.Label != "own gemini-2.5-flash" {
		t.Errorf("%d, %d, %q %q %q", in, out, row.Source, row.Date, row.Label)
	}
	if row := BuiltInPrices().Find("gemini-2.5-flash", now); row.own() {
		t.Error("the table itself changed")
	}
}

// Rows that say for which days and by which globs they are keep their say of what is
// not paid by the token.
func TestPrices_With_Days(t *testing.T) {
	p := load(t, `{"models": ["a*"], "input": 1, "grounding_query": 5, "until": "2026-11-30"},
		{"models": ["abc"], "input": 1, "grounding_query": 6, "from": "2026-11-20", "until": "2026-12-31"},
		{"models": ["a?c"], "input": 1, "grounding_query": 7, "from": "2027-02-01"}`).
		With(map[string]OwnPrice{"abc": {Input: 0, Cached: -1, Output: 0}})
	for at, want := range map[string]int64{
		"2020-01-01 00:00:00": 5, "2026-11-30 23:59:59": 5, "2026-12-01 00:00:00": 6, "2026-12-31 23:59:59": 6,
		"2027-01-01 00:00:00": unknownPrice, "2027-01-31 23:59:59": unknownPrice, "2027-02-01 00:00:00": 7,
	} {
		got, known := p.Cost("abc", california(at), Used{Prompt: 9, Queries: 1})
		if !known {
			got = unknownPrice
		}
		if got != want {
			t.Errorf("%s: %d, want %d", at, got, want)
		}
		if nano, known := p.Cost("abc", california(at), Used{Prompt: 9}); nano != 0 || !known {
			t.Errorf("%s: tokens cost %d, %v", at, nano, known)
		}
	}
}

func TestPrices_With_Nothing(t *testing.T) {
	if p := BuiltInPrices().With(nil); p != BuiltInPrices() {
		t.Error("another table without own prices")
	}
	var none *Prices
	if p := none.With(nil); p != nil {
		t.Error("a table of nothing")
	}
	p := none.With(map[string]OwnPrice{"m": {Input: 3_000_000, Cached: -1, Output: 1}, "n": {Input: -1}})
	if nano, known := p.Cost("m", time.Now(), Used{Prompt: 2}); nano != 6 || !known {
		t.Errorf("%d, %v", nano, known)
	}
	if p.Find("n", time.Now()) != nil {
		t.Error("a senseless price is taken")
	}
	// Names come from clients: they are never globs.
	p = p.With(map[string]OwnPrice{"*": {Input: 7_000_000, Cached: -1}})
	if nano, _ := p.Cost("m", time.Now(), Used{Prompt: 1}); nano != 3 {
		t.Errorf("%d", nano)
	}
	// Anew: the last own price holds.
	p = p.With(map[string]OwnPrice{"m": {Input: 4_000_000, Cached: -1}})
	if nano, _ := p.Cost("m", time.Now(), Used{Prompt: 1}); nano != 4 {
		t.Errorf("%d", nano)
	}
}

func TestPrices_Charged(t *testing.T) {
	now := california("2026-11-25 12:00:00")
	p := BuiltInPrices().With(map[string]OwnPrice{"gemini-flash-latest": {Input: 1_000_000, Cached: -1}, "gemini-2.5-flash": {Input: 2_000_000, Cached: -1}})
	for _, tc := range []struct {
		name, version, model string
		want                 int64 // for a token; -1 for no row
	}{
		{"own of the version", "gemini-2.5-flash", "gemini-2.5-pro", 2},
		{"own of the model", "gemini-3.8-flash", "gemini-flash-latest", 1},
		{"own of both", "gemini-2.5-flash", "gemini-flash-latest", 2},
		{"table of the version", "gemini-2.5-pro", "gemini-3.8-flash", 1250},
		{"no version", "", "gemini-2.5-flash", 2},
		{"strange version", "gemini-9", "gemini-2.5-pro", 1250},
		{"strange model", "gemini-2.5-pro", "gemini-9", 1250},
		{"nothing known", "gemini-9", "gemini-10", -1},
	} {
		got := int64(unknownPrice)
		if row := p.Charged(tc.version, tc.model, now); row != nil {
			got, _ = row.Cost(Used{Prompt: 1})
		}
		if got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
	var none *Prices
	if none.Charged("a", "b", now) != nil {
		t.Error("no table has a price")
	}
}

func TestOwnPrice_Check(t *testing.T) {
	const most = 1_000_000_000_000 // $1,000
	for _, tc := range []struct {
		price OwnPrice
		field string
	}{
		{OwnPrice{}, ""},
		{OwnPrice{0, -1, 0}, ""},
		{OwnPrice{most, most, most}, ""},
		{OwnPrice{-1, 0, 0}, "input_nano_per_mtok"},
		{OwnPrice{most + 1, 0, 0}, "input_nano_per_mtok"},
		{OwnPrice{0, -2, 0}, "cached_nano_per_mtok"},
		{OwnPrice{0, math.MaxInt64, 0}, "cached_nano_per_mtok"},
		{OwnPrice{0, 0, -1}, "output_nano_per_mtok"},
		{OwnPrice{0, 0, most + 1}, "output_nano_per_mtok"},
	} {
		if field, message := tc.price.Check(); field != tc.field || (message == "") != (field == "") {
			t.Errorf("%+v: %s %s", tc.price, field, message)
		}
	}
}

// TestPrices_With_Oracle works the sums out with fractions that know no bounds.
func TestPrices_With_Oracle(t *testing.T) {
	const million = 1_000_000
	rng := rand.New(rand.NewPCG(26, 11))
	now := california("2026-11-25 12:00:00")
	price := func() int64 {
		if rng.IntN(5) == 0 {
			return []int64{0, 1, 499_999, 500_000, 1_000_000_000_000}[rng.IntN(5)]
		}
		return rng.Int64N(1 << rng.IntN(40))
	}
	count := func() int64 { return rng.Int64N(1 << rng.IntN(32)) }
	for range 20_000 {
		own := OwnPrice{price(), price(), price()}
		u := Used{Prompt: count(), Output: count(), Thoughts: count(), ToolUse: count(), Tier: Tier(rng.IntN(4))}
		u.Cached, u.PromptAudio, u.OutputImage = rng.Int64N(u.Prompt+1), rng.Int64N(u.Prompt+1), rng.Int64N(u.Output+1)
		u.Queries, u.Grounded = rng.Int64N(3), rng.Int64N(2)
		cached := own.Cached
		if rng.IntN(4) == 0 {
			own.Cached, cached = -1, own.Input
		}
		sum := big.NewRat(1, 2) // halves are rounded up
		for _, part := range [][2]int64{
			{u.Prompt - u.Cached + u.ToolUse, own.Input}, {u.Cached, cached}, {u.Output + u.Thoughts, own.Output},
			{u.Queries * million, 14_000_000},
		} {
			sum.Add(sum, new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(part[0]), big.NewInt(part[1])), big.NewInt(million)))
		}
		want := new(big.Int).Div(sum.Num(), sum.Denom())
		p := BuiltInPrices().With(map[string]OwnPrice{"gemini-3.1-pro-preview": own})
		if got, known := p.Cost("gemini-3.1-pro-preview", now, u); fmt.Sprint(got) != want.String() || !known {
			t.Fatalf("%+v %+v: %d, known %v; want %s", own, u, got, known, want)
		}
	}
}
