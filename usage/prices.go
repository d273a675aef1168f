// SPDX-License-Identifier: Apache-2.0

package usage

import (
	_ "embed"
	"math"
	"path"
	"strings"
	"sync"
	"time"
)

// Prices is a table of what Google charges: rows by model and date. It does not
// change, so any number of goroutines may ask it; nil knows no price.
type Prices struct{ rows []Price }

// Price is a row of [Prices].
type Price struct {
	Models []string // globs of model ids without "models/": * is any text, ? one character
	Source string   // who says so
	Date   string   // when the source was read, as 2026-10-07

	from, until int64 // Unix seconds, until exclusive
	over        int64 // prompt tokens beyond which the long rates hold; 0 = never
	tiers       [tierCount]*tierRates
	query       int64 // nano-USD for a query of grounding; unknownPrice
	grounded    int64 // nano-USD for a request with grounding, likewise
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

	// Queries and Grounded are those of grounding that are charged: Google gives some
	// away each day or month, which who counts them has to know.
	Queries  int64 // searches
	Grounded int64 // requests that searched

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
	for i := range p.rows {
		row := &p.rows[i]
		if now < row.from || now >= row.until {
			continue
		}
		for _, glob := range row.Models {
			if fits, _ := path.Match(glob, model); fits { // globs were checked by Load
				return row
			}
		}
	}
	return nil
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

// byKind has something for each kind of tokens: counts, or pico-USD for one.
type byKind [kindCount]int64

// unknownPrice stands for a price that the row does not say.
const unknownPrice = -1

// rates are what tokens cost, in pico-USD, so that half a nano-USD is exact.
type rates struct {
	input, cached, output byKind
	thinking              int64
}

// tierRates are the rates of a tier: for prompts up to Price.over, and beyond.
type tierRates struct{ short, long rates }

// Cost is what the row charges, in nano-USD; halves are rounded up. It allocates
// nothing and cannot overflow: counts beyond those of an int32, which no answer has,
// are cut, and Load bounds the prices.
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
	nano = (b.sum + 500) / 1000
	b.sum = 0
	b.add(tokens(u.Queries), p.query)
	b.add(tokens(u.Grounded), p.grounded)
	if !b.known {
		return 0, false
	}
	return nano + b.sum, true
}

// bill adds up, until a price is missing.
type bill struct {
	sum   int64
	known bool
}

func (b *bill) add(n, price int64) {
	if n == 0 {
		return
	}
	b.known = b.known && price != unknownPrice
	b.sum += n * price
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
