// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// modelView is one Gemini model.
type modelView struct {
	ID          string     `json:"id"`
	Kind        string     `json:"kind"` // one of modelKinds
	Offered     bool       `json:"offered"`
	Keys        int        `json:"keys"`        // whose list has it
	KeysUsable  int        `json:"keys_usable"` // of those: in service and not resting
	ContextIn   *int64     `json:"context_in"`  // tokens; null while Google was not asked
	ContextOut  *int64     `json:"context_out"`
	Aliases     []string   `json:"aliases"`
	Price       *priceView `json:"price"` // null for unknown
	Requests    int64      `json:"requests_24h"`
	Success     *float64   `json:"success"`
	TTFT50      *int64     `json:"ttft_p50_ms"`
	P95         *int64     `json:"p95_ms"`
	OutputSpeed *float64   `json:"tokens_out_per_s"`
	LeftToday   *int64     `json:"left_today"` // requests; null where no daily limit is known
	Thinking    *Thinking  `json:"thinking"`   // null for a model that has none
	modelOptions
}

type priceView struct {
	Input  *int64 `json:"input_nano_per_mtok"` // null where it is not paid by the token, or not known
	Output *int64 `json:"output_nano_per_mtok"`
	Source string `json:"source"`
	Date   string `json:"date"`
}

type modelsView struct {
	Items []modelView `json:"items"`
	Total int         `json:"total"`
}

// kindOf goes by what Google's list says a model can do, then by its name.
func kindOf(id string, methods []string) string {
	can := func(method string) bool { return slices.Contains(methods, method) }
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(id, w) })
	}
	switch {
	case has("embedding") || can("embedContent") && !can("generateContent"):
		return "embedding"
	case has("veo"):
		return "video"
	case has("imagen", "-image"):
		return "image"
	case has("tts", "audio", "lyria") && !can("bidiGenerateContent"):
		return "audio"
	case has("-live", "native-audio") || can("bidiGenerateContent") && !can("generateContent"):
		return "live"
	case can("generateContent") || strings.HasPrefix(id, "gemini") || strings.HasPrefix(id, "gemma") || strings.HasPrefix(id, "learnlm"):
		return "chat"
	}
	return "other"
}

// knownModels are those that some Gemini key has, or Google's lists named.
func (a *api) knownModels() map[string]bool {
	known := map[string]bool{}
	for _, id := range a.Pool.Models() {
		known[id] = true
	}
	for _, m := range a.details() {
		known[m.ID] = true
	}
	return known
}

func (a *api) details() []ModelDetail {
	if a.System.Models == nil {
		return nil
	}
	return a.System.Models()
}

func (a *api) listModels(*call) (status int, body any, err error) {
	items, err := a.models()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, modelsView{Items: items, Total: len(items)}, nil
}

// models puts together what is known of each model.
func (a *api) models() ([]modelView, error) {
	offering := a.Pool.Offering()
	views := map[string]*modelView{}
	at := func(id string) *modelView {
		if views[id] == nil {
			o := offering[id]
			views[id] = &modelView{ID: id, Kind: kindOf(id, nil), Offered: a.offered(id), Keys: o.Keys, KeysUsable: o.Usable, Aliases: []string{}}
		}
		return views[id]
	}
	for id := range offering {
		at(id)
	}
	for _, d := range a.details() {
		v := at(d.ID)
		v.Kind = kindOf(d.ID, d.Methods)
		v.ContextIn, v.ContextOut = known(d.InputMax), known(d.OutputMax)
	}
	if a.System.PerModel != nil {
		for id := range *a.System.PerModel.Current() {
			at(id)
		}
	}
	report, err := a.Usage.Report(a.Now().Add(-24*time.Hour), time.Time{})
	if err != nil {
		return nil, err
	}
	for i := range report.Models {
		m := &report.Models[i]
		if v := views[m.Model]; v != nil {
			v.used(m)
		}
	}
	a.nameModels(views)
	a.quotaOfModels(views)
	var prices *usage.Prices
	if a.System.Prices != nil {
		prices = a.System.Prices()
	}
	items := make([]modelView, 0, len(views))
	for _, id := range slices.Sorted(maps.Keys(views)) {
		v := views[id]
		v.Price = priceOf(prices, id, a.Now())
		if a.System.Thinking != nil && v.Kind != "embedding" && v.Kind != "video" { // for which the table knows nothing
			v.Thinking = a.System.Thinking(id)
		}
		if a.System.PerModel != nil {
			v.modelOptions = viewOptions(a.System.PerModel.Of(id))
		}
		items = append(items, *v)
	}
	return items, nil
}

