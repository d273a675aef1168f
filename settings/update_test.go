// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"errors"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// TestStore_UpdateIf_ExactlyOneWins: of many who saw the same state one is taken,
// on one node and on two that share a store.
func TestStore_UpdateIf_ExactlyOneWins(t *testing.T) {
	for name, nodes := range map[string]int{"one node": 1, "two nodes": 2} {
		t.Run(name, func(t *testing.T) {
			s := memory.New()
			var stores []*settings.Store
			for range nodes {
				stores = append(stores, open(t, s, settings.Patch{}))
			}
			for round := range 20 {
				etag := stores[0].Snapshot().ETag
				if len(stores) > 1 {
					if err := stores[1].Refresh(); err != nil {
						t.Fatal(err)
					}
				}
				var won atomic.Int32
				var wg sync.WaitGroup
				for i := range 16 {
					wg.Go(func() {
						err := stores[i%nodes].UpdateIf(settings.Patch{"limits.rpm": int64(1000*round + i + 1)}, etag)
						switch {
						case err == nil:
							won.Add(1)
						case !errors.Is(err, settings.ErrChanged):
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if won.Load() != 1 {
					t.Fatalf("round %d: %d were taken, want 1", round, won.Load())
				}
				if err := stores[0].Refresh(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestSnapshot_ETag(t *testing.T) {
	st := open(t, memory.New(), settings.Patch{})
	first := st.Snapshot().ETag
	if err := st.Update(settings.Patch{"retry.wait": 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	stored := st.Snapshot().ETag
	if stored == first {
		t.Error("the source changed and the ETag did not")
	}
	if err := st.Declare(settings.Patch{"retry.wait": 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if st.Snapshot().ETag == stored {
		t.Error("a lock came and the ETag did not change")
	}
	if err := st.UpdateIf(settings.Patch{"heartbeat": time.Second}, stored); !errors.Is(err, settings.ErrChanged) {
		t.Errorf("an update for a state before a reload: %v", err)
	}
	if err := st.Declare(settings.Patch{}); err != nil || st.Snapshot().ETag != stored {
		t.Errorf("the same state has another ETag (%v)", err)
	}
}

func TestStore_Watch(t *testing.T) {
	st := open(t, memory.New(), settings.Patch{})
	var told []int
	end := st.Watch(func(v *settings.Values) { told = append(told, v.Retry.Attempts) })
	for _, p := range []settings.Patch{{"retry.attempts": int64(4)}, {"retry.attempts": int64(0)}, {"retry.attempts": int64(5)}} {
		_ = st.Update(p)
	}
	if err := st.Declare(settings.Patch{"retry.attempts": int64(7)}); err != nil {
		t.Fatal(err)
	}
	end()
	if err := st.Declare(settings.Patch{}); err != nil {
		t.Fatal(err)
	}
	if want := []int{3, 4, 5, 7}; !reflect.DeepEqual(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

func TestSnapshot_ExportImport(t *testing.T) {
	from := open(t, memory.New(), settings.Patch{"retry.hedge": 0.5})
	if err := from.Update(settings.Patch{"heartbeat": time.Second, "limits.budget.day": int64(1_500_000_000)}); err != nil {
		t.Fatal(err)
	}
	file, err := from.Snapshot().Export()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := settings.ParsePatch(file)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	into := open(t, memory.New(), settings.Patch{"heartbeat": 9 * time.Second})
	if err := into.Update(settings.Patch{"strategy": "round_robin"}); err != nil {
		t.Fatal(err)
	}
	p, skipped := into.Snapshot().Import(parsed)
	if err := into.Update(p); err != nil {
		t.Fatal(err)
	}
	want := settings.Defaults()
	want.Heartbeat, want.Limits.Budget.Day, want.Retry.Hedge = 9*time.Second, 1_500_000_000, 0.5
	if got := *into.Current(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !reflect.DeepEqual(skipped, []string{"heartbeat"}) {
		t.Errorf("skipped %v", skipped)
	}
}

func TestStore_ChecksAcrossFields(t *testing.T) {
	st := open(t, memory.New(), settings.Patch{})
	err := st.Update(settings.Patch{"session.absolute": 10 * time.Minute})
	invalid, ok := errors.AsType[*settings.InvalidError](err)
	if !ok || invalid.Faults[0].Field != "session.idle" {
		t.Errorf("Update = %v", err)
	}
}

// TestStore_KeepsWhatANewerVersionSet: going back to an older version and forth
// again loses nothing.
func TestStore_KeepsWhatANewerVersionSet(t *testing.T) {
	s := memory.New()
	write(t, s, `{"strategy":"round_robin","retry":{"attempts":7,"novelty":{"x":1}},"novel":"y"}`)
	st := open(t, s, settings.Patch{})
	if v := st.Current(); v.Strategy != "round_robin" || v.Retry.Attempts != 7 {
		t.Errorf("the stored form of before is not read: %+v", v)
	}
	if err := st.Update(settings.Patch{"retry.attempts": int64(8)}); err != nil {
		t.Fatal(err)
	}
	raw, err := s.Get("settings/values")
	if err != nil || !strings.Contains(string(raw), `"novelty":{"x":1}`) || !strings.Contains(string(raw), `"novel":"y"`) {
		t.Errorf("stored %s, %v", raw, err)
	}
}
