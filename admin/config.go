// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// setting is one field of the configuration as it always was.
type setting struct {
	Value  any             `json:"value"`  // durations as "10s"
	Source settings.Source `json:"source"` // default, caddyfile or store
	Locked bool            `json:"locked"` // set in the Caddyfile, so not by POST
}

// fieldView is one field with all that a form needs.
type fieldView struct {
	Value     any             `json:"value"`
	Default   any             `json:"default"`
	Source    settings.Source `json:"source"`
	Locked    bool            `json:"locked"`
	Type      settings.Type   `json:"type"`
	Unit      string          `json:"unit,omitempty"`
	Min       any             `json:"min,omitempty"`
	Max       any             `json:"max,omitempty"`
	Options   []string        `json:"options,omitempty"`
	Directive string          `json:"directive,omitempty"`
	Effect    string          `json:"effect"`
}

// nestedGroups are shown as they always were, beside fields.
var nestedGroups = []string{"strategy", "retry.attempts", "retry.budget", "retry.wait", "retry.hedge"}

// configView is the document of all settings: fields by dotted name, and the older
// ones nested as scripts know them.
func configView(now *settings.Snapshot) map[string]any {
	defaults := settings.Defaults()
	fields := map[string]fieldView{}
	for _, f := range settings.Fields() {
		source := now.Source(f)
		fields[f.Name] = fieldView{
			Value: f.JSON(f.Value(&now.Values)), Default: f.JSON(f.Value(&defaults)),
			Source: source, Locked: source == settings.SourceCaddyfile,
			Type: f.Type, Unit: f.Unit, Min: f.JSON(f.Min), Max: f.JSON(f.Max),
			Options: f.Options, Directive: f.Directive, Effect: f.Effect,
		}
	}
	doc := map[string]any{"fields": fields}
	for _, name := range nestedGroups {
		into, leaf := doc, name
		if group, rest, nested := strings.Cut(name, "."); nested {
			if doc[group] == nil {
				doc[group] = map[string]any{}
			}
			into, leaf = doc[group].(map[string]any), rest
		}
		f := fields[name]
		into[leaf] = setting{f.Value, f.Source, f.Locked}
	}
	return doc
}

func (a *api) getConfig(c *call) (status int, body any, err error) {
	return http.StatusOK, configView(a.Settings.Snapshot()), nil
}

// setConfig changes the fields of a [settings.Patch], all or none of them.
func (a *api) setConfig(c *call) (status int, body any, err error) {
	patch, err := parsePatch(c.body)
	if err != nil {
		return 0, nil, err
	}
	return a.changeConfig(c, patch)
}

func (a *api) changeConfig(c *call, patch settings.Patch) (status int, body any, err error) {
	if err := a.Settings.Update(patch); err != nil {
		return 0, nil, settingsProblem(err)
	}
	return a.getConfig(c)
}

// parsePatch reads a patch as strictly as decode reads structs.
func parsePatch(body []byte) (settings.Patch, error) {
	trimmed := bytes.TrimSpace(body)
	if len(trimmed) == 0 || trimmed[0] != '{' || !utf8.Valid(body) || !json.Valid(body) {
		return nil, problem(http.StatusBadRequest, "invalid_json", "The body is not a JSON object."+where(body))
	}
	patch, err := settings.ParsePatch(body)
	if err != nil {
		return nil, settingsProblem(err)
	}
	return patch, nil
}

func settingsProblem(err error) error {
	if locked, ok := errors.AsType[*settings.LockedError](err); ok {
		p := problem(http.StatusConflict, "locked", locked.Error()+".")
		for _, field := range locked.Fields {
			p.Errors = append(p.Errors, fieldError{field, "locked", "is set in the Caddyfile"})
		}
		return p
	}
	if wrong, ok := errors.AsType[*settings.InvalidError](err); ok {
		faults := make([]fieldError, len(wrong.Faults))
		for i, f := range wrong.Faults {
			faults[i] = fieldError{clip(f.Field), f.Code, f.Message}
		}
		return invalid("invalid_body", faults)
	}
	return err
}
