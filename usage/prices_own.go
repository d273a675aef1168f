// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// OwnSource is the source of rows with an operator's own prices.
const OwnSource = "own"

// OwnPrice is what an operator pays for tokens of a model, in nano-USD for a million,
// whatever the tokens are of. Thoughts are output.
type OwnPrice struct {
	Input  int64
	Cached int64 // -1 for as much as Input
	Output int64
}

// Check reports which field, as the admin API has it, is out of bounds and what is
// wanted of it; "" where all are right.
func (o OwnPrice) Check() (field, message string) {
	for _, f := range [...]struct {
		name         string
		price, least int64
	}{
		{"input_nano_per_mtok", o.Input, 0},
		{"cached_nano_per_mtok", o.Cached, unknownPrice},
		{"output_nano_per_mtok", o.Output, 0},
	} {
		if f.price < f.least || f.price > maxPrice {
			return f.name, fmt.Sprintf("want nano-USD for a million tokens, from 0 to %d", int64(maxPrice))
		}
	}
	return "", ""
}

// With returns a table in which some models, by their exact ids without "models/",
// have an operator's own prices: for tokens of all kinds, in all tiers, however long the
// prompt is. What is not paid by the token costs what p says of the model at the time,
// and has no price where p says nothing. p stays as it is. Prices that Check refuses
// are left out.
func (p *Prices) With(own map[string]OwnPrice) *Prices {
	var all []Price
	for _, model := range slices.Sorted(maps.Keys(own)) {
		price := own[model]
		if field, _ := price.Check(); field != "" {
			continue
		}
		if p != nil {
			for i := range p.rows {
				if p.rows[i].fits(model) {
					all = append(all, p.rows[i].at(model, price))
				}
			}
		}
		bare := Price{
			from: math.MinInt64, until: math.MaxInt64,
			query: unknownPrice, grounded: unknownPrice, maps: unknownPrice, image: unknownPrice,
		}
		all = append(all, bare.at(model, price))
	}
	if len(all) == 0 {
		return p
	}
	if p != nil {
		all = append(all, p.rows...)
	}
	with := &Prices{rows: all}
	with.index()
	return with
}

// at is the row for one model, with an operator's prices of tokens.
func (p *Price) at(model string, price OwnPrice) Price {
	cached := price.Cached
	if cached == unknownPrice {
		cached = price.Input
	}
	all := func(price int64) byKind { return byKind{price, price, price, price} }
	r := rates{all(price.Input), all(cached), all(price.Output), price.Output}
	own := *p
	own.Models, own.Source, own.Date, own.Label = []string{model}, OwnSource, "", OwnSource+" "+model
	own.over = 0
	for tier := range own.tiers {
		own.tiers[tier] = &tierRates{short: r, long: r}
	}
	return own
}

// own reports whether the row has an operator's prices.
func (p *Price) own() bool { return p.Source == OwnSource && p.Date == "" } // Load wants a date

// Charged returns the row that an answer is charged by: that of the version that made
// it, as the answer says, or else that of the model which was asked for. An operator's
// own price of either goes before what the table says of the other.
func (p *Prices) Charged(version, model string, at time.Time) *Price {
	row, asked := p.Find(version, at), p.Find(model, at)
	if row == nil || asked != nil && asked.own() && !row.own() {
		return asked
	}
	return row
}
