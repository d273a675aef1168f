// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"sync"
	"sync/atomic"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// maxModels bounds the model labels of metrics.
const maxModels = 200

// modelNames are the models that exist as far as we know: those of the
// configuration and those that Google answered for. Clients may ask for any name,
// so others get no label of their own. The zero value is ready. Safe for
// concurrent use.
type modelNames struct {
	known atomic.Pointer[map[string]bool]
	mu    sync.Mutex // held by who adds one
}

// knows reports whether a model is known. It allocates nothing.
func (m *modelNames) knows(model string) bool {
	known := m.known.Load()
	return known != nil && (*known)[model]
}

// add makes models known, as far as there is room.
func (m *modelNames) add(models ...string) {
	for _, model := range models {
		if model != "" && !m.knows(model) {
			m.addOne(model)
		}
	}
}

func (m *modelNames) addOne(model string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := map[string]bool{model: true}
	if known := m.known.Load(); known != nil {
		if len(*known) >= maxModels {
			return
		}
		for name := range *known {
			next[name] = true
		}
	}
	m.known.Store(&next)
}

// learn makes the models known that answered in the past.
func (m *modelNames) learn(t usage.Totals) {
	for model, c := range t.ByModel {
		if c.Failed < c.Requests {
			m.add(model)
		}
	}
}

// label is the model as a label: "" for requests without one, such as lists of
// models.
func (m *modelNames) label(model string) string {
	if model == "" || m.knows(model) {
		return model
	}
	return usage.Other
}
