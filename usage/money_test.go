// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// The oracle of TestMoney_Oracle is written from specs/gateways.md §1E alone, in dollars
// and fractions: it shares no number, type or rule with prices.go and prices.json.

// dollars are USD for a million tokens by what they are of; "" is what is not named.
type dollars map[string]string

// oracleRow is a line of §1E.
type oracleRow struct {
	models               string // one of them
	in, cached, out      dollars
	longIn, longC, longO dollars           // > 200k
	factors              map[string]string // of tiers
	perQuery, perPrompt  string            // USD for 1,000
	image, song          string            // USD each
	second               dollars           // USD, by resolution
	from, until          string            // UTC, until excluded
}

// everywhere are prices that do not depend on what the tokens are of.
func everywhere(usd string) dollars { return dollars{"": usd} }

// newYear is when the year begins where Google bills.
const newYear = "2027-01-01T08:00:00Z"

var (
	priority = map[string]string{"priority": "9/5"}
	all3     = map[string]string{"batch": "1/2", "flex": "1/2", "priority": "9/5"}
)

var oracle = []oracleRow{
	{models: "gemini-3.8-flash", in: everywhere("0.75"), cached: everywhere("0.075"), out: everywhere("3.75"), factors: all3, perQuery: "14", until: newYear},
	{models: "gemini-3.6-flash", in: everywhere("1.50"), cached: everywhere("0.15"), out: everywhere("7.50"), factors: all3, perQuery: "14", from: newYear},
	{models: "gemini-3.5-flash", in: everywhere("1.50"), cached: everywhere("0.15"), out: everywhere("9.00"), factors: priority, perQuery: "14"},
	{models: "gemini-3.5-flash-lite", in: everywhere("0.30"), cached: everywhere("0.03"), out: everywhere("2.50"), perQuery: "14"},
	{
		models: "gemini-3.1-pro-preview-customtools", in: everywhere("2.00"), cached: everywhere("0.20"), out: everywhere("12.00"),
		longIn: everywhere("4.00"), longC: everywhere("0.40"), longO: everywhere("18.00"), factors: map[string]string{"batch": "1/2", "priority": "9/5"}, perQuery: "14",
	},
	{models: "gemini-3-flash-preview", in: dollars{"": "0.50", "audio": "1.00"}, cached: dollars{"": "0.05", "audio": "0.10"}, out: everywhere("3.00"), factors: priority, perQuery: "14"},
	{models: "gemini-3.1-flash-lite", in: dollars{"": "0.25", "audio": "0.50"}, cached: dollars{"": "0.025", "audio": "0.05"}, out: everywhere("1.50"), factors: all3, perQuery: "14"},
	{
		models: "gemini-2.5-pro", in: everywhere("1.25"), cached: everywhere("0.125"), out: everywhere("10.00"),
		longIn: everywhere("2.50"), longC: everywhere("0.25"), longO: everywhere("15.00"), perPrompt: "35",
	},
	{models: "gemini-2.5-flash", in: dollars{"": "0.30", "audio": "1.00"}, cached: dollars{"": "0.03", "audio": "0.10"}, out: everywhere("2.50"), perPrompt: "35"},
	{models: "gemini-2.5-flash-lite", in: dollars{"": "0.10", "audio": "0.30"}, cached: dollars{"": "0.01", "audio": "0.03"}, out: everywhere("0.40"), perPrompt: "35"},
	{models: "gemini-2.5-flash-image", in: everywhere("0.30"), out: dollars{"": "2.50", "image": "30"}},
	{models: "gemini-3-pro-image", in: everywhere("2.00"), out: dollars{"": "12", "image": "120"}},
	{models: "gemini-3.1-flash-image", in: everywhere("0.50"), out: dollars{"": "3", "image": "60"}},
	{models: "gemini-3.1-flash-lite-image", in: everywhere("0.25"), out: dollars{"": "1.5", "image": "30"}},
	{models: "gemini-3.1-flash-live-preview", in: dollars{"": "0.75", "audio": "3", "image": "1", "video": "1"}, out: dollars{"": "4.50", "audio": "12"}},
	{models: "gemini-2.5-flash-tts", in: everywhere("0.50"), out: everywhere("10")},
	{models: "gemini-2.5-pro-tts", in: everywhere("1.00"), out: everywhere("20")},
	{models: "gemini-omni-flash-preview", in: everywhere("1.50"), out: dollars{"": "9", "video": "17.50"}},
	{models: "gemini-embedding-001", in: everywhere("0.15")},
	{models: "gemini-embedding-2", in: dollars{"": "0.20", "image": "0.45", "audio": "6.50", "video": "12"}},
	{models: "veo-3.1-generate-preview", second: dollars{"720p": "0.40", "1080p": "0.40", "4k": "0.60"}},
	{models: "veo-3.1-fast-generate-preview", second: dollars{"720p": "0.10", "4k": "0.30"}},
	{models: "veo-3.1-lite-generate-preview", second: dollars{"720p": "0.05", "1080p": "0.08"}},
	{models: "imagen-4.0-fast-generate-001", image: "0.02"},
	{models: "imagen-4.0-generate-001", image: "0.04"},
	{models: "imagen-4.0-ultra-generate-001", image: "0.06"},
	{models: "lyria-3.5", song: "0.08"},
}

