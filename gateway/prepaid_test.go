// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestPrepaid_Batch: what a batch was foretold to cost is charged when it is made, and
// becomes what it has cost when that is known, more or less; where nothing was charged,
// nothing stays.
func TestPrepaid_Batch(t *testing.T) {
	const long = "[[size 9000]]"
	more, less := false, false // than foretold
	for _, tc := range []struct {
		name, display, prompt string
		state                 string // that it is put into
		foretold, file        bool   // the cost in the end is as foretold; results are in a file
	}{
		{name: "cheap"},
		{name: "cheap, in a file", file: true},
		{name: "dear", prompt: long},
		{name: "dear, in a file", prompt: long, file: true},
		{name: "failed", display: "broken"},
		{name: "expired", state: fakegemini.BatchExpired},
		{name: "cancelled", state: fakegemini.BatchCancelled, foretold: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubble(t, keys(1))
				id := w.as(users.Spec{Name: "rich", Unlimited: true, Limits: users.Limits{TPD: 1 << 40, Budget: &users.Budget{Total: 1 << 50}}})
				spent := func() users.Spent {
					v, err := w.users.View(id)
					must(t, err)
					return v.Spent
				}
				request := fmt.Sprintf(`{"contents":[{"role":"user","parts":[{"text":"hello %s"}]}]}`, tc.prompt)
				input := `{"requests":{"requests":[{"request":` + request + `}]}}`
				if tc.file {
					a := w.post("/upload/v1beta/files", `{"key":"a","request":`+request+`}`, "X-Goog-Upload-Protocol", "raw", "Content-Type", "application/jsonl")
					input = `{"fileName":` + at(t, a.body, "file.name") + `}`
				}
				a := w.post("/v1beta/models/"+model+":batchGenerateContent", fmt.Sprintf(`{"batch":{"displayName":%q,"inputConfig":%s}}`, "b "+tc.display, input))
				if a.status != http.StatusOK {
					t.Fatalf("%d %s", a.status, a.body)
				}
				name := strings.Trim(at(t, a.body, "name"), `"`)
				foretold := spent()
				if foretold.Total == 0 || foretold.Day != foretold.Total {
					t.Fatalf("a batch is foretold to cost %+v", foretold)
				}
				if tc.state != "" {
					w.google.SetBatchState("p1", name, tc.state)
				}
				want := int64(0)
				if tc.foretold {
					want = foretold.Total
				}
				for range 2 {
					a := w.get("/v1beta/" + name)
					if a.status != http.StatusOK {
						t.Fatalf("%d %s", a.status, a.body)
					}
					if tc.file {
						a = w.get("/download/v1beta/" + strings.Trim(at(t, a.body, "response.responsesFile"), `"`) + ":download?alt=media")
					}
					if i := strings.Index(a.body, `"promptTokenCount"`); i >= 0 {
						in, out, thoughts := countIn(a.body, "promptTokenCount"), countIn(a.body, "candidatesTokenCount"), countIn(a.body, "thoughtsTokenCount")
						want = (in*500 + (out+thoughts)*3000) / 2
					}
					if got := spent(); got.Total != want || got.Day != want {
						t.Errorf("foretold to cost %d, charged %+v, want %d", foretold.Total, got, want)
					}
				}
				more, less = more || want > foretold.Total, less || want > 0 && want < foretold.Total
			})
		})
	}
	if !more || !less {
		t.Errorf("some cost more than foretold: %v, some less: %v", more, less)
	}
}

// TestPrepaid_Interaction: likewise for an interaction in the background.
func TestPrepaid_Interaction(t *testing.T) {
	for _, tc := range []struct {
		status, usage string
		want          int64 // -1 for what was foretold
	}{
		{"completed", `,"usage":{"total_input_tokens":3,"total_output_tokens":1,"total_tokens":4}`, 3*500 + 3000},
		{"failed", `,"usage":{"total_input_tokens":3,"total_output_tokens":0,"total_tokens":3}`, 3 * 500},
		{"failed", "", 0},
		{"in_progress", "", -1},
		{"cancelled", "", -1},
	} {
		t.Run(tc.status+tc.usage, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubble(t, keys(1))
				id := w.as(users.Spec{Name: "rich", Unlimited: true, Limits: users.Limits{Budget: &users.Budget{Total: 1 << 50}}})
				spent := func() int64 {
					v, err := w.users.View(id)
					must(t, err)
					return v.Spent.Total
				}
				a := w.post("/v1beta/interactions", `{"model":"`+model+`","input":"hello there","background":true}`)
				if a.status != http.StatusOK {
					t.Fatalf("%d %s", a.status, a.body)
				}
				foretold, name := spent(), strings.Trim(at(t, a.body, "id"), `"`)
				if foretold <= 3*500+3000 {
					t.Fatalf("foretold are %d", foretold)
				}
				w.google.Script(fakegemini.Rule{Method: "interactions.get", Steer: fakegemini.Steer{
					Status: 200, Body: fmt.Sprintf(`{"id":%q,"object":"interaction","model":%q,"status":%q%s}`, name, model, tc.status, tc.usage),
				}})
				want := tc.want
				if want < 0 {
					want = foretold
				}
				for range 2 {
					if a := w.get("/v1beta/interactions/" + name); a.status != http.StatusOK || spent() != want {
						t.Errorf("%d %s: spent %d of %d foretold, want %d", a.status, a.body, spent(), foretold, want)
					}
				}
			})
		})
	}
}

// countIn is a count in usageMetadata.
func countIn(body, name string) (n int64) {
	_, rest, _ := strings.Cut(body, `"`+name+`"`)
	_, _ = fmt.Sscanf(strings.TrimLeft(rest, ": "), "%d", &n)
	return n
}
