// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"reflect"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// What several keys have used for a request is in the sums of each, and in all once;
// rows of the log keep it.
func TestCharge_ByKey(t *testing.T) {
	l, err := Open(memory.New(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	part := Charge{Input: 10, Cached: 4, Output: 3, Thoughts: 2, ToolUse: 1, Cost: 700}
	r := Record{
		At: time.Now(), RequestID: "req_1", KeyID: "last", Status: 200, Outcome: "ok", Attempts: 3, Priced: true,
		Input: 25, Cached: 5, Output: 6, Thoughts: 5, ToolUse: 2, Cost: 1500,
		Tries: []Try{{KeyID: "first", Verdict: "unusable", Status: 200, Charge: part}, {KeyID: "refused", Verdict: "rate_limited", Status: 429}, {KeyID: "last", Verdict: "ok", Status: 200}},
	}
	l.Add(r)
	total := l.Totals(time.Time{})
	for name, want := range map[string]Counts{
		"first":   {Attempts: 1, Errors: 1, Input: 10, Cached: 4, Output: 3, Thoughts: 2, ToolUse: 1, Cost: 700},
		"refused": {Attempts: 1, Errors: 1},
		"last":    {Requests: 1, Attempts: 1, Input: 15, Cached: 1, Output: 3, Thoughts: 3, ToolUse: 1, Cost: 800, Retried: 1},
	} {
		if got := total.ByKey[name]; got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if c := total.Counts; c.Input != 25 || c.Cost != 1500 || c.Requests != 1 {
		t.Errorf("in all %+v", c)
	}

	rows, err := decodeRows(encodeRows([]Record{r}))
	if err != nil {
		t.Fatal(err)
	}
	if got := rows.record(0).Tries; !reflect.DeepEqual(got, r.Tries) {
		t.Errorf("came back as %+v", got)
	}
}
