// SPDX-License-Identifier: Apache-2.0

package native

import (
	"errors"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// TestInteraction_End: a stream has ended when it says so; what was cut before must
// not end like a success. Source: specs/native-anthropic.md A.11.
func TestInteraction_End(t *testing.T) {
	const (
		created   = `{"event_type":"interaction.created","interaction":{"id":"v1_a","status":"in_progress"}}`
		delta     = `{"event_type":"step.delta","index":0,"delta":{"type":"text","text":"interaction.completed"}}`
		completed = `{"event_type":"interaction.completed","interaction":{"id":"v1_a","status":"completed","usage":{"total_tokens":3}}}`
	)
	for name, tc := range map[string]struct {
		events []string
		cut    bool
	}{
		"whole":              {[]string{created, delta, completed, "[DONE]"}, false},
		"without a sentinel": {[]string{created, delta, completed}, false},
		"only the sentinel":  {[]string{"[DONE]"}, false}, // resumed after the last event
		"error event":        {[]string{created, `{"event_type":"error","error":{"code":"internal","message":"m"}}`}, false},
		"error without type": {[]string{created, `{"error":{"code":"internal","message":"m"}}`}, false},
		"cut":                {[]string{created, delta}, true},
		"cut at once":        {[]string{created}, true},
		"nothing":            {nil, true},
	} {
		x := NewInteraction(&translate.Call{Method: "POST", Stream: translate.SSE})
		for attempt := range 2 { // what one attempt saw is nothing to the next
			x.Begin()
			events := tc.events
			if attempt == 0 {
				events = []string{created, "[DONE]"}
			}
			var out []byte
			var err error
			for _, e := range events {
				if out, err = x.Event(out, translate.Frame{Raw: []byte("data: " + e + "\n\n"), Data: []byte(e)}); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			_, err = x.End(out)
			f, failed := errors.AsType[*translate.Failure](err)
			if cut := failed && f.Kind == translate.Truncated; attempt == 1 && cut != tc.cut || attempt == 0 && err != nil {
				t.Errorf("%s, attempt %d: %v, want cut off: %v", name, attempt, err, tc.cut)
			}
		}
	}
}
