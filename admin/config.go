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
	now := a.Settings.Snapshot()
	c.etag(now.ETag)
	return http.StatusOK, configView(now), nil
}

// setConfig changes the fields of a [settings.Patch], all or none of them. PATCH
// and POST are the same; both heed If-Match.
func (a *api) setConfig(c *call) (status int, body any, err error) {
	patch, err := parsePatch(c.body)
	if err != nil {
		return 0, nil, err
	}
	return a.changeConfig(c, patch)
}

// resetConfig brings one field back to its default.
func (a *api) resetConfig(c *call) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	f, err := settings.FieldOf(c.id)
	if err != nil {
		return 0, nil, problem(http.StatusNotFound, "not_found", "There is no setting of this name; GET /admin/config lists them.")
	}
	return a.changeConfig(c, settings.Patch{f.Name: nil})
}

func (a *api) changeConfig(c *call, patch settings.Patch) (status int, body any, err error) {
	if _, err := a.updateConfig(c, patch); err != nil {
		return 0, nil, err
	}
	return a.getConfig(c)
}

// change is one field before and after.
type change struct {
	Name string `json:"name"`
	From any    `json:"from"`
	To   any    `json:"to"`
}

// updateConfig makes a change for the state that the client knows, if it names one,
// and tells who watches. It returns what is different now.
func (a *api) updateConfig(c *call, patch settings.Patch) ([]change, error) {
	before := a.Settings.Snapshot()
	if err := c.ifMatch(before.ETag); err != nil {
		return nil, err
	}
	seen := ""
	if c.Header.Get("If-Match") != "" {
		seen = before.ETag
	}
	if err := a.Settings.UpdateIf(patch, seen); err != nil {
		return nil, settingsProblem(err)
	}
	after := a.Settings.Snapshot()
	// What Settings takes, the pool knows: a test holds the two together.
	if err := a.Pool.SetStrategy(after.Values.Strategy); err != nil {
		return nil, err
	}
	changes := differences(before, after)
	for _, ch := range changes {
		c.changed(ch.Name, ch.From, ch.To)
	}
	a.configChanged(after.ETag)
	return changes, nil
}

// configChanged tells open pages that settings, aliases or models are others.
func (a *api) configChanged(etag string) {
	a.events.publishLatest("config", "config", "config", map[string]string{"etag": etag})
}

func differences(before, after *settings.Snapshot) []change {
	changes := []change{}
	for _, f := range settings.Fields() {
		if from, to := f.Value(&before.Values), f.Value(&after.Values); from != to {
			changes = append(changes, change{f.Name, f.JSON(from), f.JSON(to)})
		}
	}
	return changes
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
	if errors.Is(err, settings.ErrChanged) {
		return problem(http.StatusPreconditionFailed, "changed", "Somebody changed this in the meantime; nothing was changed now. Read it again, then send the change with the new ETag.")
	}
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
