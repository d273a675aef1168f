// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Alias gives Gemini models a further name.
type Alias struct {
	Name    string   `json:"name"`              // what clients ask for; each * stands for any characters
	Targets []string `json:"targets"`           // Gemini models, tried in order
	Hidden  bool     `json:"hidden,omitempty"`  // left out of lists of models, as patterns always are
	Dialect string   `json:"dialect,omitempty"` // of built-in ones that only one API knows; "" = all

	// For requests that say nothing of it themselves and did not come in Google's own
	// dialect, which is passed on as it is.

	ThinkingBudget *int64 `json:"thinking_budget,omitempty"` // tokens; 0 = as few as the model can do with, -1 = as many as it likes; nil = as the model has it
	Search         bool   `json:"search,omitempty"`          // Google Search is among the tools, where the model takes it beside those of the request
}

// Pattern reports whether the name stands for more than itself.
func (a *Alias) Pattern() bool { return strings.Contains(a.Name, "*") }

// Listed reports whether clients find the name in lists of models.
func (a *Alias) Listed() bool { return !a.Hidden && !a.Pattern() }

// Match reports whether a client that asks for name means the alias.
func (a *Alias) Match(name string) bool { return match(a.Name, name) }

// match compares a name with a pattern in which * is any characters. It goes back
// to the last * at most, so hostile patterns cost no more than their length times
// that of the name; nothing is allocated.
func match(pattern, name string) bool {
	p, n, star, resume := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			resume++
			p, n = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// Bounds of the list of aliases.
const (
	MaxAliases = 1000
	MaxTargets = 16
	maxName    = 128
)

// CheckAlias says what is wrong with an alias, "" for nothing, and in which field.
func CheckAlias(a *Alias) (field, message string) {
	switch {
	case a.Name == "":
		return "name", "must be given"
	case len(a.Name) > maxName:
		return "name", fmt.Sprintf("is longer than %d bytes", maxName)
	case strings.ContainsFunc(a.Name, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`{}/"\%?#<>`, c) }):
		return "name", "must be of letters, digits and signs that names of models have, and * for any characters"
	case strings.Trim(a.Name, "*") == "":
		return "name", "must not be * alone: it would take every model's name"
	case len(a.Targets) == 0:
		return "targets", "must name a Gemini model, or several that are tried in order"
	case len(a.Targets) > MaxTargets:
		return "targets", fmt.Sprintf("must be %d models at most", MaxTargets)
	case !thinkable(a.ThinkingBudget):
		return "thinking_budget", wantThinking
	}
	for i, t := range a.Targets {
		if t == "" || !plain(t) || strings.Contains(".-_", t[:1]) {
			return fmt.Sprintf("targets[%d]", i), "is no id of a Gemini model, such as gemini-flash-latest"
		}
	}
	return "", ""
}

// Aliases are those that were set at run time, in their order: the first that fits
// a name decides. Safe for concurrent use. Use [OpenAliases].
type Aliases struct{ doc document[[]Alias] }

// OpenAliases reads what was set.
func OpenAliases(s store.Store) (*Aliases, error) {
	a := &Aliases{document[[]Alias]{store: s, key: "settings/aliases"}}
	return a, a.doc.load()
}

// Current returns the aliases and their ETag, of one moment. The list must not be
// changed; the same address of it means that nothing changed.
func (a *Aliases) Current() (*[]Alias, string) {
	v := a.doc.now.Load()
	return &v.value, v.etag
}

// Replace sets the whole list, on disk before it returns. ifMatch is the ETag of
// the list that the caller saw, "" for any; of several replacements for one list
// exactly one is taken. It returns [ErrChanged] or an [*InvalidError].
func (a *Aliases) Replace(list []Alias, ifMatch string) error {
	if err := checkAliases(list); err != nil {
		return err
	}
	return a.doc.replace(ifMatch, func([]Alias) ([]Alias, error) { return append([]Alias{}, list...), nil })
}

// Refresh reads what was stored by others, such as a restore.
func (a *Aliases) Refresh() error { return a.doc.load() }

func checkAliases(list []Alias) error {
	var faults []Fault
	if len(list) > MaxAliases {
		faults = append(faults, Fault{"items", "invalid_value", fmt.Sprintf("must be %d at most", MaxAliases)})
	}
	seen := make(map[string]bool, len(list))
	for i := range list[:min(len(list), MaxAliases)] {
		at := fmt.Sprintf("items[%d].", i)
		if field, message := CheckAlias(&list[i]); field != "" {
			faults = append(faults, Fault{at + field, "invalid_value", message})
		}
		if seen[list[i].Name] {
			faults = append(faults, Fault{at + "name", "repeated_name", "is given twice"})
		}
		seen[list[i].Name] = true
	}
	if len(faults) > 0 {
		return &InvalidError{faults}
	}
	return nil
}
