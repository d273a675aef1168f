// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"maps"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Hidden are the models that an operator does not offer: left out of lists, and
// refused as if they did not exist. Safe for concurrent use. Use [OpenHidden].
type Hidden struct{ doc document[map[string]bool] }

// maxHidden bounds the set; Google has some sixty models.
const maxHidden = 5000

// OpenHidden reads the set.
func OpenHidden(s store.Store) (*Hidden, error) {
	h := &Hidden{document[map[string]bool]{store: s, key: "settings/hidden_models"}}
	return h, h.doc.load()
}

// Current returns the set, which must not be changed; the same address means that
// nothing changed.
func (h *Hidden) Current() *map[string]bool { return &h.doc.now.Load().value }

// Has reports whether a model is hidden.
func (h *Hidden) Has(model string) bool { return (*h.Current())[model] }

// Set hides a model or offers it again, on disk before it returns.
func (h *Hidden) Set(model string, hidden bool) error {
	if model == "" || !plain(model) {
		return &InvalidError{[]Fault{{"id", "invalid_value", "is no id of a Gemini model, such as gemini-flash-latest"}}}
	}
	return h.doc.replace("", func(old map[string]bool) (map[string]bool, error) {
		set := make(map[string]bool, len(old)+1)
		maps.Copy(set, old)
		if hidden {
			set[model] = true
		} else {
			delete(set, model)
		}
		if len(set) > maxHidden {
			return nil, &InvalidError{[]Fault{{"offered", "invalid_value", "cannot be off for more models than there can be; offer some again"}}}
		}
		return set, nil
	})
}

// Refresh reads what was stored by others, such as a restore.
func (h *Hidden) Refresh() error { return h.doc.load() }
