// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// priceUnit is what a table must say of its numbers: who copies prices of a million
// tokens shall notice.
const priceUnit = "nano-USD per token"

// maxPrice bounds a price: $1,000 for a million tokens, in nano-USD.
const maxPrice = 1_000_000_000_000

// maxUnit bounds the price of a search, an image and the like: $1, in nano-USD.
const maxUnit = 1_000_000_000

// billing is the time zone that days of prices are in: Google bills by those of
// California. What one hour of summer time would change is below what is known of
// the moment when Google changes a price.
var billing = time.FixedZone("PST", -8*60*60)

// LoadPrices reads a table:
//
//	{"unit": "nano-USD per token", "prices": [{
//		"models": ["gemini-2.5-pro"],                  globs; * any text, ? one character
//		"source": "https://…", "date": "2026-10-07",   who says so, and when that was read
//		"from": "2026-01-01", "until": "2026-12-31",   first and last day; left out: no bound
//		"input": 1250, "cached": 125, "output": 10000, "thinking": 10000,
//		"over": 200000, "long": {"input": 2500, …},    beyond so many prompt tokens
//		"batch": 0.5, "flex": 0.5, "priority": 1.8,    factors of the other tiers
//		"grounding_query": 14000000, "grounding_request": 35000000, "grounding_maps": 25000000,
//		"image": 40000000, "request": 80000000,        nano-USD for an image, and for an answer as such
//		"second": {"720p": 400000000, "4k": 600000000} nano-USD for a second of video
//	}]}
//
// Prices are whole numbers of nano-USD for a token: dollars for a million tokens times
// 1,000. Those of input, cached and output are one for all kinds of tokens, or
// {"text": …, "audio": …, "image": …, "video": …}, where what is left out costs as
// text does. Thinking costs as text output does where nothing else is said. Grounding
// is charged by the query where grounding_query is there, else by the request. What has
// no price is unknown, never free; free is 0. input may be left out of a row that has
// image or second; answers that report tokens cost an unknown sum then. Of several rows that fit a model and a day the
// first one counts. The error names row and field.
func LoadPrices(data []byte) (*Prices, error) {
	var unit string
	var rows []json.RawMessage
	err := fields{
		"unit":   into(&unit, "a text"),
		"prices": into(&rows, "a list"),
	}.read(data)
	switch {
	case err != nil:
		return nil, fmt.Errorf("prices: the table's %w", err)
	case unit != priceUnit:
		return nil, fmt.Errorf("prices: unit is %q, want %q", unit, priceUnit)
	case len(rows) == 0:
		return nil, errors.New("prices: prices has no row")
	}
	p := &Prices{rows: make([]Price, len(rows))}
	for i, raw := range rows {
		if err := p.rows[i].load(raw); err != nil {
			return nil, fmt.Errorf("prices: row %d%s: %w", i+1, p.rows[i].called(), err)
		}
		for j := range p.rows[:i] {
			if glob := p.rows[i].hidden(&p.rows[j]); glob != "" {
				return nil, fmt.Errorf("prices: row %d%s: models has %q, and so has row %d for some of the same days", i+1, p.rows[i].called(), glob, j+1)
			}
		}
	}
	p.index()
	return p, nil
}

// called is how errors know a row, beside its number.
func (p *Price) called() string {
	if len(p.Models) == 0 || p.Models[0] == "" {
		return ""
	}
	return " (" + p.Models[0] + ")"
}

// hidden returns a glob of the row that an earlier one has for some of its days.
func (p *Price) hidden(earlier *Price) string {
	if p.until <= earlier.from || p.from >= earlier.until {
		return ""
	}
	for _, glob := range p.Models {
		if slices.Contains(earlier.Models, glob) {
			return glob
		}
	}
	return ""
}

