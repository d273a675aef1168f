// SPDX-License-Identifier: Apache-2.0

package usage

import (
	_ "embed"
	"math"
	"math/bits"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Prices is a table of what Google charges: rows by model and date. It does not
// change, so any number of goroutines may ask it; nil knows no price.
type Prices struct {
	rows  []Price
	exact map[string][]int // rows by model ids that are no globs, in order
	globs []int            // rows with globs, in order
}

// Price is a row of [Prices].
type Price struct {
	Models []string // globs of model ids without "models/": * is any text, ? one character
	Source string   // who says so; OwnSource for an operator's own
	Date   string   // when the source was read, as 2026-10-07; "" for an operator's own
	Label  string   // what records call the row by: source, date and its first model

	from, until int64 // Unix seconds, until exclusive
	over        int64 // prompt tokens beyond which the long rates hold; 0 = never
	tiers       [tierCount]*tierRates

	// In nano-USD for one, or unknownPrice.
	query    int64            // search of grounding
	grounded int64            // request that searched, whatever it searched for
	maps     int64            // request that asked Google Maps
	image    int64            // image of a model that is paid by the image
	request  int64            // answer, besides its tokens; 0 where the row says nothing
	seconds  map[string]int64 // second of video, by resolution
}

// Tier is the service tier that Google served a request in.
type Tier uint8

// Tiers, in Google's words.
const (
	Standard Tier = iota
	Batch
	Flex
	Priority
	UnknownTier // has no prices
	tierCount   = UnknownTier
)

// Used is what an answer was charged for, in tokens, as usageMetadata has it.
type Used struct {
	Prompt   int64 // cached ones included, those of tools not
	ToolUse  int64 // what built-in tools brought into the prompt
	Cached   int64 // part of Prompt
	Output   int64 // without thoughts
	Thoughts int64

	PromptAudio, PromptImage, PromptVideo int64 // parts of Prompt, cached ones included; the rest is text
	CachedAudio, CachedImage, CachedVideo int64 // parts of Cached, where that is known
	OutputAudio, OutputImage, OutputVideo int64 // parts of Output; the rest is text

	// Grounding is charged by the search or by the request that searched, as the row has
	// it. Google gives some away each day or month to a billing account, which nobody
	// here can see: every search counts, so what is worked out is never too low.
	Queries  int64 // searches
	Grounded int64 // requests that searched
	Maps     int64 // requests that asked Google Maps

	Images     int64  // drawn by a model that is paid by the image
	Seconds    int64  // of video
	Resolution string // of it, as 720p; only matters for Seconds
	Requests   int64  // answers; of most models they cost nothing by themselves

	Tier Tier
}

// Cost is what Google charges for an answer of a model at a time, in nano-USD. What
// there is no price for has an unknown cost, never none: known is false then.
func (p *Prices) Cost(model string, at time.Time, u Used) (nano int64, known bool) {
	row := p.Find(model, at)
	if row == nil {
		return 0, false
	}
	return row.Cost(u)
}

// Find returns the first row for a model and a time, or nil.
func (p *Prices) Find(model string, at time.Time) *Price {
	if p == nil {
		return nil
	}
	model, now := strings.TrimPrefix(model, "models/"), at.Unix()
	found := len(p.rows)
	for _, i := range p.exact[model] {
		if p.rows[i].holds(now) {
			found = i
			break
		}
	}
	for _, i := range p.globs {
		if i >= found {
			break
		}
		if p.rows[i].holds(now) && p.rows[i].fits(model) {
			found = i
		}
	}
	if found == len(p.rows) {
		return nil
	}
	return &p.rows[found]
}

// Rows are all rows, in order.
func (p *Prices) Rows() []Price {
	if p == nil {
		return nil
	}
	return slices.Clone(p.rows)
}

// index makes ready for Find: most tables name models, of which there are many, by
// their ids.
func (p *Prices) index() {
	p.exact = map[string][]int{}
	for i := range p.rows {
		glob := false
		for _, name := range p.rows[i].Models {
			if !p.rows[i].own() && strings.ContainsAny(name, "*?") {
				glob = true
			} else {
				p.exact[name] = append(p.exact[name], i)
			}
		}
		if glob {
			p.globs = append(p.globs, i)
		}
	}
}

// holds reports whether the row is for a time.
func (p *Price) holds(now int64) bool { return now >= p.from && now < p.until }

// fits reports whether one of the row's globs does.
func (p *Price) fits(model string) bool {
	for _, glob := range p.Models {
		if fits, _ := path.Match(glob, model); fits { // globs were checked by Load
			return true
		}
	}
	return false
}

// Span is the time that the row holds for; zero for no bound. until is exclusive.
func (p *Price) Span() (from, until time.Time) {
	if p.from != math.MinInt64 {
		from = time.Unix(p.from, 0).In(billing)
	}
	if p.until != math.MaxInt64 {
		until = time.Unix(p.until, 0).In(billing)
	}
	return from, until
}

// PerMillion is what a million tokens of text cost in the standard tier, in nano-USD;
// -1 where the row does not say. Beyond the row's bound for long prompts they cost more.
func (p *Price) PerMillion() (input, output int64) {
	r := &p.tiers[Standard].short
	return r.input[text], r.output[text]
}

// kind is what tokens are of.
type kind uint8

const (
	text kind = iota
	audio
	image
	video
	kindCount
)

// byKind has something for each kind of tokens: counts, or nano-USD for a million.
type byKind [kindCount]int64

// million is how many tokens rates are for.
const million = 1_000_000

// unknownPrice stands for a price that the row does not say.
const unknownPrice = -1

// rates are what a million tokens cost, in nano-USD: what one costs, times the factor
// of a tier, has more decimals.
type rates struct {
	input, cached, output byKind
	thinking              int64
}

// tierRates are the rates of a tier: for prompts up to Price.over, and beyond.
type tierRates struct{ short, long rates }

// Cost is what the row charges, in nano-USD; only the sum is rounded, halves up. It
// allocates nothing and cannot overflow: counts beyond those of an int32, which no answer has,
// are cut, those of other things than tokens beyond a million, and Load bounds the prices.
func (p *Price) Cost(u Used) (nano int64, known bool) {
	if u.Tier >= tierCount || p.tiers[u.Tier] == nil {
		return 0, false
	}
	r := &p.tiers[u.Tier].short
	if p.over > 0 && u.Prompt > p.over { // the whole request, not what is beyond
		r = &p.tiers[u.Tier].long
	}
	fresh := split(tokens(u.Prompt), u.PromptAudio, u.PromptImage, u.PromptVideo)
	cached := split(min(tokens(u.Cached), tokens(u.Prompt)), u.CachedAudio, u.CachedImage, u.CachedVideo).within(fresh)
	for k := range fresh {
		fresh[k] -= cached[k]
	}
	fresh[text] += tokens(u.ToolUse)
	b := bill{known: true}
	b.all(fresh, r.input)
	b.all(cached, r.cached)
	b.all(split(tokens(u.Output), u.OutputAudio, u.OutputImage, u.OutputVideo), r.output)
	b.add(tokens(u.Thoughts), r.thinking)
	if p.query != unknownPrice {
		b.units(u.Queries, p.query)
	} else {
		b.units(max(u.Grounded, min(u.Queries, 1)), p.grounded)
	}
	b.units(u.Maps, p.maps)
	b.units(u.Images, p.image)
	b.units(u.Requests, p.request)
	if u.Seconds > 0 {
		price, said := p.seconds[u.Resolution]
		if !said {
			price = unknownPrice
		}
		b.units(u.Seconds, price)
	}
	return b.total()
}

// bill adds up, until a price is missing. All sums that Load lets come about are below
// 2^74, which an int64 is too small for.
type bill struct {
	high, low uint64 // nano-USD, a million times
	known     bool
}

// add charges tokens by what a million of them costs.
func (b *bill) add(n, price int64) {
	if n == 0 {
		return
	}
	if price == unknownPrice {
		b.known = false
		return
	}
	high, low := bits.Mul64(uint64(n), uint64(price)) //nolint:gosec // both are 0 or more
	var carry uint64
	b.low, carry = bits.Add64(b.low, low, 0)
	b.high += high + carry
}

// units charges what costs up to a dollar each.
func (b *bill) units(n, price int64) {
	if price != unknownPrice {
		price *= million
	}
	b.add(min(max(n, 0), 1<<20), price)
}

// total is the sum in nano-USD.
func (b *bill) total() (nano int64, known bool) {
	if !b.known {
		return 0, false
	}
	low, carry := bits.Add64(b.low, million/2, 0)
	sum, _ := bits.Div64(b.high+carry, low, million)
	return int64(sum), true //nolint:gosec // far below 2^63
}

func (b *bill) all(n, prices byKind) {
	for k := range n {
		b.add(n[k], prices[k])
	}
}

// tokens bounds a count.
func tokens(n int64) int64 { return min(max(n, 0), math.MaxInt32) }

// split takes the parts out of a count of tokens.
func split(n, ofAudio, ofImage, ofVideo int64) (parts byKind) {
	for _, of := range [...]struct {
		k kind
		n int64
	}{{audio, ofAudio}, {image, ofImage}, {video, ofVideo}} {
		parts[of.k] = min(tokens(of.n), n)
		n -= parts[of.k]
	}
	parts[text] = n
	return parts
}

// within gives the cached tokens to kinds that the prompt has enough of. Google does
// not always say what was cached: then it was text as far as there is text, which
// is cheap by itself, so that no more is taken off than truly is.
func (cached byKind) within(prompt byKind) byKind {
	var rest int64
	for k := range cached {
		more := max(0, cached[k]-prompt[k])
		cached[k] -= more
		rest += more
	}
	for _, k := range [...]kind{text, image, video, audio} {
		more := min(rest, prompt[k]-cached[k])
		cached[k] += more
		rest -= more
	}
	return cached
}

//go:embed prices.json
var builtIn []byte

// BuiltInPrices is the table that this version was made with.
var BuiltInPrices = sync.OnceValue(func() *Prices {
	p, err := LoadPrices(builtIn)
	if err != nil {
		panic(err) // a test loads it
	}
	return p
})
