// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"math"
	"strings"
	"testing"
	"time"
)

func california(day string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04:05", day, billing)
	if err != nil {
		panic(err)
	}
	return t
}

// TestPrices_BuiltIn: what answers cost, worked out by hand from the prices of
// specs/gateways.md §1E, in nano-USD.
func TestPrices_BuiltIn(t *testing.T) {
	now := california("2026-11-25 12:00:00")
	for _, tc := range []struct {
		name, model string
		at          time.Time
		used        Used
		want        int64
	}{
		{"nothing used", "gemini-2.5-flash", now, Used{}, 0},
		{"text", "gemini-2.5-flash", now, Used{Prompt: 1000, Output: 200}, 300*1000 + 2500*200},
		{"resource name", "models/gemini-2.5-flash", now, Used{Prompt: 1}, 300},
		{"thoughts are output", "gemini-2.5-flash", now, Used{Prompt: 10, Output: 20, Thoughts: 30}, 300*10 + 2500*50},
		{"tools are input", "gemini-2.5-flash", now, Used{Prompt: 10, ToolUse: 90}, 300 * 100},
		{"a dollar", "gemini-3.1-flash-lite", now, Used{Prompt: 4_000_000}, 1_000_000_000},
		{"cached is not paid twice", "gemini-3.8-flash", now, Used{Prompt: 10_000, Cached: 9_000, Output: 1}, 750*1000 + 75*9000 + 3750},
		{"more cached than prompt", "gemini-3.8-flash", now, Used{Prompt: 10, Cached: 90}, 75 * 10},
		{"last second of the year", "gemini-3.8-flash", california("2026-12-31 23:59:59"), Used{Prompt: 1, Cached: 0, Output: 1}, 750 + 3750},
		{"first second of the year", "gemini-3.8-flash", california("2027-01-01 00:00:00"), Used{Prompt: 1, Cached: 0, Output: 1}, 1500 + 7500},
		{"cached next year", "gemini-3.6-flash", california("2027-06-01 00:00:00"), Used{Prompt: 7, Cached: 7}, 150 * 7},
		{"alias", "gemini-flash-latest", now, Used{Prompt: 1}, 750},
		{"200,000", "gemini-2.5-pro", now, Used{Prompt: 200_000, Cached: 100_000, Output: 10}, 1250*100_000 + 125*100_000 + 10_000*10},
		{"200,001: all of it", "gemini-2.5-pro", now, Used{Prompt: 200_001, Cached: 100_000, Output: 10, Thoughts: 5}, 2500*100_001 + 250*100_000 + 15_000*15},
		{"tools do not make it long", "gemini-3.1-pro-preview", now, Used{Prompt: 200_000, ToolUse: 5}, 2000 * 200_005},
		{"audio", "gemini-2.5-flash", now, Used{Prompt: 1000, PromptAudio: 400}, 300*600 + 1000*400},
		{"audio cached, as told", "gemini-2.5-flash", now, Used{Prompt: 1000, PromptAudio: 400, Cached: 500, CachedAudio: 300}, 300*400 + 1000*100 + 30*200 + 100*300},
		{"audio, cached not told", "gemini-2.5-flash", now, Used{Prompt: 1000, PromptAudio: 400, Cached: 500}, 300*100 + 1000*400 + 30*500},
		{"audio, more cached than text", "gemini-2.5-flash", now, Used{Prompt: 1000, PromptAudio: 400, Cached: 700}, 1000*300 + 30*600 + 100*100},
		{"image", "gemini-2.5-flash-image", now, Used{Prompt: 10, Output: 1300, OutputImage: 1290}, 300*10 + 2500*10 + 30_000*1290},
		{"speech", "gemini-2.5-flash-preview-tts", now, Used{Prompt: 10, Output: 100, OutputAudio: 100}, 500*10 + 10_000*100},
		{"video written", "gemini-omni-flash-preview", now, Used{Prompt: 1, Output: 3, OutputVideo: 2}, 1500 + 9000 + 17_500*2},
		{"embeddings", "gemini-embedding-2", now, Used{Prompt: 1000, PromptAudio: 100, PromptImage: 200, PromptVideo: 300}, 200*400 + 6500*100 + 450*200 + 12_000*300},
		{"parts above their sum", "gemini-embedding-2", now, Used{Prompt: 10, PromptAudio: 7, PromptImage: 7}, 6500*7 + 450*3},
		{"priority", "gemini-3.1-pro-preview", now, Used{Prompt: 200_001, Cached: 1, Output: 2, Tier: Priority}, 7200*200_000 + 720 + 32_400*2},
		{"batch", "gemini-3.1-pro-preview", now, Used{Prompt: 3, Output: 1, Tier: Batch}, 1000*3 + 6000},
		{"flex, half a nano-USD each", "gemini-3.1-flash-lite", now, Used{Prompt: 4, Cached: 4, Tier: Flex}, 50},
		{"flex, the odd half is rounded up", "gemini-3.1-flash-lite", now, Used{Prompt: 3, Cached: 3, Tier: Flex}, 38},
		{"searches", "gemini-3-flash-preview", now, Used{Prompt: 1, Queries: 3, Grounded: 1}, 500 + 3*14_000_000},
		{"a request that searched", "gemini-2.5-flash", now, Used{Prompt: 1, Queries: 3, Grounded: 1}, 300 + 35_000_000},
		{"a request that searched, only its searches told", "gemini-2.5-pro", now, Used{Queries: 3}, 35_000_000},
		{"two images", "imagen-4.0-generate-001", now, Used{Images: 2, Requests: 1}, 2 * 40_000_000},
		{"eight seconds", "veo-3.1-generate-preview", now, Used{Seconds: 8, Resolution: "720p"}, 8 * 400_000_000},
		{"eight seconds, large", "veo-3.1-generate-preview", now, Used{Seconds: 8, Resolution: "4k"}, 8 * 600_000_000},
		{"a song, whatever its tokens", "lyria-3.5", now, Used{Prompt: 7, Output: 900, OutputAudio: 900, Requests: 1}, 80_000_000},
		{"batch of embeddings", "gemini-embedding-001", now, Used{Prompt: 3, Tier: Batch}, 225},
		{"below zero", "gemini-2.5-flash", now, Used{Prompt: -5, Output: -1, Thoughts: -9, Cached: -3, PromptAudio: -7}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, known := BuiltInPrices().Cost(tc.model, tc.at, tc.used); got != tc.want || !known {
				t.Errorf("%d, known %v; want %d", got, known, tc.want)
			}
		})
	}
}