// load reads a row.
func (p *Price) load(raw []byte) error {
	*p = Price{
		from: math.MinInt64, until: math.MaxInt64,
		query: unknownPrice, grounded: unknownPrice, maps: unknownPrice, image: unknownPrice,
	}
	var read time.Time
	factors := [tierCount]int64{Standard: 1000}
	short, long := noRates(), noRates()
	var hasLong bool
	row := short.fields()
	row["models"] = p.globs
	row["source"] = into(&p.Source, "a text")
	row["date"] = day(&read)
	row["from"] = func(raw []byte) error { return bound(&p.from, raw, 0) }
	row["until"] = func(raw []byte) error { return bound(&p.until, raw, 1) }
	row["over"] = amount(&p.over, math.MaxInt32)
	row["long"] = func(raw []byte) error { hasLong = true; return long.fields().read(raw) }
	row["batch"], row["flex"], row["priority"] = factor(&factors[Batch]), factor(&factors[Flex]), factor(&factors[Priority])
	row["grounding_query"] = amount(&p.query, maxUnit)
	row["grounding_request"] = amount(&p.grounded, maxUnit)
	row["grounding_maps"] = amount(&p.maps, maxUnit)
	row["image"], row["request"] = amount(&p.image, maxUnit), amount(&p.request, maxUnit)
	row["second"] = p.bySecond
	if err := row.read(raw); err != nil {
		return err
	}
	switch {
	case len(p.Models) == 0:
		return errors.New("models is missing")
	case p.Source == "":
		return errors.New("source is missing")
	case read.IsZero():
		return errors.New("date is missing")
	case p.from >= p.until:
		return errors.New("until is before from")
	case short.input[text] == unknownPrice && p.image == unknownPrice && len(p.seconds) == 0:
		return errors.New("input is missing")
	case hasLong != (p.over > 0):
		return errors.New("over and long go together")
	case hasLong && long.input[text] == unknownPrice:
		return errors.New("long: input is missing")
	}
	p.Date = read.Format(time.DateOnly)
	p.Label = p.Source + " " + p.Date + " " + p.Models[0]
	for tier, thousandths := range factors {
		if thousandths > 0 {
			r := &tierRates{short.times(thousandths), long.times(thousandths)}
			if most := max(r.short.most(), r.long.most()); most > maxPrice {
				return fmt.Errorf("%s makes a token cost more than %d nano-USD", [tierCount]string{Batch: "batch", Flex: "flex", Priority: "priority"}[tier], maxPrice/million)
			}
			p.tiers[tier] = r
		}
	}
	return nil
}

// bySecond reads the prices of a second of video.
func (p *Price) bySecond(raw []byte) error {
	prices := map[string]int64{}
	all := fields{}
	for _, resolution := range [...]string{"720p", "1080p", "4k"} {
		all[resolution] = func(raw []byte) error {
			var price int64
			err := amount(&price, maxUnit)(raw)
			prices[resolution] = price
			return err
		}
	}
	err := all.read(raw)
	p.seconds = prices
	return err
}

func (p *Price) globs(raw []byte) error {
	if err := into(&p.Models, "a list of texts")(raw); err != nil {
		return err
	}
	for _, glob := range p.Models {
		if _, err := path.Match(glob, ""); err != nil || glob == "" || strings.ContainsAny(glob, `[]\/`) {
			return fmt.Errorf(`has %q, want model ids, in which only * and ? have a meaning`, glob)
		}
	}
	return nil
}

// noRates are rates nothing is known of.
func noRates() rates {
	none := byKind{unknownPrice, unknownPrice, unknownPrice, unknownPrice}
	return rates{none, none, none, unknownPrice}
}

// fields reads rates, in nano-USD.
func (r *rates) fields() fields {
	return fields{
		"input":    kinds(&r.input),
		"cached":   kinds(&r.cached),
		"output":   kinds(&r.output),
		"thinking": amount(&r.thinking, maxPrice/million),
	}
}

// times turns rates in nano-USD for one token into those of a tier for a million.
func (r *rates) times(thousandths int64) rates {
	scaled := *r
	if scaled.thinking == unknownPrice {
		scaled.thinking = scaled.output[text]
	}
	for _, price := range scaled.each() {
		if *price != unknownPrice {
			*price *= thousandths * (million / 1000)
		}
	}
	return scaled
}

// most is the largest of the rates.
func (r *rates) most() (most int64) {
	for _, price := range r.each() {
		most = max(most, *price)
	}
	return most
}

func (r *rates) each() []*int64 {
	all := []*int64{&r.thinking}
	for k := range r.input {
		all = append(all, &r.input[k], &r.cached[k], &r.output[k])
	}
	return all
}

