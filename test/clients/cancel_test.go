// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// upstreamFeels checks that leave, which starts a slow answer, reads the first
// of it and walks away at the time it returns, is felt by Google within 100 ms.
// The machine may be busy: the best of three counts.
func upstreamFeels(t *testing.T, leave func() time.Time) {
	t.Helper()
	best := time.Hour
	for range 3 {
		before := healthy.google.Count(fakegemini.CanceledByClient)
		gone := leave()
		if !healthy.google.Wait(2*time.Second, before+1, fakegemini.CanceledByClient) {
			t.Fatal("Google still generates 2 s after the client left")
		}
		all := healthy.google.Entries(fakegemini.CanceledByClient)
		if best = min(best, all[len(all)-1].CanceledAt.Sub(gone)); best <= 100*time.Millisecond {
			return
		}
	}
	t.Errorf("Google generated on for %v after the client left", best)
}
