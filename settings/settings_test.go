// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, s store.Store, declared settings.Patch) *settings.Store {
	t.Helper()
	st, err := settings.Open(s, declared)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func field(t *testing.T, name string) *settings.Field {
	t.Helper()
	f, err := settings.FieldOf(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func wait(d time.Duration) settings.Patch {
	return settings.Patch{"retry.wait": d}
}

func TestStore_ValuesAndSources(t *testing.T) {
	s := memory.New()
	if got := *open(t, s, settings.Patch{}).Current(); got != settings.Defaults() {
		t.Errorf("an empty store gives %+v, want the defaults", got)
	}
	if err := open(t, s, settings.Patch{}).Update(wait(3 * time.Second)); err != nil {
		t.Fatal(err)
	}

	st := open(t, s, settings.Patch{"retry.attempts": int64(5)})
	now := st.Snapshot()
	want := settings.Defaults()
	want.Retry = settings.Retry{Attempts: 5, Budget: 0.2, Wait: 3 * time.Second}
	if now.Values != want {
		t.Errorf("values = %+v, want %+v", now.Values, want)
	}
	for name, want := range map[string]settings.Source{
		"retry.attempts": settings.SourceCaddyfile, "retry.budget": settings.SourceDefault, "retry.wait": settings.SourceStore,
	} {
		if got := now.Source(field(t, name)); got != want {
			t.Errorf("source of %s = %s, want %s", name, got, want)
		}
	}
}

func TestStore_UpdateRefusesLockedFields(t *testing.T) {
	s := memory.New()
	st := open(t, s, settings.Patch{"retry.wait": time.Second, "retry.hedge": 0.0})
	err := st.Update(settings.Patch{"retry.wait": 2 * time.Second, "retry.attempts": int64(7), "retry.hedge": 0.5})
	locked, ok := errors.AsType[*settings.LockedError](err)
	if !ok || !reflect.DeepEqual(locked.Fields, []string{"retry.wait", "retry.hedge"}) {
		t.Fatalf("Update = %v, want retry.wait and retry.hedge locked", err)
	}
	if got := st.Current().Retry; got.Attempts != 3 || got.Wait != time.Second || got.Hedge != 0 {
		t.Errorf("a refused update changed %+v", got)
	}
	if _, err := s.Get("settings/values"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a refused update was written: %v", err)
	}
}

func TestStore_DeclareUncoversWhatWasStored(t *testing.T) {
	st := open(t, memory.New(), settings.Patch{})
	if err := st.Update(wait(3 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		declared settings.Patch
		want     time.Duration
	}{{wait(time.Second), time.Second}, {settings.Patch{}, 3 * time.Second}} {
		if err := st.Declare(step.declared); err != nil {
			t.Fatal(err)
		}
		if got := st.Current().Retry.Wait; got != step.want {
			t.Errorf("wait = %v, want %v", got, step.want)
		}
	}
	if err := st.Declare(wait(-1)); err == nil {
		t.Error("an invalid declaration was taken")
	}
	if got := st.Current().Retry.Wait; got != 3*time.Second {
		t.Errorf("a refused declaration changed wait to %v", got)
	}
}

func TestStore_UpdateChecksRanges(t *testing.T) {
	attempts := func(n int64) settings.Patch { return settings.Patch{"retry.attempts": n} }
	budget := func(n float64) settings.Patch { return settings.Patch{"retry.budget": n} }
	hedge := func(n float64) settings.Patch { return settings.Patch{"retry.hedge": n} }
	strategy := func(s string) settings.Patch { return settings.Patch{"strategy": s} }
	for name, test := range map[string]struct {
		patch settings.Patch
		field string // "" = valid
	}{
		"strategy known":    {strategy("round_robin"), ""},
		"strategy unknown":  {strategy("psychic"), "strategy"},
		"strategy empty":    {strategy(""), "strategy"},
		"attempts 0":        {attempts(0), "retry.attempts"},
		"attempts 1":        {attempts(1), ""},
		"attempts 20":       {attempts(20), ""},
		"attempts 21":       {attempts(21), "retry.attempts"},
		"budget 0":          {budget(0), ""},
		"budget 1":          {budget(1), ""},
		"budget 20":         {budget(20), "retry.budget"},
		"budget negative":   {budget(-0.1), "retry.budget"},
		"budget not finite": {budget(math.NaN()), "retry.budget"},
		"hedge 0":           {hedge(0), ""},
		"hedge 1":           {hedge(1), ""},
		"hedge 5":           {hedge(5), "retry.hedge"},
		"hedge negative":    {hedge(-0.1), "retry.hedge"},
		"hedge not finite":  {hedge(math.NaN()), "retry.hedge"},
		"wait 0":            {wait(0), ""},
		"wait negative":     {wait(-1), "retry.wait"},
		"wait 5m":           {wait(5 * time.Minute), ""},
		"wait above 5m":     {wait(5*time.Minute + 1), "retry.wait"},
	} {
		t.Run(name, func(t *testing.T) {
			st := open(t, memory.New(), settings.Patch{})
			before := *st.Current()
			err := st.Update(test.patch)
			invalid, _ := errors.AsType[*settings.InvalidError](err)
			switch {
			case test.field == "" && err != nil:
				t.Errorf("Update = %v", err)
			case test.field != "" && (invalid == nil || invalid.Faults[0].Field != test.field):
				t.Errorf("Update = %v, want %s refused", err, test.field)
			case test.field != "" && *st.Current() != before:
				t.Error("a refused update changed the values")
			}
		})
	}
}

func TestOpen_StoredValueOfAnotherVersion(t *testing.T) {
	s := memory.New()
	write(t, s, `{"strategy":"psychic","novelty":1}`)
	if _, err := settings.Open(s, settings.Patch{}); err == nil {
		t.Error("an unknown stored strategy was taken")
	}
	name := "round_robin"
	if st := open(t, s, settings.Patch{"strategy": name}); st.Current().Strategy != name {
		t.Error("the Caddyfile does not overrule a stored strategy")
	}
	write(t, s, `{`)
	if _, err := settings.Open(s, settings.Patch{}); err == nil {
		t.Error("a damaged value was taken")
	}
}

func write(t *testing.T, s store.Store, value string) {
	t.Helper()
	if err := s.Write(store.Batch{Ops: []store.Op{{Key: "settings/values", Value: []byte(value)}}}); err != nil {
		t.Fatal(err)
	}
}

// TestStore_ParallelUpdatesLoseNothing is about two nodes on one store.
func TestStore_ParallelUpdatesLoseNothing(t *testing.T) {
	s := memory.New()
	a, b := open(t, s, settings.Patch{}), open(t, s, settings.Patch{})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := a.Update(wait(time.Second)); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := b.Update(settings.Patch{"retry.attempts": int64(9)}); err != nil {
				t.Error(err)
			}
			_ = b.Current().Retry
		})
	}
	wg.Wait()
	if got := open(t, s, settings.Patch{}).Current().Retry; got.Attempts != 9 || got.Wait != time.Second {
		t.Errorf("stored = %+v, want both changes", got)
	}
}

func TestPatch_JSON(t *testing.T) {
	const text = `{"limits":{"budget":{"day":1.000000001}},"retry":{"attempts":3,"budget":0.2,"hedge":0.05,"wait":"10s"},"strategy":"round_robin"}`
	var p settings.Patch
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	if got, _ := json.Marshal(p); string(got) != text {
		t.Errorf("got %s, want %s", got, text)
	}
	if got, _ := json.Marshal(settings.Patch{}); string(got) != "{}" {
		t.Errorf("an empty patch is %s, want {}", got)
	}
	if err := json.Unmarshal([]byte(`{"retry":{"wait":10}}`), &p); err == nil {
		t.Error("a wait without a unit was taken")
	}
}

func BenchmarkStore_Current(b *testing.B) {
	st, err := settings.Open(memory.New(), settings.Patch{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if st.Current().Retry.Attempts == 0 {
			b.Fatal("no attempts")
		}
	}
}