// sum is a price that is being added up, in dollars; nil once a part of it is unknown.
type oracleSum struct{ usd *big.Rat }

func (s *oracleSum) add(n int64, price string, per int64, factor string) {
	if n == 0 || s.usd == nil {
		return
	}
	if price == "" {
		s.usd = nil
		return
	}
	p := rational(price)
	p.Mul(p, rational(factor))
	p.Mul(p, big.NewRat(n, per))
	s.usd.Add(s.usd, p)
}

func rational(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic(text)
	}
	return r
}

// of is the price for a kind.
func (d dollars) of(kind string) string {
	if p, ok := d[kind]; ok {
		return p
	}
	return d[""]
}

// synthetic is an answer's usage as Google would report it, by kinds.
type synthetic struct {
	prompt, cached, output   map[string]int64 // by kind; cached is part of prompt
	told                     bool             // of which kinds the cached tokens are
	thoughts, tools, queries int64
	images, seconds          int64
	resolution, tier         string
}

var kindsOfTokens = []string{"text", "image", "video", "audio"} // the dearest last

func total(byKind map[string]int64) (n int64) {
	for _, k := range byKind {
		n += k
	}
	return n
}

// cost is what the line charges, in nano-USD; halves are rounded up.
func (row *oracleRow) cost(u *synthetic) (nano *big.Int, known bool) {
	factor := "1"
	if u.tier != "" {
		factor = row.factors[u.tier]
	}
	in, cache, out := row.in, row.cached, row.out
	if row.longIn != nil && total(u.prompt) > 200_000 { // the whole request takes the long rate
		in, cache, out = row.longIn, row.longC, row.longO
	}
	const million = 1_000_000
	s := &oracleSum{new(big.Rat)}
	for _, kind := range kindsOfTokens {
		s.add(u.prompt[kind]-u.cached[kind], in.of(kind), million, factor)
		s.add(u.cached[kind], cache.of(kind), million, factor)
		s.add(u.output[kind], out.of(kind), million, factor)
	}
	s.add(u.tools, in.of("text"), million, factor)
	s.add(u.thoughts, out.of("text"), million, factor)
	if row.perQuery != "" {
		s.add(u.queries, row.perQuery, 1000, "1")
	} else {
		s.add(min(u.queries, 1), row.perPrompt, 1000, "1")
	}
	s.add(u.images, row.image, 1, "1")
	if u.seconds > 0 {
		s.add(u.seconds, row.second[u.resolution], 1, "1")
	}
	if row.song != "" {
		s.add(1, row.song, 1, "1")
	}
	if s.usd == nil {
		return nil, false
	}
	n := new(big.Rat).Mul(s.usd, big.NewRat(1_000_000_000, 1))
	n.Add(n, big.NewRat(1, 2))
	return new(big.Int).Div(n.Num(), n.Denom()), true
}