// What has no price is unknown, whatever else has one.
func TestPrices_Unknown(t *testing.T) {
	now := california("2026-11-25 12:00:00")
	for name, tc := range map[string]struct {
		prices *Prices
		model  string
		used   Used
	}{
		"no table":                 {nil, "gemini-2.5-flash", Used{Prompt: 1}},
		"strange model":            {BuiltInPrices(), "gemini-9-ultra", Used{Prompt: 1}},
		"a longer name":            {BuiltInPrices(), "gemini-2.5-flash-native-audio-preview", Used{Prompt: 1}},
		"no model":                 {BuiltInPrices(), "", Used{}},
		"output of an embedding":   {BuiltInPrices(), "gemini-embedding-001", Used{Prompt: 1, Output: 1}},
		"thoughts of an embedding": {BuiltInPrices(), "gemini-embedding-001", Used{Prompt: 1, Thoughts: 1}},
		"cached without a price":   {BuiltInPrices(), "gemini-2.5-flash-image", Used{Prompt: 2, Cached: 1}},
		"tier without a price":     {BuiltInPrices(), "gemini-2.5-flash", Used{Prompt: 1, Tier: Priority}},
		"unknown tier":             {BuiltInPrices(), "gemini-3.8-flash", Used{Prompt: 1, Tier: UnknownTier}},
		"searches without a price": {BuiltInPrices(), "gemini-embedding-001", Used{Prompt: 1, Queries: 1, Grounded: 1}},
		"maps":                     {BuiltInPrices(), "gemini-2.5-flash", Used{Prompt: 1, Maps: 1}},
		"image without a price":    {BuiltInPrices(), "gemini-2.5-flash", Used{Images: 1}},
		"tokens of one by image":   {BuiltInPrices(), "imagen-4.0-generate-001", Used{Prompt: 1, Images: 1}},
		"resolution":               {BuiltInPrices(), "veo-3.1-fast-generate-preview", Used{Seconds: 8, Resolution: "1080p"}},
		"video without a price":    {BuiltInPrices(), "gemini-2.5-flash", Used{Seconds: 8, Resolution: "720p"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, known := tc.prices.Cost(tc.model, now, tc.used); got != 0 || known {
				t.Errorf("%d, known %v; want unknown", got, known)
			}
		})
	}
}

