// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"slices"
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	long := strings.Repeat("x", 65)
	for name, tc := range map[string]struct {
		events  []string
		id      string
		reasons []string
	}{
		"a whole answer": {[]string{`{"candidates":[{"finishReason":"MAX_TOKENS"}],"responseId":"b36L"}`}, "b36L", []string{"MAX_TOKENS"}},
		"a stream": {[]string{
			`{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"responseId":"b36L"}`,
			`{"candidates":[{"finishReason":"STOP"}],"responseId":"b36L"}`,
			`{"usageMetadata":{},"responseId":"b36L"}`,
		}, "b36L", []string{"STOP"}},
		"candidates that end in another order": {[]string{
			`{"candidates":[{"index":1,"finishReason":"SAFETY"}]}`, `{"candidates":[{"finishReason":"STOP"}]}`,
		}, "", []string{"STOP", "SAFETY"}},
		"candidates without numbers":    {[]string{`{"candidates":[{"finishReason":"STOP"},{"finishReason":"LANGUAGE"}]}`}, "", []string{"STOP", "LANGUAGE"}},
		"two at once, in another order": {[]string{`{"candidates":[{"index":1,"finishReason":"STOP"},{"finishReason":"OTHER"}]}`}, "", []string{"OTHER", "STOP"}},
		"a word that is new":            {[]string{`{"candidates":[{"finishReason":"TOO_MANY_TOOL_CALLS"}]}`}, "", []string{"TOO_MANY_TOOL_CALLS"}},
		"what is no word":               {[]string{`{"candidates":[{"finishReason":"` + long + `"}, {"finishReason":7}, {"finishReason":null}]}`}, "", nil},
		"an index that is none":         {[]string{`{"candidates":[{"index":8,"finishReason":"STOP"}]}`}, "", nil},
		"a blocked prompt":              {[]string{`{"promptFeedback":{"blockReason":"SAFETY"},"responseId":"b36L"}`}, "b36L", nil},
		"an id that is none":            {[]string{`{"responseId":"` + long + `"}`, `{"responseId":7}`, `{"responseId":"a\nb"}`}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var r Response
			for _, e := range tc.events {
				doc := []byte(e)
				if err := r.Decode(doc); err != nil {
					t.Fatal(err)
				}
				clear(doc) // as the memory of a stream's events is used again
			}
			if id := r.Summary.ResponseID(); id != tc.id {
				t.Errorf("id %q, want %q", id, tc.id)
			}
			if got := r.Summary.FinishReasons(); !slices.Equal(got, tc.reasons) {
				t.Errorf("reasons %q, want %q", got, tc.reasons)
			}
			r.Reset()
			if r.Summary != (Summary{}) {
				t.Errorf("%v is left", r.Summary)
			}
		})
	}
}
