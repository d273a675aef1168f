// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// TestQuota_OfModels: what is set for a model at run time reaches the pool at once, for
// projects of the tier, after what the configuration says.
func TestQuota_OfModels(t *testing.T) {
	google := googleKeys(2)
	w := newWorld(t, google, `, "quotas": [{"model": "`+testModel+`", "rpm": 7}]`)
	for range 4 {
		w.chat(w.secret, "hello", "") // so that there are books
	}
	r := w.app.shared
	limits := func() (all [][2]int64) { // a minute and a day, of each project
		t.Helper()
		quotas, _ := r.pool.Quotas(balancer.QuotaQuery{Limit: 10, Model: testModel})
		for _, q := range quotas {
			var pair [2]int64
			for i, window := range []balancer.Window{q.RPM, q.RPD} {
				if window.Limit != nil {
					pair[i] = *window.Limit
				}
			}
			all = append(all, pair)
		}
		return all
	}
	want := func(minute, day int64) {
		t.Helper()
		all := limits()
		for _, got := range all {
			if got != [2]int64{minute, day} {
				t.Errorf("limits are %v, want %d and %d", all, minute, day)
			}
		}
		if len(all) != len(google.Keys) {
			t.Errorf("%d projects have books, want %d", len(all), len(google.Keys))
		}
	}
	set := func(change func(*settings.Model)) {
		t.Helper()
		must(t, r.perModel.Update(testModel, change))
	}
	want(7, 0)
	set(func(m *settings.Model) { m.Free = &settings.Quota{RPM: 3, RPD: 50} })
	want(7, 50)
	set(func(m *settings.Model) { m.Paid = &settings.Quota{RPD: 5000} })
	want(7, 50) // these are not paid
	set(func(m *settings.Model) { *m = settings.Model{} })
	want(7, 0)
}