// TestPrices_Model: which row fits a model and a day.
func TestPrices_Model(t *testing.T) {
	prices := load(t, `{"models": ["a-1", "b"], "until": "2026-12-31", "input": 1},
		{"models": ["a-?"], "input": 2}, {"models": ["a*"], "from": "2027-02-01", "input": 3}, {"models": ["b"], "from": "2027-01-01", "input": 0}`)
	for _, tc := range []struct {
		model, at string
		want      int64
	}{
		{"a-1", "2026-12-31 23:59:59", 1},
		{"a-1", "2027-01-01 00:00:00", 2},
		{"a-2", "2026-01-01 00:00:00", 2},
		{"a-22", "2027-01-31 23:59:59", unknownPrice},
		{"a-22", "2027-02-01 00:00:00", 3},
		{"b", "1970-01-01 00:00:00", 1},
		{"b", "2100-01-01 00:00:00", 0}, // free is not unknown
		{"bb", "2100-01-01 00:00:00", unknownPrice},
	} {
		got, known := prices.Cost(tc.model, california(tc.at), Used{Prompt: 1})
		if !known {
			got = unknownPrice
		}
		if got != tc.want {
			t.Errorf("%s at %s: %d, want %d", tc.model, tc.at, got, tc.want)
		}
	}
	row := prices.Find("b", california("2026-11-25 00:00:00"))
	if row == nil || row.Source != "test" || row.Date != "2026-10-07" {
		t.Errorf("the row is %+v", row)
	}
}

