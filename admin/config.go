// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"errors"
	"net/http"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// setting is one field of the configuration.
type setting[T any] struct {
	Value  T               `json:"value"`
	Source settings.Source `json:"source"` // default, caddyfile or store
	Locked bool            `json:"locked"` // set in the Caddyfile, so not by POST
}

func settingOf[T any](value T, source settings.Source) setting[T] {
	return setting[T]{value, source, source == settings.SourceCaddyfile}
}

// configView is what GET and POST /admin/config answer.
type configView struct {
	Strategy setting[string] `json:"strategy"`
	Retry    struct {
		Attempts setting[int]               `json:"attempts"`
		Budget   setting[float64]           `json:"budget"` // share, 0–1
		Wait     setting[settings.Duration] `json:"wait"`   // as "10s"
		Hedge    setting[float64]           `json:"hedge"`  // share, 0–1; 0 = never
	} `json:"retry"`
}

func (a *api) config() configView {
	values, sources := a.Settings.Snapshot()
	view := configView{Strategy: settingOf(values.Strategy, sources.Strategy)}
	view.Retry.Attempts = settingOf(values.Retry.Attempts, sources.Retry.Attempts)
	view.Retry.Budget = settingOf(values.Retry.Budget, sources.Retry.Budget)
	view.Retry.Wait = settingOf(settings.Duration(values.Retry.Wait), sources.Retry.Wait)
	view.Retry.Hedge = settingOf(values.Retry.Hedge, sources.Retry.Hedge)
	return view
}

func (a *api) getConfig(*call) (status int, body any, err error) {
	return http.StatusOK, a.config(), nil
}

// setConfig changes the fields of a [settings.Patch], all or none of them.
func (a *api) setConfig(c *call) (status int, body any, err error) {
	var patch settings.Patch
	if err := decode(c.body, &patch); err != nil {
		return 0, nil, err
	}
	if err := a.Settings.Update(patch); err != nil {
		return 0, nil, settingsProblem(err)
	}
	// What Settings takes, the pool knows: a test holds the two together.
	if err := a.Pool.SetStrategy(a.Settings.Current().Strategy); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, a.config(), nil
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
		return invalid("invalid_body", []fieldError{{wrong.Field, "invalid_value", wrong.Message}})
	}
	return err
}