// known is a number that 0 is none of.
func known[T int64 | float64](n T) *T {
	if n <= 0 {
		return nil
	}
	return &n
}

func (v *modelView) used(m *usage.ModelReport) {
	v.Requests = m.Requests
	if share, ok := m.Success(); ok {
		v.Success = &share
	}
	v.TTFT50, v.P95 = millisOf(m.First50), millisOf(m.P95)
	v.OutputSpeed = known(m.OutputPerSecond)
}

func millisOf(d time.Duration) *int64 { return known(d.Milliseconds()) }

// nameModels tells each model which aliases lead to it.
func (a *api) nameModels(views map[string]*modelView) {
	all, _ := a.aliases()
	for i := range all {
		for _, target := range all[i].Targets {
			if v := views[target]; v != nil && !slices.Contains(v.Aliases, all[i].Name) {
				v.Aliases = append(v.Aliases, all[i].Name)
			}
		}
	}
}

// quotaOfModels adds what is left of the day in all projects of which a daily limit
// is known.
func (a *api) quotaOfModels(views map[string]*modelView) {
	const most = 200_000
	quotas, _ := a.Pool.Quotas(balancer.QuotaQuery{Limit: most})
	for i := range quotas {
		q := &quotas[i]
		v := views[q.Model]
		if v == nil || q.RPD.Limit == nil {
			continue
		}
		left := max(*q.RPD.Limit-q.RPD.Used, 0)
		if v.LeftToday != nil {
			left += *v.LeftToday
		}
		v.LeftToday = &left
	}
}

// syncSample is how many keys are asked unless all are wanted: keys of one tier see
// the same models.
const syncSample = 50

// syncModels asks Google what models the Gemini keys have, as a job.
func (a *api) syncModels(c *call) (status int, body any, err error) {
	var form struct {
		All bool `json:"all"` // every key in service, not a sample
	}
	if len(c.body) > 0 {
		if err := decode(c.body, &form); err != nil {
			return 0, nil, err
		}
	}
	if a.System.SyncModels == nil {
		return 0, nil, unavailable("Google cannot be asked from here.")
	}
	ids := a.syncKeys(form.All)
	if len(ids) == 0 {
		return 0, nil, problem(http.StatusConflict, "no_keys", "There is no Gemini key in service to ask with; add one first.")
	}
	sync := a.System.SyncModels
	return a.jobs.start(c, jobSpec{kind: "sync_models", name: "Models", total: len(ids), exclusive: true}, func(ctx context.Context, j *job) error {
		return sync(ctx, ids, func(_ string, err error) {
			if err != nil {
				j.count("unreachable", 1)
			} else {
				j.count("asked", 1)
			}
			j.done(1)
		})
	})
}

// syncKeys are the keys to ask with: of a sample, spread over the pool.
func (a *api) syncKeys(all bool) (ids []string) {
	for _, state := range []balancer.State{balancer.StateActive, balancer.StateUntested} {
		page, total, _ := a.Pool.List(balancer.Query{State: state, Limit: 100_000})
		step := 1
		if !all && total > syncSample {
			step = (total + syncSample - 1) / syncSample
		}
		for i := 0; i < len(page); i += step {
			ids = append(ids, page[i].ID)
		}
	}
	return ids
}
