// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// TestPerModel: changes of several at once are all kept, and what is taken back leaves
// nothing.
func TestPerModel(t *testing.T) {
	s := memory.New()
	p := openPerModel(t, s)
	var wg sync.WaitGroup
	for _, model := range []string{"gemini-a", "gemini-b", "gemini-c"} {
		wg.Go(func() { update(t, p, model, func(m *settings.Model) { m.Hidden = true }) })
		wg.Go(func() { update(t, p, model, func(m *settings.Model) { m.ThinkingBudget = new(int64(0)) }) })
	}
	wg.Wait()
	update(t, p, "gemini-b", func(m *settings.Model) { *m = settings.Model{} })
	full := settings.Model{
		Hidden: true, ThinkingBudget: new(int64(-1)), Safety: "block_only_high", FirstOutput: 90 * time.Second,
		Price: &settings.Price{Input: 75_000_000, Cached: new(int64(0)), Output: settings.MaxPrice},
		Free:  &settings.Quota{RPM: 5, TPM: 250_000, RPD: 100}, Paid: &settings.Quota{RPM: 1000},
	}
	update(t, p, "gemini-d", func(m *settings.Model) { *m = full })
	some := settings.Model{Hidden: true, ThinkingBudget: new(int64(0))}
	want := map[string]settings.Model{"gemini-a": some, "gemini-c": some, "gemini-d": full}
	for name, p := range map[string]*settings.PerModel{"now": p, "after a start": openPerModel(t, s)} {
		if got := *p.Current(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := p.Of("gemini-nowhere"); got != (settings.Model{}) {
		t.Errorf("of an unknown one: %+v", got)
	}
}

func TestPerModel_Check(t *testing.T) {
	p := openPerModel(t, memory.New())
	for field, m := range map[string]settings.Model{
		"thinking_budget":                {ThinkingBudget: new(settings.MaxThinkingBudget + 1)},
		"safety":                         {Safety: "OFF"},
		"first_output_ms":                {FirstOutput: 99 * time.Millisecond},
		"own_price.input_nano_per_mtok":  {Price: &settings.Price{Input: -1}},
		"own_price.cached_nano_per_mtok": {Price: &settings.Price{Cached: new(int64(-1))}},
		"own_price.output_nano_per_mtok": {Price: &settings.Price{Output: settings.MaxPrice + 1}},
		"limits.free.rpm":                {Free: &settings.Quota{RPM: -1}},
		"limits.paid.tpm":                {Paid: &settings.Quota{TPM: math.MaxInt64}},
		"limits.paid.rpd":                {Paid: &settings.Quota{RPD: math.MinInt64}},
	} {
		invalid, ok := p.Update("gemini-a", func(old *settings.Model) { *old = m }).(*settings.InvalidError)
		if !ok || len(invalid.Faults) != 1 || invalid.Faults[0].Field != field {
			t.Errorf("want a fault at %s, got %v", field, invalid)
		}
	}
	for _, id := range []string{"", "../x", "models/gemini-a"} {
		if err := p.Update(id, func(m *settings.Model) { m.Hidden = true }); err == nil {
			t.Errorf("the id %q was taken", id)
		}
	}
	if got := *p.Current(); len(got) > 0 {
		t.Errorf("something was kept: %v", got)
	}
}

// TestPerModel_Watch: every change is told before it is acknowledged, and the last one
// told is what holds.
func TestPerModel_Watch(t *testing.T) {
	p := openPerModel(t, memory.New())
	var told []int // how many models are hidden
	p.Watch(func(set map[string]settings.Model) { told = append(told, len(set)) })
	update(t, p, "gemini-a", func(m *settings.Model) { m.Hidden = true })
	if want := []int{0, 1}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	var wg sync.WaitGroup
	for _, model := range []string{"gemini-b", "gemini-c", "gemini-d", "gemini-e"} {
		wg.Go(func() { update(t, p, model, func(m *settings.Model) { m.Hidden = true }) })
	}
	wg.Wait()
	if last := told[len(told)-1]; last != 5 {
		t.Errorf("at last told of %d, want 5", last)
	}
}

func update(t *testing.T, p *settings.PerModel, model string, change func(*settings.Model)) {
	t.Helper()
	if err := p.Update(model, change); err != nil {
		t.Error(err)
	}
}

func openPerModel(t *testing.T, s store.Store) *settings.PerModel {
	t.Helper()
	p, err := settings.OpenPerModel(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
