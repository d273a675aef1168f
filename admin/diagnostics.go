// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// diagnostics is a file for people who help: what is so, without secrets, names,
// notes, addresses or texts of requests. Ids of keys stay, which tell nobody a key.
func (a *api) diagnostics(c *call) (status int, body any, err error) {
	doc := map[string]any{
		"made_at":  a.Now().UTC(),
		"figures":  a.figures(),
		"checks":   a.runChecks(c.Context()),
		"settings": configView(a.Settings.Snapshot())["fields"],
		"pool":     a.poolFacts(),
		"jobs":     len(a.jobs.list()),
	}
	if models, err := a.models(); err == nil {
		doc["models"] = models
	}
	all, _ := a.aliases()
	doc["aliases"] = map[string]int{"declared": len(a.System.Declared), "all": len(all)}
	report, err := a.Usage.Report(a.Now().Add(-24*time.Hour), time.Time{})
	if err != nil {
		return 0, nil, err
	}
	doc["usage_24h"] = map[string]any{"counts": report.Counts, "outcomes": report.Outcomes, "failures": report.Failures}
	if a.System.Diagnostics != nil {
		doc["system"] = a.System.Diagnostics()
	}
	encoded, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, stream(func(w http.ResponseWriter) error {
		asFile(w.Header(), "application/json", "gemini-balance-diagnostics.json")
		_, err := w.Write(append(encoded, '\n'))
		return err
	}), nil
}

// poolFacts are the pool's figures, and keys that are out of service by state, with
// the reasons without which nobody can help.
func (a *api) poolFacts() map[string]any {
	stats := a.Pool.Stats()
	reasons := map[string]int{}
	page, _, _ := a.Pool.List(balancer.Query{Limit: 100_000})
	for i := range page {
		if page[i].StateReason != "" && len(reasons) < 200 {
			reasons[string(page[i].State)+": "+page[i].StateReason]++
		}
	}
	quotas, total := a.Pool.Quotas(balancer.QuotaQuery{Limit: 200})
	return map[string]any{
		"stats": stats, "reasons": reasons, "rests": a.Pool.Rests(200), "quotas": quotas, "quotas_total": total,
		"clock_probed": a.Pool.Probed(),
	}
}
