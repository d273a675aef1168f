// SPDX-License-Identifier: Apache-2.0

package capability

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// maxEntries is how many entries a table may have: each request looks at all of
// them.
const maxEntries = 1000

// maxCandidates is Google's own limit of candidateCount.
const maxCandidates = 8

// Parse reads a table of [Table]. It is strict: an error names
// the place of whatever it does not know, so that nothing is overlooked silently.
func Parse(doc []byte) (*Table, error) {
	root, err := rawjson.Parse(doc)
	if err != nil {
		return nil, fmt.Errorf("no valid JSON: %w", err)
	}
	p := tableParser{}
	models := rawjson.Value(nil)
	p.object(root, "", func(name string, v rawjson.Value, path string) {
		switch name {
		case "note":
			p.is(v, rawjson.String, path)
		case "models":
			models = v
		default:
			p.fail(path, "is unknown; a table has models and note")
		}
	})
	c := &Table{}
	if p.is(models, rawjson.Array, "models") {
		for i, v := range models.Elems() {
			if i >= maxEntries {
				p.fail("models", "has more than %d entries", maxEntries)
				break
			}
			c.own = append(c.own, p.entry(v, fmt.Sprintf("models[%d]", i)))
		}
	}
	if p.err != nil {
		return nil, p.err
	}
	return c, nil
}

// tableParser keeps the first fault.
type tableParser struct{ err error }

func (p *tableParser) fail(path, format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%s "+format, append([]any{path}, args...)...)
	}
}

func (p *tableParser) is(v rawjson.Value, kind rawjson.Kind, path string) bool {
	if v.Kind() != kind {
		p.fail(path, "is %s, want %s", v.Kind(), kind)
	}
	return v.Kind() == kind
}

// object calls do for each member, none twice.
func (p *tableParser) object(v rawjson.Value, path string, do func(name string, v rawjson.Value, path string)) {
	if path == "" && v.Kind() != rawjson.Object {
		p.fail("the table", "is %s, want %s", v.Kind(), rawjson.Object)
		return
	}
	if !p.is(v, rawjson.Object, path) {
		return
	}
	seen := map[string]bool{}
	for k, m := range v.Members() {
		name := k.Text()
		at := name
		if path != "" {
			at = path + "." + name
		}
		if seen[name] {
			p.fail(at, "is given twice")
		}
		seen[name] = true
		do(name, m, at)
	}
}

// entry reads one element of models.
func (p *tableParser) entry(v rawjson.Value, path string) (e tableEntry) {
	thinks := ""
	p.object(v, path, func(name string, v rawjson.Value, path string) {
		switch name {
		case "match":
			e.match = p.glob(v, path)
		case "note":
			p.is(v, rawjson.String, path)
		case "candidates":
			e.candidates = p.number(v, 1, maxCandidates, path)
		case "output_limit":
			e.outputLimit = p.number(v, 0, math.MaxInt32, path)
		case "thinking_budget", "thinking_levels":
			if thinks != "" {
				p.fail(path, "stands beside %s; a model has one of them", thinks)
			}
			if thinks = name; name == "thinking_budget" {
				e.reasoning = p.budget(v, path)
			} else {
				e.reasoning = p.levels(v, path)
			}
		default:
			t, ok := traitNames[name]
			if !ok {
				p.fail(path, "is unknown; known are match, note, %s, candidates, output_limit, thinking_budget and thinking_levels",
					strings.Join(slices.Sorted(maps.Keys(traitNames)), ", "))
			} else if p.is(v, rawjson.Bool, path) {
				e.says |= t
				if v.IsTrue() {
					e.traits |= t
				}
			}
		}
	})
	if e.match == nil {
		p.fail(path+".match", "is missing; want a model id such as gemini-4-*")
	}
	return e
}

func (p *tableParser) glob(v rawjson.Value, path string) glob {
	if !p.is(v, rawjson.String, path) {
		return glob{}
	}
	pattern := v.Text()
	if plain := strings.ReplaceAll(pattern, "*", "x"); !gemini.ValidModelID(plain) {
		p.fail(path, "is %.80q, want a model id such as gemini-4-*", pattern)
	}
	return newGlob(pattern)
}

func (p *tableParser) number(v rawjson.Value, low, high int64, path string) *int64 {
	n, ok := v.Int()
	if !ok || v.Kind() != rawjson.Number || n < low || n > high {
		p.fail(path, "must be a whole number from %d to %d", low, high)
	}
	return &n
}

func (p *tableParser) budget(v rawjson.Value, path string) *Reasoning {
	r := &Reasoning{Thinking: ByBudget}
	p.object(v, path, func(name string, v rawjson.Value, path string) {
		switch name {
		case "min":
			r.MinBudget = *p.number(v, 1, math.MaxInt32, path)
		case "max":
			r.MaxBudget = *p.number(v, 1, math.MaxInt32, path)
		case "off":
			if p.is(v, rawjson.Bool, path) {
				r.Off = v.IsTrue()
			}
		default:
			p.fail(path, "is unknown; known are min, max and off")
		}
	})
	if r.MinBudget == 0 || r.MaxBudget < r.MinBudget {
		p.fail(path, "must have min and max, tokens of which max is not the smaller")
	}
	return r
}

func (p *tableParser) levels(v rawjson.Value, path string) *Reasoning {
	r := &Reasoning{}
	if !p.is(v, rawjson.Array, path) {
		return r
	}
	last := -1
	for i, e := range v.Elems() {
		at := slices.Index(thinkingLevels, e.Text())
		if at <= last {
			p.fail(fmt.Sprintf("%s[%d]", path, i), "must be one of %s, from least to most", strings.Join(thinkingLevels, ", "))
		}
		last = at
		r.Thinking, r.Levels = ByLevel, append(r.Levels, e.Text())
	}
	return r
}
