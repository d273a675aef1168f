// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// modelOptions is what is set for a model; null for what is not.
type modelOptions struct {
	ThinkingBudget *int64        `json:"thinking_budget"`
	Safety         *string       `json:"safety"`
	FirstOutput    *int64        `json:"first_output_ms"`
	OwnPrice       *ownPriceView `json:"own_price"`
	Limits         limitsView    `json:"limits"`
}

// ownPriceView is what the operator pays, in nano-USD for a million tokens.
type ownPriceView struct {
	Input  int64  `json:"input_nano_per_mtok"`
	Cached *int64 `json:"cached_nano_per_mtok"` // null for as much as input
	Output int64  `json:"output_nano_per_mtok"`
}

// limitsView is what Google lets a project use, by tier.
type limitsView struct {
	Free *quotaView `json:"free"`
	Paid *quotaView `json:"paid"`
}

type quotaView struct {
	RPM *int64 `json:"rpm"`
	TPM *int64 `json:"tpm"`
	RPD *int64 `json:"rpd"`
}

func viewOptions(m settings.Model) modelOptions {
	view := modelOptions{
		ThinkingBudget: m.ThinkingBudget, FirstOutput: known(m.FirstOutput.Milliseconds()),
		Limits: limitsView{viewQuota(m.Free), viewQuota(m.Paid)},
	}
	if m.Safety != "" {
		view.Safety = &m.Safety
	}
	if m.Price != nil {
		view.OwnPrice = &ownPriceView{m.Price.Input, m.Price.Cached, m.Price.Output}
	}
	return view
}

func viewQuota(q *settings.Quota) *quotaView {
	if q == nil {
		return nil
	}
	return &quotaView{known(q.RPM), known(q.TPM), known(q.RPD)}
}

// modelForm is what PATCH /admin/models/{id} takes: what is left out stays, null takes
// back.
type modelForm struct {
	Offered        *bool         `json:"offered"`
	ThinkingBudget *int64        `json:"thinking_budget"`
	Safety         *string       `json:"safety"`
	FirstOutput    *int64        `json:"first_output_ms"`
	OwnPrice       *ownPriceForm `json:"own_price"`
	Limits         *limitsView   `json:"limits"` // of the tiers that are named
}

type ownPriceForm struct {
	Input  *int64 `json:"input_nano_per_mtok"`
	Cached *int64 `json:"cached_nano_per_mtok"`
	Output *int64 `json:"output_nano_per_mtok"`
}

// check finds what the settings cannot tell from nothing said.
func (f *modelForm) check() error {
	var faults []fieldError
	if p := f.OwnPrice; p != nil {
		for _, part := range []struct {
			field string
			value *int64
		}{{"input_nano_per_mtok", p.Input}, {"output_nano_per_mtok", p.Output}} {
			if part.value == nil {
				faults = append(faults, fieldError{"own_price." + part.field, "missing_field", "must be given: nano-USD for a million tokens"})
			}
		}
	}
	if f.Safety != nil && *f.Safety == "" {
		faults = append(faults, fieldError{"safety", "invalid_value", "must be one of the words, or null for what the site says"})
	}
	return invalid("invalid_body", faults)
}

// apply puts what the form has into m. given are the members that it has.
func (f *modelForm) apply(m *settings.Model, given, tiers map[string]json.RawMessage) {
	if f.Offered != nil {
		m.Hidden = !*f.Offered
	}
	for name := range given {
		switch name {
		case "thinking_budget":
			m.ThinkingBudget = f.ThinkingBudget
		case "safety":
			m.Safety = ""
			if f.Safety != nil {
				m.Safety = *f.Safety
			}
		case "first_output_ms":
			const most = int64(24 * time.Hour / time.Millisecond)
			m.FirstOutput = time.Duration(min(said(f.FirstOutput), most+1)) * time.Millisecond
		case "own_price":
			if m.Price = nil; f.OwnPrice != nil {
				m.Price = &settings.Price{Input: *f.OwnPrice.Input, Cached: f.OwnPrice.Cached, Output: *f.OwnPrice.Output}
			}
		case "limits":
			if f.Limits == nil {
				m.Free, m.Paid = nil, nil
			}
		}
	}
	for tier, windows := range tiers {
		if tier == "free" {
			m.Free = f.Limits.Free.over(m.Free, windows)
		} else {
			m.Paid = f.Limits.Paid.over(m.Paid, windows)
		}
	}
}

