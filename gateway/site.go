// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"slices"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/fetch"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// site is what holds for the requests of one site at one time: what its own
// configuration says, else the settings. It never changes; a request keeps the one
// that it began with.
type site struct {
	set    *settings.Values
	stored *[]settings.Alias
	models *map[string]settings.Model // what is set for single ones; nil = nothing

	maxRequestSize int64
	heartbeat      time.Duration // < 0 = never
	reasoning      string        // see openai.Options
	fetches        bool          // media that requests name by URL
	queryKey       bool          // user keys in URLs are taken
	affinity       bool
	timeouts       Timeouts
	aliases        *aliasTable
	prices         *usage.Prices
	defaults       bool // some model or alias has something for requests that do not say it
}

// site returns what holds now: three atomic loads while nothing changes.
func (g *Gateway) site() *site {
	set := g.Settings.Current()
	stored, models := g.aliasesNow(), g.modelsNow()
	if s := g.sites.Load(); s != nil && s.set == set && s.stored == stored && s.models == models {
		return s
	}
	s := g.newSite(set, stored, models)
	g.sites.Store(s) // of several who notice at once any may win: all are right
	return s
}

// site is the one that the request began with. Exchanges that are made inside of
// one begin with their first question.
func (x *exchange) site() *site {
	if x.settings == nil {
		x.settings = x.g.site()
	}
	return x.settings
}

// fetcher downloads what the request names by URL; nil where that is refused.
func (x *exchange) fetcher() *fetch.Fetcher {
	if !x.site().fetches {
		return nil
	}
	return x.g.Fetch
}

func (g *Gateway) aliasesNow() *[]settings.Alias {
	if g.Named == nil {
		return nil
	}
	list, _ := g.Named.Current()
	return list
}

func (g *Gateway) modelsNow() *map[string]settings.Model {
	if g.PerModel == nil {
		return nil
	}
	return g.PerModel.Current()
}

func (g *Gateway) newSite(set *settings.Values, stored *[]settings.Alias, models *map[string]settings.Model) *site {
	s := &site{
		set: set, stored: stored, models: models,
		maxRequestSize: first(g.MaxRequestSize, set.MaxRequestSize),
		heartbeat:      first(g.Heartbeat, set.Heartbeat),
		reasoning:      first(g.Reasoning, set.Reasoning),
		fetches:        set.FetchImages,
		queryKey:       set.QueryKey,
		affinity:       set.Affinity != settings.AffinityOff,
		timeouts: Timeouts{
			FirstOutput: first(g.Timeouts.FirstOutput, set.Timeouts.FirstOutput),
			Idle:        first(g.Timeouts.Idle, set.Timeouts.Idle),
			Total:       first(g.Timeouts.Total, set.Timeouts.Total),
		},
	}
	if s.heartbeat == 0 {
		s.heartbeat = -1
	}
	if s.reasoning == settings.ReasoningAuto {
		s.reasoning = ""
	}
	if g.FetchImages != nil {
		s.fetches = *g.FetchImages
	}
	if g.QueryKey != nil {
		s.queryKey = *g.QueryKey
	}
	s.aliases = newAliasTable(g.Aliases, stored, s.offers)
	s.defaults = slices.ContainsFunc(s.aliases.entries, func(a settings.Alias) bool { return a.Search || a.ThinkingBudget != nil })
	s.prices = g.Prices
	if models != nil {
		s.prices = OwnPrices(g.Prices, *models)
		for _, m := range *models {
			s.defaults = s.defaults || m.ThinkingBudget != nil || m.Safety != ""
		}
	}
	return s
}

// OwnPrices is a table of prices with those that are set for single models.
func OwnPrices(table *usage.Prices, models map[string]settings.Model) *usage.Prices {
	own := map[string]usage.OwnPrice{}
	for id, m := range models {
		if p := m.Price; p != nil {
			price := usage.OwnPrice{Input: p.Input, Cached: -1, Output: p.Output}
			if p.Cached != nil {
				price.Cached = *p.Cached
			}
			own[id] = price
		}
	}
	return table.With(own)
}

// first is the first of two values that says something.
func first[T comparable](own, all T) T {
	var nothing T
	if own != nothing {
		return own
	}
	return all
}

// model is what is set for a Gemini model.
func (s *site) model(id string) settings.Model {
	if s.models == nil {
		return settings.Model{}
	}
	return (*s.models)[id]
}

// offers reports whether a Gemini model is offered to users.
func (s *site) offers(model string) bool { return !s.model(model).Hidden }

// wanted are what the operator wants of requests for a model that say nothing
// themselves; what an alias has goes first.
func (s *site) wanted(name, model string) translate.Defaults {
	m := s.model(model)
	d := translate.Defaults{Thinking: m.ThinkingBudget, Safety: openai.SafetySettings(m.Safety)}
	if a := s.aliases.find(name); a != nil {
		if d.Search = a.Search; a.ThinkingBudget != nil {
			d.Thinking = a.ThinkingBudget
		}
	}
	return d
}

// firstOutput is how long the present model may take for its first output.
func (x *exchange) firstOutput() time.Duration {
	s := x.site()
	if x.call != nil && s.models != nil {
		return first(s.model(x.call.Model).FirstOutput, s.timeouts.FirstOutput)
	}
	return s.timeouts.FirstOutput
}

// aliasTable finds aliases: those of the configuration, then those set at run time,
// the first that fits.
type aliasTable struct {
	entries  []settings.Alias
	exact    map[string]int // name → index of entries, of those that are no patterns
	patterns []int          // indices of entries
	listed   []openai.Alias // one for each target of those that lists of models have
}

// newAliasTable leaves out what targets are not offered: the next target serves.
func newAliasTable(own []settings.Alias, stored *[]settings.Alias, offers func(model string) bool) *aliasTable {
	t := &aliasTable{exact: make(map[string]int, len(own))}
	for _, a := range own {
		t.add(a, offers)
	}
	if stored != nil {
		for _, a := range *stored {
			t.add(a, offers)
		}
	}
	return t
}

func (t *aliasTable) add(a settings.Alias, offers func(model string) bool) {
	if t.find(a.Name) != nil && !a.Pattern() {
		return // one before it takes the name
	}
	var targets []string
	for _, target := range a.Targets {
		if offers(target) {
			targets = append(targets, target)
		}
	}
	if targets != nil {
		a.Targets = targets
	} else {
		a.Hidden = true // asking for it is refused as asking for its target
	}
	if a.Pattern() {
		t.patterns = append(t.patterns, len(t.entries))
	} else {
		t.exact[a.Name] = len(t.entries)
	}
	t.entries = append(t.entries, a)
	if a.Listed() {
		for _, target := range a.Targets {
			t.listed = append(t.listed, openai.Alias{ID: a.Name, Target: target})
		}
	}
}

// find returns the first alias that fits a name, nil for none.
func (t *aliasTable) find(name string) *settings.Alias {
	at, found := t.exact[name]
	for _, i := range t.patterns {
		if found && at < i {
			break
		}
		if t.entries[i].Match(name) {
			return &t.entries[i]
		}
	}
	if !found {
		return nil
	}
	return &t.entries[at]
}

// names are those that lists of models have.
func (t *aliasTable) names() (names []string) {
	for i := range t.entries {
		if t.entries[i].Listed() {
			names = append(names, t.entries[i].Name)
		}
	}
	return names
}