// fields reads the members of an object.
type fields map[string]func(raw []byte) error

// fieldError says what is wrong with a field.
type fieldError struct{ path, fault string }

// Error implements error.
func (e *fieldError) Error() string { return e.path + " " + e.fault }

// at puts the name of a field before an error.
func at(name string, err error) error {
	if inner, ok := errors.AsType[*fieldError](err); ok {
		return &fieldError{name + "." + inner.path, inner.fault}
	}
	return &fieldError{name, err.Error()}
}

// read reads an object. Its errors are of one of its fields or begin with a verb.
func (f fields) read(data []byte) error {
	if err := wrong(json.Unmarshal(data, &struct{}{}), "an object"); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	_, _ = d.Token() // {
	seen := map[string]bool{}
	for d.More() {
		key, _ := d.Token() // the whole is valid
		name, _ := key.(string)
		var raw json.RawMessage
		_ = d.Decode(&raw)
		read, known := f[name]
		switch {
		case !known:
			return &fieldError{name, "is unknown"}
		case seen[name]:
			return &fieldError{name, "is there twice"}
		}
		seen[name] = true
		if err := read(raw); err != nil {
			return at(name, err)
		}
	}
	return nil
}

// wrong words why something cannot be read; nil stays nil.
func wrong(err error, want string) error {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("is no JSON at byte %d: %w", e.Offset, e)
	}
	if err != nil {
		return errors.New("is not " + want)
	}
	return nil
}

// into reads a value that JSON has a word for.
func into[T any](value *T, want string) func([]byte) error {
	return func(raw []byte) error {
		if string(raw) == "null" {
			return errors.New("is null, want " + want)
		}
		return wrong(json.Unmarshal(raw, value), want)
	}
}

// amount reads a whole number.
func amount(value *int64, most int64) func([]byte) error {
	return func(raw []byte) error {
		n, err := strconv.ParseUint(string(raw), 10, 63)
		if err != nil || int64(n) > most { //nolint:gosec // 63 bits
			return fmt.Errorf("is %s, want a whole number from 0 to %d", raw, most)
		}
		*value = int64(n) //nolint:gosec // 63 bits
		return nil
	}
}

// kinds reads one price for all kinds of tokens, or one for each.
func kinds(prices *byKind) func([]byte) error {
	return func(raw []byte) error {
		if len(raw) == 0 || raw[0] != '{' {
			var one int64
			if err := amount(&one, maxPrice/million)(raw); err != nil {
				return err
			}
			*prices = byKind{one, one, one, one}
			return nil
		}
		read := func(k kind) func([]byte) error { return amount(&prices[k], maxPrice/million) }
		err := fields{"text": read(text), "audio": read(audio), "image": read(image), "video": read(video)}.read(raw)
		if err != nil {
			return err
		}
		if prices[text] == unknownPrice {
			return errors.New("has no text")
		}
		for k := range prices {
			if prices[k] == unknownPrice {
				prices[k] = prices[text]
			}
		}
		return nil
	}
}

// factor reads a number with up to three decimals, in thousandths.
func factor(value *int64) func([]byte) error {
	return func(raw []byte) error {
		whole, decimals, _ := strings.Cut(string(raw), ".")
		n, err := strconv.ParseUint(whole+(decimals + "000")[:max(3, len(decimals))], 10, 32)
		if err != nil || len(decimals) > 3 || n == 0 || n > 100_000 {
			return fmt.Errorf("is %s, want a factor such as 0.5 or 1.8, with three decimals at most", raw)
		}
		*value = int64(n) //nolint:gosec // 32 bits
		return nil
	}
}

// day reads a day.
func day(value *time.Time) func([]byte) error {
	return func(raw []byte) (err error) {
		if *value, err = time.ParseInLocation(`"`+time.DateOnly+`"`, string(raw), billing); err != nil {
			return fmt.Errorf("is %s, want a day such as \"2026-10-07\"", raw)
		}
		return nil
	}
}

// bound reads a day as the second that it begins with, so many days later.
func bound(value *int64, raw []byte, later int) error {
	var t time.Time
	err := day(&t)(raw)
	*value = t.AddDate(0, 0, later).Unix()
	return err
}
