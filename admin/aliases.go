// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// aliasView is one alias with where it comes from.
type aliasView struct {
	Name    string   `json:"name"`
	Targets []string `json:"targets"`
	Pattern bool     `json:"pattern"`
	Listed  bool     `json:"listed"`
	Source  string   `json:"source"` // caddyfile, store or default
	Locked  bool     `json:"locked"`
	Dialect string   `json:"dialect,omitempty"`
	aliasOptions
	Hits    *int64 `json:"hits_24h"`          // null where nobody counts
	Problem string `json:"problem,omitempty"` // why it does not do what it seems to
}

type aliasesView struct {
	Items []aliasView `json:"items"` // in the order in which they are looked at
}

// aliasOptions are for requests that say nothing of it themselves.
type aliasOptions struct {
	ThinkingBudget *int64 `json:"thinking_budget,omitempty"` // tokens, 0 for as few as possible, -1 for as many as the model likes
	Search         bool   `json:"search,omitempty"`          // Google Search is among the tools
}

func optionsOf(a *settings.Alias) aliasOptions { return aliasOptions{a.ThinkingBudget, a.Search} }

// sourced is an alias with its source.
type sourced struct {
	settings.Alias
	source string
}

// aliases are all, in the order in which they are looked at.
func (a *api) aliases() (all []sourced, etag string) {
	add := func(list []settings.Alias, source string) {
		for _, alias := range list {
			all = append(all, sourced{alias, source})
		}
	}
	add(a.System.Declared, "caddyfile")
	if a.System.Aliases != nil {
		stored, tag := a.System.Aliases.Current()
		etag = tag
		add(*stored, "store")
	}
	add(a.System.Defaults, "default")
	return all, etag
}

func (a *api) listAliases(c *call) (status int, body any, err error) {
	all, etag := a.aliases()
	c.etag(etag)
	known := a.knownModels()
	view := aliasesView{Items: []aliasView{}}
	for i := range all {
		alias := &all[i]
		item := aliasView{
			Name: alias.Name, Targets: alias.Targets, Pattern: alias.Pattern(), Listed: alias.Listed(),
			Source: alias.source, Locked: alias.source != "store", Dialect: alias.Dialect, aliasOptions: optionsOf(&alias.Alias),
			Problem: a.aliasProblem(all[:i], alias, known),
		}
		if a.System.Hits != nil && alias.source != "default" {
			item.Hits = new(a.System.Hits(alias.Name, a.Now()))
		}
		view.Items = append(view.Items, item)
	}
	return http.StatusOK, view, nil
}

// aliasProblem says why an alias does not do what it seems to, "" for nothing.
// earlier are those that are looked at before it.
func (a *api) aliasProblem(earlier []sourced, alias *sourced, known map[string]bool) string {
	for i := range earlier {
		if earlier[i].Dialect == "" && earlier[i].Match(alias.Name) {
			return fmt.Sprintf("is never used: %s before it takes the name", earlier[i].Name)
		}
	}
	hidden := 0
	for _, target := range alias.Targets {
		switch {
		case !a.offered(target):
			hidden++
		case len(known) > 0 && !known[target]:
			return fmt.Sprintf("%s is not among the models that the Gemini keys have", target)
		}
	}
	if hidden == len(alias.Targets) {
		return "is refused: none of its models is offered"
	}
	if known[alias.Name] && alias.source != "default" {
		return fmt.Sprintf("takes the name of a model, so that nobody gets at %s itself", alias.Name)
	}
	return ""
}

func (a *api) offered(model string) bool {
	return a.System.PerModel == nil || !a.System.PerModel.Of(model).Hidden
}

// aliasesForm is what PUT /admin/aliases takes: the whole list of those that are
// not locked, in their order.
type aliasesForm struct {
	Items []aliasForm `json:"items"`
}

type aliasForm struct {
	Name    string   `json:"name"`
	Targets []string `json:"targets"`
	Listed  *bool    `json:"listed"` // default: true; patterns are never listed
	aliasOptions
}

func (a *api) putAliases(c *call) (status int, body any, err error) {
	if a.System.Aliases == nil {
		return 0, nil, unavailable("Aliases cannot be set here.")
	}
	var form aliasesForm
	if err := decode(c.body, &form); err != nil {
		return 0, nil, err
	}
	if form.Items == nil {
		return 0, nil, invalid("invalid_body", []fieldError{{"items", "missing_field", "must be given: the whole list, [] for none"}})
	}
	list := make([]settings.Alias, len(form.Items))
	for i, item := range form.Items {
		list[i] = settings.Alias{
			Name: item.Name, Targets: item.Targets, Hidden: item.Listed != nil && !*item.Listed,
			ThinkingBudget: item.ThinkingBudget, Search: item.Search,
		}
	}
	before, etag := a.System.Aliases.Current()
	if err := c.ifMatch(etag); err != nil {
		return 0, nil, err
	}
	seen := ""
	if c.Header.Get("If-Match") != "" {
		seen = etag
	}
	was := len(*before)
	if err := a.System.Aliases.Replace(list, seen); err != nil {
		return 0, nil, settingsProblem(err)
	}
	c.note("%d aliases in place of %d", len(list), was)
	a.configChanged(a.Settings.Snapshot().ETag)
	return a.listAliases(c)
}

// testAliasForm is what POST /admin/aliases/test takes.
type testAliasForm struct {
	Name string `json:"name"` // as a client would ask for it
}

type testAliasView struct {
	Matched *string  `json:"matched"` // the alias, null for none
	Source  string   `json:"source,omitempty"`
	Dialect string   `json:"dialect,omitempty"`
	Targets []string `json:"targets"` // tried in this order
	aliasOptions
	Model   string `json:"model"`   // the first that is asked
	Known   bool   `json:"known"`   // some Gemini key has it
	Offered bool   `json:"offered"` // to users
}

// resolve finds the alias that takes a name, and the first of its targets that is
// offered; nil for no alias.
func (a *api) resolve(name string) (alias *sourced, model string) {
	bare := strings.TrimPrefix(name, "models/")
	all, _ := a.aliases()
	for i := range all {
		alias := &all[i]
		if !alias.Match(name) && !alias.Match(bare) {
			continue
		}
		for _, target := range alias.Targets {
			if a.offered(target) {
				return alias, target
			}
		}
		return alias, alias.Targets[0]
	}
	return nil, ""
}

// testAlias tells what a name stands for.
func (a *api) testAlias(c *call) (status int, body any, err error) {
	var form testAliasForm
	if err := decode(c.body, &form); err != nil {
		return 0, nil, err
	}
	name := strings.TrimSpace(form.Name)
	if name == "" || len(name) > maxSearch {
		return 0, nil, invalid("invalid_body", []fieldError{{"name", "invalid_value", "must be the name of a model as a client would ask for it"}})
	}
	view := testAliasView{Targets: []string{}}
	bare := strings.TrimPrefix(name, "models/")
	view.Model = bare
	if alias, model := a.resolve(name); alias != nil {
		view.Matched, view.Source, view.Dialect, view.Targets, view.Model = &alias.Name, alias.source, alias.Dialect, alias.Targets, model
		view.aliasOptions = optionsOf(&alias.Alias)
	}
	view.Known, view.Offered = a.knownModels()[view.Model], a.offered(view.Model)
	return http.StatusOK, view, nil
}

func unavailable(detail string) error {
	return problem(http.StatusServiceUnavailable, "not_available", detail)
}