// someUsage makes one up that suits a line, or nearly.
func someUsage(rng *rand.Rand, row *oracleRow) *synthetic {
	u := &synthetic{prompt: map[string]int64{}, cached: map[string]int64{}, output: map[string]int64{}}
	if tiers := slices.Sorted(maps.Keys(row.factors)); len(tiers) > 0 && rng.IntN(2) == 0 { // §1E tells nothing of others
		u.tier = tiers[rng.IntN(len(tiers))]
	}
	switch {
	case row.image != "":
		u.images = rng.Int64N(5)
		return u
	case row.second != nil:
		u.seconds, u.resolution = 1+rng.Int64N(60), []string{"720p", "1080p", "4k"}[rng.IntN(3)]
		return u
	case row.song != "":
		return u
	}
	tokens := func() int64 { return rng.Int64N(int64(1) << rng.IntN(21)) }
	u.prompt["text"] = tokens()
	for _, kind := range kindsOfTokens[1:] {
		if rng.IntN(3) == 0 {
			u.prompt[kind] = tokens()
		}
	}
	if rng.IntN(3) == 0 { // at the border of the long rates
		sum := total(u.prompt) - u.prompt["text"]
		if sum < 199_000 {
			u.prompt["text"] = 199_998 + rng.Int64N(5) - sum
		}
	}
	u.tools = tokens() * rng.Int64N(2)
	for _, kind := range kindsOfTokens {
		if len(row.out) > 0 && (kind == "text" || rng.IntN(3) == 0) {
			u.output[kind] = tokens()
		}
	}
	if len(row.out) > 0 {
		u.thoughts = tokens() * rng.Int64N(2)
	}
	if (len(row.cached) > 0 || rng.IntN(9) == 0) && rng.IntN(2) == 0 {
		if u.told = rng.IntN(2) == 0; u.told {
			for kind, n := range u.prompt {
				u.cached[kind] = rng.Int64N(n + 1)
			}
		} else { // nobody says of which kind: as cheap ones as there are, so that nothing dear is taken off
			left := rng.Int64N(total(u.prompt) + 1)
			for _, kind := range kindsOfTokens {
				u.cached[kind] = min(left, u.prompt[kind])
				left -= u.cached[kind]
			}
		}
	}
	if (row.perQuery != "" || row.perPrompt != "") && rng.IntN(3) == 0 {
		u.queries = rng.Int64N(6)
	}
	return u
}

// used are the same counts as the gateway reads them.
func (u *synthetic) used() Used {
	tiers := map[string]Tier{"": Standard, "batch": Batch, "flex": Flex, "priority": Priority}
	got := Used{
		Prompt: total(u.prompt), PromptAudio: u.prompt["audio"], PromptImage: u.prompt["image"], PromptVideo: u.prompt["video"],
		Cached: total(u.cached), ToolUse: u.tools, Thoughts: u.thoughts,
		Output: total(u.output), OutputAudio: u.output["audio"], OutputImage: u.output["image"], OutputVideo: u.output["video"],
		Queries: u.queries, Grounded: min(u.queries, 1), Images: u.images, Seconds: u.seconds, Resolution: u.resolution,
		Requests: 1, Tier: tiers[u.tier],
	}
	if u.told {
		got.CachedAudio, got.CachedImage, got.CachedVideo = u.cached["audio"], u.cached["image"], u.cached["video"]
	}
	return got
}

// at is a moment at which a line holds, at its very ends rather often.
func (row *oracleRow) at(rng *rand.Rand) time.Time {
	border, err := time.Parse(time.RFC3339, newYear)
	if err != nil {
		panic(err)
	}
	off := time.Duration(rng.Int64N(int64(90*24*time.Hour) >> (9 * rng.IntN(5))))
	switch {
	case row.until != "":
		return border.Add(-time.Nanosecond - off)
	case row.from != "":
		return border.Add(off)
	default:
		return border.Add(off - 45*24*time.Hour)
	}
}

// TestMoney_Oracle: what the table charges for made-up usages is what §1E says, to the
// nano-USD, at both sides of 200,000 tokens and of the new year; what has no price is
// unknown to both. MONEY_CASES says how many.
func TestMoney_Oracle(t *testing.T) {
	cases := 100_000
	if text := os.Getenv("MONEY_CASES"); text != "" { //nolint:forbidigo // a knob of the test
		var err error
		if cases, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	prices, rng := BuiltInPrices(), rand.New(rand.NewPCG(1, 10))
	rows, seen := map[string]bool{}, map[string]int{}
	for i := range cases {
		row := &oracle[i%len(oracle)]
		u, at := someUsage(rng, row), row.at(rng)
		charged := u.used()
		got, known := prices.Cost(row.models, at, charged)
		want, wanted := row.cost(u)
		if known != wanted || known && want.Cmp(big.NewInt(got)) != 0 {
			t.Fatalf("case %d, %s at %s:\n%+v\ncosts %d, known %v; want %v, known %v", i, row.models, at, charged, got, known, want, wanted)
		}
		if p := prices.Find(row.models, at); p != nil {
			rows[p.Label+fmt.Sprint(p.from)] = true
		}
		if known {
			seen[row.models]++
		}
	}
	for i := range oracle {
		if n := seen[oracle[i].models]; n < cases/len(oracle)/4 {
			t.Errorf("%s: only %d cases have a price", oracle[i].models, n)
		}
	}
	for _, p := range prices.Rows() {
		if !rows[p.Label+fmt.Sprint(p.from)] {
			t.Errorf("no line of the oracle is for the row %s", p.Label)
		}
	}
}
