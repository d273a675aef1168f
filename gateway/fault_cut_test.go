// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// Ends in the middle of an answer, from either side, at every place.
// Source: specs/gateways.md U5, U9.

const (
	cutEvents = 12
	cutPace   = 50 * time.Millisecond
	cutDelay  = 200 * time.Millisecond
)

// TestNoReplay breaks streams at every event: once a client has output, Google is
// asked no more, and what came is not said twice.
func TestNoReplay(t *testing.T) {
	say := ""
	for i := range cutEvents {
		say += fmt.Sprintf("w%02d ", i)
	}
	for _, broken := range []string{"cut", "reset_event", "error_event", "error_bare", "silence"} {
		for _, s := range wireSurfaces {
			if !s.stream {
				continue
			}
			t.Run(broken+" "+s.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newBubble(t, keys(4))
					patchWait(t, w, 0)
					for k := range cutEvents {
						before := w.google.Count()
						got := w.askAny(t.Context(), s, fmt.Sprintf("[[say %s]][[events %d]][[pace 50ms]][[%s %d]]", say, cutEvents, broken, k))
						attempts := w.google.Count() - before
						out := strings.Count(got.body, "w0") + strings.Count(got.body, "w1")
						if out > 0 && attempts != 1 {
							t.Errorf("broken at event %d: %d attempts after output: %s", k, attempts, got.body)
						}
						if k > 1 && out == 0 {
							t.Errorf("broken at event %d: nothing of it came: %s", k, got.body)
						}
						for i := range cutEvents {
							if n := strings.Count(got.body, fmt.Sprintf("w%02d", i)); n > 1 {
								t.Errorf("broken at event %d: word %d came %d times", k, i, n)
							}
						}
						if out > 0 {
							checkEnd(t, s, got, breaks, "w00")
						}
					}
				})
			})
		}
	}
}

// TestLeaving: clients leave at 20 moments of an answer. Google's end is told within
// 100 ms, nothing stays taken, and the books have what Google told, or an estimate
// that says so.
func TestLeaving(t *testing.T) {
	const moments = 20
	for _, s := range wireSurfaces {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o watch
				w := newBubble(t, keys(2), o.on)
				key, secret, err := w.users.Create(t.Context(), users.Spec{
					Name: "one at a time", Limits: users.Limits{RPM: 1000, TPM: 1_000_000, Concurrency: 1, Budget: &users.Budget{Day: 100_000_000_000}},
				})
				must(t, err)
				w.key = secret
				for i := range moments {
					// The answer takes cutDelay and, streamed, eleven pauses; the last moments are its end.
					at := max(0, time.Duration(i)*(cutDelay+cutPace*cutEvents)/moments-3*time.Millisecond)
					ctx, cancel := context.WithTimeout(t.Context(), at)
					w.askAny(ctx, s, fmt.Sprintf("hello there [[delay %s]][[events %d]][[pace %s]]", cutDelay, cutEvents, cutPace))
					cancel()
					synctest.Wait()
					checkLeft(t, w, &o, at)
				}
				if got := w.askAny(t.Context(), s, "[[say still there]][[events 1]]"); got.status != http.StatusOK {
					t.Errorf("after all that: %d %s", got.status, got.body)
				}
				checkSpent(t, w, &o, key.ID)
			})
		})
	}
}

// checkLeft checks what is left of the last request, whose client left at a time.
func checkLeft(t *testing.T, w *world, o *watch, at time.Duration) {
	t.Helper()
	if n := w.pool.Stats().InFlight; n != 0 {
		t.Fatalf("left at %s: %d leases are still out", at, n)
	}
	if len(o.records) == 0 {
		t.Fatalf("left at %s: nothing is booked", at)
	}
	r := &o.records[len(o.records)-1]
	if r.Outcome == "ok" {
		return // it was over
	}
	if r.Outcome != "canceled" || r.Error != "" {
		t.Errorf("left at %s: booked as %s %q", at, r.Outcome, r.Error)
	}
	if r.Attempts == 0 {
		return // it left before Google was asked
	}
	entries := w.google.Entries()
	e := &entries[len(entries)-1]
	if late := e.CanceledAt.Sub(e.At) - at; e.CanceledAt.IsZero() || late > 100*time.Millisecond {
		t.Errorf("left at %s: Google heard of it %s later (%s)", at, late, e.CanceledAt)
	}
	told := e.Charge
	if got := billedOf(r); !got.priced || got.cost == 0 || !got.estimated && got.input+got.output == 0 || !got.estimated && got.output > told.Output+told.Thoughts {
		t.Errorf("left at %s: booked %+v, Google charges %+v", at, got, told)
	}
}

// checkSpent checks that a user key has spent what its records say, and holds no more.
func checkSpent(t *testing.T, w *world, o *watch, id string) {
	t.Helper()
	var cost int64
	for i := range o.records {
		cost += o.records[i].Cost
	}
	account, err := w.users.Authenticate(w.key)
	must(t, err)
	standing := account.Standing()
	if got := standing.Spent.Day; got != cost {
		t.Errorf("%d nano-USD are spent of the budget, the records have %d", got, cost)
	}
	for _, l := range standing.Windows {
		if l.Limit == "concurrency" && l.Used != 0 {
			t.Errorf("%d places are taken", l.Used)
		}
	}
	if sum := w.usage.Totals(time.Time{}).ByUser[id]; sum.Cost != cost || sum.Requests != int64(len(o.records)) {
		t.Errorf("the sums have %d requests and %d nano-USD, the records %d and %d", sum.Requests, sum.Cost, len(o.records), cost)
	}
}
