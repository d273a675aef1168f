// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"net/http"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// exportConfig gives what is not at its default as a file. Settings have no
// secrets.
func (a *api) exportConfig(c *call) (status int, body any, err error) {
	file, err := a.Settings.Snapshot().Export()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, stream(func(w http.ResponseWriter) error {
		asFile(w.Header(), "application/json", "gemini-balance-settings.json")
		_, err := w.Write(append(file, '\n'))
		return err
	}), nil
}

// importForm is what POST /admin/config/import takes.
type importForm struct {
	Settings json.RawMessage `json:"settings"` // what export gave
	DryRun   bool            `json:"dry_run"`
}

// importView is what it answers.
type importView struct {
	Changed []change       `json:"changed"`
	Skipped []string       `json:"skipped"` // what the Caddyfile sets to something else
	Config  map[string]any `json:"config,omitempty"`
}

// importConfig makes the settings those of a file: what it does not name goes back
// to the default. What the Caddyfile sets is skipped and named.
func (a *api) importConfig(c *call) (status int, body any, err error) {
	var form importForm
	if err := decode(c.body, &form); err != nil {
		return 0, nil, err
	}
	file, err := parsePatch(form.Settings)
	if err != nil {
		return 0, nil, err
	}
	now := a.Settings.Snapshot()
	patch, skipped := now.Import(file)
	view := importView{Skipped: append([]string{}, skipped...)}
	if form.DryRun {
		view.Changed = wouldChange(now, patch)
		c.etag(now.ETag)
		return http.StatusOK, view, nil
	}
	if view.Changed, err = a.updateConfig(c, patch); err != nil {
		return 0, nil, err
	}
	after := a.Settings.Snapshot()
	c.etag(after.ETag)
	view.Config = configView(after)
	return http.StatusOK, view, nil
}

func wouldChange(now *settings.Snapshot, patch settings.Patch) []change {
	changes := []change{}
	defaults := settings.Defaults()
	for _, f := range settings.Fields() {
		to, named := patch[f.Name]
		if !named {
			continue
		}
		if to == nil {
			to = f.Value(&defaults)
		}
		if from := f.Value(&now.Values); from != to {
			changes = append(changes, change{f.Name, f.JSON(from), f.JSON(to)})
		}
	}
	return changes
}