// Every row says where it is from and when that was read, and its price of a million
// tokens is that of specs/gateways.md §1E, in nano-USD.
func TestPrices_Rows(t *testing.T) {
	const unknown = unknownPrice
	want := map[string][2]int64{
		"gemini-3.5-flash": {1_500_000_000, 9_000_000_000}, "gemini-3.5-flash-lite": {300_000_000, 2_500_000_000},
		"gemini-3.1-pro-preview": {2_000_000_000, 12_000_000_000}, "gemini-3-flash-preview": {500_000_000, 3_000_000_000},
		"gemini-3.1-flash-lite": {250_000_000, 1_500_000_000}, "gemini-2.5-pro": {1_250_000_000, 10_000_000_000},
		"gemini-2.5-flash": {300_000_000, 2_500_000_000}, "gemini-2.5-flash-lite": {100_000_000, 400_000_000},
		"gemini-2.5-flash-image": {300_000_000, 2_500_000_000}, "gemini-3-pro-image": {2_000_000_000, 12_000_000_000},
		"gemini-3.1-flash-image": {500_000_000, 3_000_000_000}, "gemini-3.1-flash-lite-image": {250_000_000, 1_500_000_000},
		"gemini-3.1-flash-live-preview": {750_000_000, 4_500_000_000}, "gemini-2.5-flash-tts": {500_000_000, 10_000_000_000},
		"gemini-2.5-pro-tts": {1_000_000_000, 20_000_000_000}, "gemini-omni-flash-preview": {1_500_000_000, 9_000_000_000},
		"gemini-embedding-001": {150_000_000, unknown}, "gemini-embedding-2": {200_000_000, unknown},
		"veo-3.1-generate-preview": {unknown, unknown}, "veo-3.1-fast-generate-preview": {unknown, unknown},
		"veo-3.1-lite-generate-preview": {unknown, unknown}, "imagen-4.0-fast-generate-001": {unknown, unknown},
		"imagen-4.0-generate-001": {unknown, unknown}, "imagen-4.0-ultra-generate-001": {unknown, unknown}, "lyria-3.5": {0, 0},
	}
	turn := california("2027-01-01 00:00:00")
	for _, row := range BuiltInPrices().Rows() {
		from, until := row.Span()
		in, out := row.PerMillion()
		name := row.Models[0]
		w, listed := want[name]
		switch {
		case name != "gemini-3.8-flash":
			if !from.IsZero() || !until.IsZero() {
				t.Errorf("%s holds from %v until %v", name, from, until)
			}
		case from.IsZero():
			w, listed = [2]int64{750_000_000, 3_750_000_000}, until.Equal(turn)
		default:
			w, listed = [2]int64{1_500_000_000, 7_500_000_000}, from.Equal(turn) && until.IsZero()
		}
		if !listed || w != [2]int64{in, out} {
			t.Errorf("%s: %d in and %d out, want %v, listed %v", name, in, out, w, listed)
		}
		if row.Label != row.Source+" "+row.Date+" "+name || row.Date != "2026-10-07" {
			t.Errorf("%s is called %q", name, row.Label)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("no rows for %v", want)
	}
}

// No counts and prices that are let in go beyond an int64.
func TestPrices_Bounds(t *testing.T) {
	prices := load(t, `{"models": ["*"], "input": 1000000, "output": 1000000, "cached": 1000000, "grounding_query": 1000000000, "grounding_maps": 1000000000, "image": 1000000000, "request": 1000000000, "second": {"4k": 1000000000}}`)
	const most = math.MaxInt32
	u := Used{Prompt: math.MaxInt64, ToolUse: math.MaxInt64, Cached: 1, Output: math.MaxInt64, Thoughts: math.MaxInt64, Queries: math.MaxInt64, Maps: math.MaxInt64, Images: math.MaxInt64, Requests: math.MaxInt64, Seconds: math.MaxInt64, Resolution: "4k"}
	want := int64(4*most*1_000_000 + 5*(1<<20)*1_000_000_000)
	if got, known := prices.Cost("m", time.Now(), u); got != want || !known {
		t.Errorf("%d, known %v; want %d", got, known, want)
	}
}

func TestPrices_AllocateNothing(t *testing.T) {
	prices, now := BuiltInPrices(), time.Now()
	u := Used{Prompt: 1000, PromptAudio: 10, Cached: 500, Output: 3, Thoughts: 4}
	if n := testing.AllocsPerRun(100, func() { prices.Cost("gemini-embedding-2", now, u) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

const priceHead = `"source": "test", "date": "2026-10-07", `

// load reads rows to which source and date are added.
func load(t *testing.T, rows string) *Prices {
	t.Helper()
	p, err := LoadPrices([]byte(`{"unit": "nano-USD per token", "prices": [` + strings.ReplaceAll(rows, `{"models"`, `{`+priceHead+`"models"`) + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Errors name the row and the field, and say what is wanted.
func TestLoadPrices_Errors(t *testing.T) {
	row := func(members string) string {
		return `{"unit": "nano-USD per token", "prices": [{"models": ["a"], ` + priceHead + `"input": 1}, {"models": ["b"], ` + priceHead + members + `}]}`
	}
	for name, tc := range map[string]struct{ table, want string }{
		"nothing":            {"", "prices: the table's"},
		"no object":          {`[]`, "is not an object"},
		"broken":             {`{"unit": "nano-USD per token", "prices": [}`, "is no JSON at byte 43"},
		"more than a table":  {`{"unit": "nano-USD per token", "prices": []} {}`, "is no JSON at byte"},
		"no unit":            {`{"prices": [{}]}`, `unit is "", want "nano-USD per token"`},
		"another unit":       {`{"unit": "USD per million", "prices": []}`, `unit is "USD per million"`},
		"no rows":            {`{"unit": "nano-USD per token"}`, "prices has no row"},
		"unknown member":     {`{"unit": "nano-USD per token", "price": []}`, "the table's price is unknown"},
		"row is no object":   {`{"unit": "nano-USD per token", "prices": [1]}`, "row 1: is not an object"},
		"no models":          {`{"unit": "nano-USD per token", "prices": [{}]}`, "row 1: models is missing"},
		"a model":            {`{"unit": "nano-USD per token", "prices": [{"models": "a"}]}`, "row 1: models is not a list of texts"},
		"empty model":        {`{"unit": "nano-USD per token", "prices": [{"models": [""]}]}`, `row 1: models has "", want`},
		"class":              {`{"unit": "nano-USD per token", "prices": [{"models": ["[ab]"]}]}`, `models has "[ab]", want model ids`},
		"resource name":      {`{"unit": "nano-USD per token", "prices": [{"models": ["models/a"]}]}`, `models has "models/a", want model ids`},
		"no source":          {`{"unit": "nano-USD per token", "prices": [{"models": ["a"], "date": "2026-01-01", "input": 1}]}`, "row 1 (a): source is missing"},
		"no date":            {`{"unit": "nano-USD per token", "prices": [{"models": ["a"], "source": "s", "input": 1}]}`, "row 1 (a): date is missing"},
		"no input":           {row(`"output": 1`), "row 2 (b): input is missing"},
		"twice":              {row(`"input": 1, "input": 1`), "row 2 (b): input is there twice"},
		"unknown field":      {row(`"inputs": 1`), "row 2 (b): inputs is unknown"},
		"fraction":           {row(`"input": 1.5`), "row 2 (b): input is 1.5, want a whole number from 0 to 1000000"},
		"below zero":         {row(`"input": -1`), "input is -1, want"},
		"text":               {row(`"input": "1"`), `input is "1", want`},
		"null":               {row(`"input": null`), "input is null, want"},
		"too much":           {row(`"input": 1000001`), "input is 1000001, want"},
		"kind":               {row(`"input": {"text": 1, "audio": 0.3}`), "row 2 (b): input.audio is 0.3, want"},
		"unknown kind":       {row(`"input": {"text": 1, "smell": 3}`), "row 2 (b): input.smell is unknown"},
		"no text":            {row(`"output": {"audio": 1}`), "row 2 (b): output has no text"},
		"day":                {row(`"input": 1, "from": "2026-13-01"`), `row 2 (b): from is "2026-13-01", want a day such as "2026-10-07"`},
		"date":               {row(`"input": 1, "until": 2026`), "until is 2026, want a day"},
		"days the wrong way": {row(`"input": 1, "from": "2026-02-01", "until": "2026-01-31"`), "row 2 (b): until is before from"},
		"over alone":         {row(`"input": 1, "over": 200000`), "row 2 (b): over and long go together"},
		"long alone":         {row(`"input": 1, "long": {"input": 2}`), "row 2 (b): over and long go together"},
		"long without input": {row(`"input": 1, "over": 9, "long": {"output": 2}`), "row 2 (b): long: input is missing"},
		"in long":            {row(`"input": 1, "over": 9, "long": {"output": {"text": "x"}}`), `row 2 (b): long.output.text is "x", want`},
		"factor":             {row(`"input": 1, "batch": 0.5555`), "row 2 (b): batch is 0.5555, want a factor such as 0.5 or 1.8, with three decimals at most"},
		"no factor":          {row(`"input": 1, "flex": 0`), "flex is 0, want a factor"},
		"factor as text":     {row(`"input": 1, "flex": "0.5"`), "flex is \"0.5\", want a factor"},
		"factor below zero":  {row(`"input": 1, "flex": -0.5`), "flex is -0.5, want a factor"},
		"too dear":           {row(`"input": 900000, "priority": 1.8`), "row 2 (b): priority makes a token cost more than 1000000 nano-USD"},
		"grounding":          {row(`"input": 1, "grounding_query": 0.014`), "grounding_query is 0.014, want a whole number"},
		"unknown resolution": {row(`"second": {"8k": 1}`), "row 2 (b): second.8k is unknown"},
		"no resolution":      {row(`"second": {}`), "row 2 (b): input is missing"},
		"same days":          {`{"unit": "nano-USD per token", "prices": [{"models": ["a"], ` + priceHead + `"input": 1, "until": "2026-12-31"}, {"models": ["b", "a"], ` + priceHead + `"input": 1, "from": "2026-12-31"}]}`, `row 2 (b): models has "a", and so has row 1 for some of the same days`},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := LoadPrices([]byte(tc.table))
			if err == nil || p != nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "prices: ") {
				t.Errorf("%v\nwant %s", err, tc.want)
			}
		})
	}
}
