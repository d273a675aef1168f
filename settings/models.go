// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Model is what an operator has set for a Gemini model; the zero value is nothing.
// Thinking and safety are for requests that say nothing of it themselves. What came in
// Google's own dialect is passed on as it is.
type Model struct {
	Hidden         bool          `json:"hidden,omitempty"`          // not offered: left out of lists, and refused as if it did not exist
	ThinkingBudget *int64        `json:"thinking_budget,omitempty"` // see [Alias]
	Safety         string        `json:"safety,omitempty"`          // one of [Safeties]; "" = as the site says
	FirstOutput    time.Duration `json:"first_output,omitempty"`    // the longest wait for the first output; 0 = timeouts.first_output
	Price          *Price        `json:"price,omitempty"`           // what Google charges the operator; nil = as the table of prices says
	Free           *Quota        `json:"free,omitempty"`            // of projects without billing; nil = learned
	Paid           *Quota        `json:"paid,omitempty"`            // of projects with it
}

// Price is for a million tokens, in nano-USD.
type Price struct {
	Input  int64  `json:"input"`
	Cached *int64 `json:"cached,omitempty"` // part of the input that Google had cached; nil = as Input
	Output int64  `json:"output"`           // thoughts included
}

// Quota is what Google lets a project use of a model; 0 = not said.
type Quota struct {
	RPM int64 `json:"rpm,omitempty"` // requests a minute
	TPM int64 `json:"tpm,omitempty"` // input tokens a minute
	RPD int64 `json:"rpd,omitempty"` // requests a Pacific day
}

// Safeties are the words of [Model.Safety], from least to most filtered.
func Safeties() []string {
	return []string{"off", "block_none", "block_only_high", "block_medium_and_above", "block_low_and_above"}
}

// Bounds of what can be set for a model.
const (
	MaxThinkingBudget = int64(1_000_000)         // tokens; what a model takes less of is cut to that
	MaxPrice          = int64(1_000_000_000_000) // nano-USD for a million tokens: 1,000 dollars
	maxModels         = 5000                     // Google has some sixty
)

// check says what is wrong, with fields as the admin API calls them.
func (m *Model) check() (faults []Fault) {
	wrong := func(field, message string) { faults = append(faults, Fault{field, "invalid_value", message}) }
	if !thinkable(m.ThinkingBudget) {
		wrong("thinking_budget", wantThinking)
	}
	if m.Safety != "" && !slices.Contains(Safeties(), m.Safety) {
		wrong("safety", "must be off, block_none, block_only_high, block_medium_and_above or block_low_and_above")
	}
	if least, most := byName["timeouts.first_output"].Min.(time.Duration), byName["timeouts.first_output"].Max.(time.Duration); m.FirstOutput != 0 && (m.FirstOutput < least || m.FirstOutput > most) {
		wrong("first_output_ms", "must be from 100 to 86400000 milliseconds")
	}
	if p := m.Price; p != nil {
		price := func(field string, nano int64) {
			if nano < 0 || nano > MaxPrice {
				wrong("own_price."+field, "must be from 0 to 1,000 dollars, in nano-USD for a million tokens")
			}
		}
		price("input_nano_per_mtok", p.Input)
		price("output_nano_per_mtok", p.Output)
		if p.Cached != nil {
			price("cached_nano_per_mtok", *p.Cached)
		}
	}
	m.Free.check("limits.free.", wrong)
	m.Paid.check("limits.paid.", wrong)
	return faults
}

func (q *Quota) check(prefix string, wrong func(field, message string)) {
	if q == nil {
		return
	}
	for _, window := range []struct {
		name  string
		value int64
	}{{"rpm", q.RPM}, {"tpm", q.TPM}, {"rpd", q.RPD}} {
		if window.value < 0 || window.value > mostCount {
			wrong(prefix+window.name, "must be a whole number above 0, or null where nothing is known")
		}
	}
}

const wantThinking = "must be from -1 to 1000000 tokens: 0 for as few as the model can do with, -1 for as many as it likes"

// thinkable reports whether a budget can be one.
func thinkable(budget *int64) bool {
	return budget == nil || *budget >= -1 && *budget <= MaxThinkingBudget
}

// PerModel is what an operator has set for single models. Safe for concurrent use.
// Use [OpenPerModel].
type PerModel struct {
	doc document[map[string]Model]

	mu    sync.Mutex // held while watchers are told
	tells []func(map[string]Model)
}

// OpenPerModel reads what was set.
func OpenPerModel(s store.Store) (*PerModel, error) {
	p := &PerModel{doc: document[map[string]Model]{store: s, key: "settings/models"}}
	return p, p.doc.load()
}

// Current returns what is set by model, which must not be changed; the same address
// means that nothing changed.
func (p *PerModel) Current() *map[string]Model { return &p.doc.now.Load().value }

// Of returns what is set for a model.
func (p *PerModel) Of(model string) Model { return (*p.Current())[model] }

// Watch has tell called with what is set, now and after every change, one call at a
// time, before the change is acknowledged. tell must not change anything here.
func (p *PerModel) Watch(tell func(map[string]Model)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tells = append(p.tells, tell)
	tell(*p.Current())
}

// Update changes what is set for a model, on disk before it returns. change may be
// called several times; what it points to must be replaced, not written to. It returns
// an [*InvalidError] with the fields as the admin API calls them.
func (p *PerModel) Update(model string, change func(*Model)) error {
	if model == "" || !plain(model) {
		return &InvalidError{[]Fault{{"id", "invalid_value", "is no id of a Gemini model, such as gemini-flash-latest"}}}
	}
	err := p.doc.replace("", func(old map[string]Model) (map[string]Model, error) {
		set := maps.Clone(old)
		if set == nil {
			set = map[string]Model{}
		}
		m := set[model]
		if change(&m); m == (Model{}) {
			delete(set, model)
			return set, nil
		}
		if faults := m.check(); len(faults) > 0 {
			return nil, &InvalidError{faults}
		}
		if set[model] = m; len(set) > maxModels {
			return nil, &InvalidError{[]Fault{{"id", "invalid_value", "is one more than there can be; take back what is set for models that are gone"}}}
		}
		return set, nil
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, tell := range p.tells {
		tell(*p.Current())
	}
	return nil
}

// Refresh reads what was stored by others, such as a restore.
func (p *PerModel) Refresh() error { return p.doc.load() }
