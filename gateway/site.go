// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/fetch"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
)

// site is what holds for the requests of one site at one time: what its own
// configuration says, else the settings. It never changes; a request keeps the one
// that it began with.
type site struct {
	set    *settings.Values
	stored *[]settings.Alias
	hidden *map[string]bool // models that are not offered; nil = none

	maxRequestSize int64
	heartbeat      time.Duration // < 0 = never
	reasoning      string        // see openai.Options
	fetches        bool          // media that requests name by URL
	queryKey       bool          // user keys in URLs are taken
	affinity       bool
	timeouts       Timeouts
	aliases        *aliasTable
}

// site returns what holds now: three atomic loads while nothing changes.
func (g *Gateway) site() *site {
	set := g.Settings.Current()
	stored, hidden := g.aliasesNow(), g.hiddenNow()
	if s := g.sites.Load(); s != nil && s.set == set && s.stored == stored && s.hidden == hidden {
		return s
	}
	s := g.newSite(set, stored, hidden)
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

func (g *Gateway) hiddenNow() *map[string]bool {
	if g.Hidden == nil {
		return nil
	}
	return g.Hidden.Current()
}

func (g *Gateway) newSite(set *settings.Values, stored *[]settings.Alias, hidden *map[string]bool) *site {
	s := &site{
		set: set, stored: stored, hidden: hidden,
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
	return s
}

// first is the first of two values that says something.
func first[T comparable](own, all T) T {
	var nothing T
	if own != nothing {
		return own
	}
	return all
}

// offers reports whether a Gemini model is offered to users.
func (s *site) offers(model string) bool { return s.hidden == nil || !(*s.hidden)[model] }

// aliasTable finds aliases: those of the configuration, then those set at run time,
// the first that fits.
type aliasTable struct {
	entries  []settings.Alias
	exact    map[string]int // name → index of entries, of those that are no patterns
	patterns []int          // indices of entries
	listed   []openai.Alias // one for each target of those that lists of models have
}

// newAliasTable leaves out what targets are not offered: the next target serves.
func newAliasTable(own []Alias, stored *[]settings.Alias, offers func(model string) bool) *aliasTable {
	t := &aliasTable{exact: make(map[string]int, len(own))}
	for _, a := range own {
		t.add(settings.Alias{Name: a.Name, Targets: a.Targets}, offers)
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
