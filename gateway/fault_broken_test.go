// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestBrokenAnswers: an answer that broke was begun, and may be paid. So it counts
// against the attempts that are allowed, unlike what never reached Google.
func TestBrokenAnswers(t *testing.T) {
	for _, s := range wireSurfaces {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubble(t, keys(8))
				patchWait(t, w, 10*time.Second)
				got := w.askAny(t.Context(), s, "[[say Hello]][[events 4]][[reset_event 0]]")
				if n := w.google.Count(); n != 3 {
					t.Errorf("%d attempts, want 3: %d %s", n, got.status, got.body)
				}
			})
		})
	}
}
