// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

func TestAlias_Match(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"gpt-4o", "gpt-4o", true}, {"gpt-4o", "gpt-4o-mini", false}, {"gpt-4o", "GPT-4o", false},
		{"gpt-*", "gpt-", true}, {"gpt-*", "gpt-4o", true}, {"gpt-*", "gp", false},
		{"*-mini", "o4-mini", true}, {"*-mini", "o4-mini-high", false},
		{"claude-*-4*", "claude-opus-4-1", true}, {"claude-*-4*", "claude-3-opus", false},
		{"a*b*c", "axxbyybzzc", true}, {"a*b*c", "acb", false}, {"a?c", "abc", false},
	} {
		a := settings.Alias{Name: test.pattern}
		if got := a.Match(test.name); got != test.want {
			t.Errorf("%q for %q: %v", test.pattern, test.name, got)
		}
	}
}

func TestAliases_Replace(t *testing.T) {
	s := memory.New()
	a := openAliases(t, s)
	first, etag := a.Current()
	if len(*first) != 0 || etag == "" {
		t.Errorf("an empty store gives %v, %s", *first, etag)
	}
	want := []settings.Alias{{Name: "gpt-*", Targets: []string{"gemini-pro-latest", "gemini-flash-latest"}}, {Name: "fast", Targets: []string{"gemini-flash-latest"}, Hidden: true, Search: true, ThinkingBudget: new(int64(0))}}
	if err := a.Replace(want, etag); err != nil {
		t.Fatal(err)
	}
	if err := a.Replace(nil, etag); !errors.Is(err, settings.ErrChanged) {
		t.Errorf("for an old list: %v", err)
	}
	if got, _ := openAliases(t, s).Current(); !reflect.DeepEqual(*got, want) {
		t.Errorf("after a start: %v", *got)
	}
	for name, list := range map[string][]settings.Alias{
		"items[0].name":            {{Name: "", Targets: []string{"x"}}},
		"items[1].name":            {{Name: "a", Targets: []string{"x"}}, {Name: "a", Targets: []string{"y"}}},
		"items[0].targets":         {{Name: "a"}},
		"items[0].targets[1]":      {{Name: "a", Targets: []string{"x", "../y"}}},
		"items[0].thinking_budget": {{Name: "a", Targets: []string{"x"}, ThinkingBudget: new(int64(-2))}},
		"items":                    make([]settings.Alias, settings.MaxAliases+1),
	} {
		invalid, ok := errors.AsType[*settings.InvalidError](a.Replace(list, ""))
		if !ok || invalid.Faults[0].Field != name {
			t.Errorf("want a fault at %s, got %v", name, invalid)
		}
	}
	for _, name := range []string{"*", "**", "a b", "a/b", "a{b", "ä", "a\x00", "a\"b"} {
		if err := a.Replace([]settings.Alias{{Name: name, Targets: []string{"x"}}}, ""); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
}

func TestAliases_ExactlyOneReplaces(t *testing.T) {
	a := openAliases(t, memory.New())
	for range 20 {
		_, etag := a.Current()
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				if a.Replace([]settings.Alias{{Name: string(rune('a' + i)), Targets: []string{"x", etag[1:9]}}}, etag) == nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d were taken", won.Load())
		}
	}
}

func openAliases(t *testing.T, s store.Store) *settings.Aliases {
	t.Helper()
	a, err := settings.OpenAliases(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