// said is a number that must be above 0, so that 0 is wrong, or 0 for none.
func said(n *int64) int64 {
	switch {
	case n == nil:
		return 0
	case *n == 0:
		return -1
	}
	return max(*n, -1)
}

// over lays the windows that were given over what is set, so that two who change one
// each keep both. The result is nil where nothing is left.
func (q *quotaView) over(old *settings.Quota, windows json.RawMessage) *settings.Quota {
	var given map[string]json.RawMessage
	if _ = json.Unmarshal(windows, &given); given == nil {
		return nil
	}
	var set settings.Quota
	if old != nil {
		set = *old
	}
	for name := range given {
		switch name {
		case "rpm":
			set.RPM = said(q.RPM)
		case "tpm":
			set.TPM = said(q.TPM)
		case "rpd":
			set.RPD = said(q.RPD)
		}
	}
	if set == (settings.Quota{}) {
		return nil
	}
	return &set
}

// patchModel changes what is set for a model.
func (a *api) patchModel(c *call) (status int, body any, err error) {
	var form modelForm
	if err := decode(c.body, &form); err != nil {
		return 0, nil, err
	}
	if err := form.check(); err != nil {
		return 0, nil, err
	}
	if a.System.PerModel == nil {
		return 0, nil, unavailable("Nothing can be set for models here.")
	}
	before := a.System.PerModel.Of(c.id)
	if !a.knownModels()[c.id] && before == (settings.Model{}) {
		return 0, nil, problem(http.StatusNotFound, "not_found", "There is no model of this id; GET /admin/models lists them, POST /admin/models/sync asks Google again.")
	}
	var given, tiers map[string]json.RawMessage
	_ = json.Unmarshal(c.body, &given) // decode has been there
	_ = json.Unmarshal(given["limits"], &tiers)
	err = a.System.PerModel.Update(c.id, func(m *settings.Model) {
		before = *m
		form.apply(m, given, tiers)
	})
	if err != nil {
		return 0, nil, settingsProblem(err)
	}
	if after := a.System.PerModel.Of(c.id); noteModel(c, before, after) {
		a.configChanged(a.Settings.Snapshot().ETag)
	}
	items, err := a.models()
	if err != nil {
		return 0, nil, err
	}
	for i := range items {
		if items[i].ID == c.id {
			return http.StatusOK, items[i], nil
		}
	}
	return 0, nil, problem(http.StatusNotFound, "not_found", "The model is not known any more.")
}

// noteModel tells the audit log what became different, if anything did.
func noteModel(c *call, before, after settings.Model) (changed bool) {
	from, to := membersOf(before), membersOf(after)
	for _, name := range slices.Sorted(maps.Keys(to)) {
		if !bytes.Equal(from[name], to[name]) {
			c.changed(name, string(from[name]), string(to[name]))
			changed = true
		}
	}
	return changed
}

func membersOf(m settings.Model) (members map[string]json.RawMessage) {
	doc, _ := json.Marshal(struct { // of numbers and words
		Offered bool `json:"offered"`
		modelOptions
	}{!m.Hidden, viewOptions(m)})
	_ = json.Unmarshal(doc, &members)
	return members
}

// priceOf is what Google charges for a model by a table, null for unknown.
func priceOf(prices *usage.Prices, model string, now time.Time) *priceView {
	p := prices.Find(model, now)
	if p == nil {
		return nil
	}
	input, output := p.PerMillion()
	view := &priceView{Source: p.Source, Date: p.Date}
	if input >= 0 {
		view.Input = &input
	}
	if output >= 0 {
		view.Output = &output
	}
	return view
}
