// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// leaves counts the values in a struct of structs.
func leaves(t reflect.Type) (n int) {
	for f := range t.NumField() {
		if ft := t.Field(f).Type; ft.Kind() == reflect.Struct {
			n += leaves(ft)
		} else {
			n++
		}
	}
	return n
}

// TestFields_CoverValues sets every field by its name and looks for it in Values:
// each changes one value that no other does.
func TestFields_CoverValues(t *testing.T) {
	defaults := settings.Defaults()
	if got, want := len(settings.Fields()), leaves(reflect.TypeFor[settings.Values]()); got != want {
		t.Errorf("%d fields for %d values", got, want)
	}
	seen := map[settings.Values]string{defaults: "defaults"}
	for _, f := range settings.Fields() {
		t.Run(f.Name, func(t *testing.T) {
			st := open(t, memory.New(), settings.Patch{})
			other := another(f)
			if err := st.Update(settings.Patch{f.Name: other}); err != nil {
				t.Fatal(err)
			}
			now := *st.Current()
			if got := f.Value(&now); got != other {
				t.Errorf("value = %v, want %v", got, other)
			}
			if first, twice := seen[now]; twice {
				t.Errorf("changes the same as %s", first)
			}
			seen[now] = f.Name
			if f.Effect == "" || (f.Type == settings.TypeWord) != (len(f.Options) > 0) {
				t.Errorf("is not described: %+v", f)
			}
			if err := st.Update(settings.Patch{f.Name: nil}); err != nil || *st.Current() != defaults {
				t.Errorf("back to the default: %v, %+v", err, *st.Current())
			}
		})
	}
}

// another is a valid value that is not the default.
func another(f *settings.Field) any {
	defaults := settings.Defaults()
	switch v := f.Value(&defaults).(type) {
	case bool:
		return !v
	case string:
		if f.Options == nil {
			return "gemini-flash-latest"
		}
		for _, o := range f.Options {
			if o != v {
				return o
			}
		}
	case int64:
		return v + 1
	case float64:
		return v + 0.25
	case time.Duration:
		return v + time.Second
	}
	return nil
}

func TestParsePatch(t *testing.T) {
	for name, test := range map[string]struct {
		body  string
		want  settings.Patch // nil = refused
		fault string         // field and code
	}{
		"nothing":              {`{}`, settings.Patch{}, ""},
		"nested":               {`{"retry":{"attempts":5,"wait":"1m"}}`, settings.Patch{"retry.attempts": int64(5), "retry.wait": time.Minute}, ""},
		"dotted":               {`{"retry.attempts":5}`, settings.Patch{"retry.attempts": int64(5)}, ""},
		"half dotted":          {`{"limits.budget":{"day":2.5},"limits":{"budget.month":"10"}}`, settings.Patch{"limits.budget.day": int64(2_500_000_000), "limits.budget.month": int64(10_000_000_000)}, ""},
		"null is the default":  {`{"strategy":null}`, settings.Patch{"strategy": nil}, ""},
		"days":                 {`{"request_log":{"retention":"7d12h"}}`, settings.Patch{"request_log.retention": 180 * time.Hour}, ""},
		"nano-USD":             {`{"limits.budget.day":0.000000001}`, settings.Patch{"limits.budget.day": int64(1)}, ""},
		"below nano-USD":       {`{"limits.budget.day":0.0000000001}`, nil, "limits.budget.day wrong_type"},
		"negative USD":         {`{"limits.budget.day":-1}`, nil, "limits.budget.day wrong_type"},
		"USD in powers":        {`{"limits.budget.day":1e3}`, nil, "limits.budget.day wrong_type"},
		"too much USD":         {`{"limits.budget.day":1000000001}`, nil, "limits.budget.day invalid_value"},
		"unknown":              {`{"retry":{"tries":1}}`, nil, "retry.tries unknown_field"},
		"unknown at top":       {`{"master_key":"x"}`, nil, "master_key unknown_field"},
		"twice":                {`{"strategy":"adaptive","strategy":"adaptive"}`, nil, "strategy repeated_field"},
		"twice in two forms":   {`{"retry":{"attempts":1},"retry.attempts":1}`, nil, "retry.attempts repeated_field"},
		"group as a word":      {`{"retry":"hard"}`, nil, "retry wrong_type"},
		"group as a list":      {`{"retry":[{"a":1},2]}`, nil, "retry wrong_type"},
		"group as null":        {`{"retry":null}`, nil, "retry wrong_type"},
		"count with a part":    {`{"retry":{"attempts":1.5}}`, nil, "retry.attempts wrong_type"},
		"count as text":        {`{"retry":{"attempts":"5"}}`, nil, "retry.attempts wrong_type"},
		"duration as a number": {`{"retry":{"wait":10}}`, nil, "retry.wait wrong_type"},
		"duration of words":    {`{"retry":{"wait":"long"}}`, nil, "retry.wait invalid_value"},
		"switch as a word":     {`{"fetch_images":"on"}`, nil, "fetch_images wrong_type"},
		"model with a slash":   {`{"validation":{"model":"models/x"}}`, nil, "validation.model invalid_value"},
		"list":                 {`[]`, nil, ""},
		"two objects":          {`{}{}`, nil, ""},
		"cut":                  {`{"retry":{`, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := settings.ParsePatch([]byte(test.body))
			if test.want != nil {
				if err != nil || !reflect.DeepEqual(got, test.want) {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			invalid, _ := err.(*settings.InvalidError)
			switch {
			case err == nil:
				t.Errorf("accepted as %v", got)
			case test.fault == "" && invalid != nil:
				t.Errorf("got faults %v", invalid)
			case test.fault != "" && (invalid == nil || invalid.Faults[0].Field+" "+invalid.Faults[0].Code != test.fault):
				t.Errorf("got %v, want %s", err, test.fault)
			}
		})
	}
}

// TestParsePatch_AllFaults: a form shows them all at once, and no value among them.
func TestParsePatch_AllFaults(t *testing.T) {
	_, err := settings.ParsePatch([]byte(`{"strategy":"canary-1","retry":{"attempts":"canary-2"},"heartbeat":"canary-3"}`))
	if err == nil || strings.Count(err.Error(), ";") != 2 || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}

func FuzzParsePatch(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"retry":{"wait":"10s","budget":1e400}}`, `{"retry":null,"strategy":null}`, `{"limits":{"limits":{"limits":{}}}}`,
		`{"a":{"b":[[[]]]}}`, `{"limits":{"budget":{"day":1.25}}}`, "\ufeff{}", `{"retry.wait":"1d"}`, `{"request_log":{"retention":"99999999999d"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := settings.ParsePatch(body)
		if err != nil {
			return
		}
		encoded, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := settings.ParsePatch(encoded)
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%q: %v, written as %s, reads as %v, %v", body, p, encoded, again, err)
		}
		st, err := settings.Open(memory.New(), settings.Patch{})
		if err != nil {
			t.Fatal(err)
		}
		_ = st.Update(p) // a patch that parses may contradict itself, no more
	})
}
