// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"encoding/json"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestUSD: dollars go in and out of JSON exactly.
func TestUSD(t *testing.T) {
	for _, c := range []struct {
		in   string
		nano users.USD
		out  string // "" for an error
	}{
		{"0", 0, "0"},
		{"5", 5_000_000_000, "5"},
		{"5.0", 5_000_000_000, "5"},
		{"12.50", 12_500_000_000, "12.5"},
		{"0.1", 100_000_000, "0.1"},
		{"0.000000001", 1, "0.000000001"},
		{"999999999.999999999", 999_999_999_999_999_999, "999999999.999999999"},
		{"1000000000", 1_000_000_000_000_000_000, "1000000000"},
		{"0.0000000001", 0, ""},
		{"1000000001", 0, ""},
		{"-1", 0, ""},
		{"1e3", 1_000_000_000_000, "1000"},
		{"1e-9", 1, "0.000000001"},
		{"1.5E-7", 150, "0.00000015"},
		{"12.5e+1", 125_000_000_000, "125"},
		{"1234e-3", 1_234_000_000, "1.234"},
		{"0e0", 0, "0"},
		{"1e-10", 0, ""},
		{"1e10", 0, ""},
		{"-1e-2", 0, ""},
		{"1e999999999", 0, ""},
		{"1e-999999999999999999999", 0, ""},
		{`"5"`, 0, ""},
		{"true", 0, ""},
		{"[1]", 0, ""},
	} {
		t.Run(c.in, func(t *testing.T) {
			var got users.USD
			err := json.Unmarshal([]byte(c.in), &got)
			if (err != nil) != (c.out == "") || got != c.nano {
				t.Fatalf("%d, %v; want %d", got, err, c.nano)
			}
			if out, _ := json.Marshal(got); c.out != "" && string(out) != c.out {
				t.Errorf("out %s, want %s", out, c.out)
			}
		})
	}
}

// TestBudget_JSON: a bare number is the total; what is not there is none.
func TestBudget_JSON(t *testing.T) {
	for in, want := range map[string]users.Budget{
		`2.5`:                             {Total: 2_500_000_000},
		`{"day":1,"month":20,"total":99}`: {Day: 1e9, Month: 20e9, Total: 99e9},
		`{}`:                              {},
	} {
		var got users.Budget
		if err := json.Unmarshal([]byte(in), &got); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, nonsense := range []string{`{"day":-1}`, `"x"`, `[]`, `{"daily":5}`, `{"Day":5}`, `{"day":5,"day":6}`, `{"day":{"day":1}}`} {
		var b users.Budget
		if json.Unmarshal([]byte(nonsense), &b) == nil {
			t.Errorf("%s was read as %+v", nonsense, b)
		}
	}
}
