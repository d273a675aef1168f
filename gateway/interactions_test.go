// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestInteractions_Cut: the client of a stream that Google cuts gets an error event.
// Source: specs/native-anthropic.md A.11.
func TestInteractions_Cut(t *testing.T) {
	const begun = "event: interaction.created\ndata: {\"event_type\":\"interaction.created\",\"interaction\":{\"id\":\"v1_abc\",\"status\":\"in_progress\"}}\n\n"
	w := newWorld(t, keys(1), stub(t, func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		rw.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(rw, begun)
	}))
	for name, a := range map[string]answer{
		"made":      w.post("/v1beta/interactions", `{"model":"`+model+`","input":"x","stream":true}`),
		"and again": w.get("/v1beta/interactions/v1_abc?stream=true"),
	} {
		if a.status != 200 || !strings.HasPrefix(a.body, begun+"event: error\ndata: {") || !strings.Contains(a.body, "cut off") {
			t.Errorf("%s: %d %q", name, a.status, a.body)
		}
	}
}

// TestInteractions_Booked: what an interaction used is booked once, by the first answer
// that tells of it, and its user pays for one in the background when it is polled.
// Source: specs/native-anthropic.md A.11.
func TestInteractions_Booked(t *testing.T) {
	const polls = 5
	for name, tc := range map[string]struct {
		body  string
		query string // of polls
		late  bool   // booked by a poll
	}{
		"at once":               {`"input":"hello [[thoughts 900]]"`, "", false},
		"streamed":              {`"input":"hello [[thoughts 900]]","stream":true`, "", false},
		"streamed again":        {`"input":"hello [[thoughts 900]]"`, "?stream=true", false},
		"background":            {`"input":"hello [[thoughts 900]]","background":true`, "", true},
		"background, streamed":  {`"input":"hello [[thoughts 900]]","background":true`, "?stream=true", true},
		"background and stream": {`"input":"hello [[thoughts 900]]","background":true,"stream":true`, "", false},
		"stream that broke":     {`"input":"hello [[thoughts 900]][[cut 3]]","stream":true`, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				google := keys(1)
				google.OperationPolls = 2
				w := newBubble(t, google)
				_, secret, err := w.users.Create(t.Context(), users.Spec{Name: "few", Limits: users.Limits{TPM: 1000, RPM: 1000}})
				must(t, err)
				w.key = secret
				account, err := w.users.Authenticate(secret)
				must(t, err)
				left := func() int64 { return account.Remaining()[1].Remaining }

				made := w.post("/v1beta/interactions", `{"model":"`+model+`",`+tc.body+`}`)
				_, rest, _ := strings.Cut(made.body, `"id":"v1_`)
				id, _, _ := strings.Cut(rest, `"`)
				if made.status != 200 || id == "" {
					t.Fatalf("%d %s", made.status, made.body)
				}
				books := w.usage.Totals(time.Time{})
				if booked := books.Output+books.Thoughts > 0; booked == tc.late || tc.late != (left() > 900) {
					t.Errorf("made: %+v, %d tokens left", books.Counts, left())
				}
				for range polls {
					if a := w.get("/v1beta/interactions/v1_" + id + tc.query); a.status != 200 && a.status != 429 {
						t.Errorf("%d %s", a.status, a.body)
					}
				}
				books = w.usage.Totals(time.Time{})
				used := books.Input + books.Output + books.Thoughts
				if books.Thoughts != 900 || left() != max(0, 1000-used) {
					t.Errorf("polled: %+v of %d, %d tokens left, want %d", books.Counts, used, left(), 1000-used)
				}
				if by := books.ByModel[model]; by.Thoughts != 900 {
					t.Errorf("of %s %+v", model, by)
				}
				if a := w.post("/v1beta/interactions", `{"model":"`+model+`","input":"`+strings.Repeat("more ", 2000)+`"}`); a.status != 429 {
					t.Errorf("after all: %d, want the limit", a.status)
				}
				time.Sleep(2 * time.Minute)
				before := w.usage.Totals(time.Time{}).Thoughts
				if a := w.get("/v1beta/interactions/v1_" + id); a.status != 200 || w.usage.Totals(time.Time{}).Thoughts != before || left() != 1000 {
					t.Errorf("later: %d, %d tokens left", a.status, left())
				}
			})
		})
	}
}

// TestInteractions_BookedOnce: of many polls at once only one books.
func TestInteractions_BookedOnce(t *testing.T) {
	w := newWorld(t, keys(1))
	a := w.post("/v1beta/interactions", `{"model":"`+model+`","input":"hello [[thoughts 900]]","background":true}`)
	name := nameOf(t, "interactions", a.body)
	var polls sync.WaitGroup
	for range 16 {
		polls.Go(func() { w.get("/v1beta/" + name) })
	}
	polls.Wait()
	w.server.Close() // waits for what is still booking
	if got := w.usage.Totals(time.Time{}).Thoughts; got != 900 {
		t.Errorf("booked %d thoughts, want 900", got)
	}
}

// TestInteractions_NothingBooked: what only shows something costs no tokens.
func TestInteractions_NothingBooked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, keys(1))
		made := w.post("/v1beta/cachedContents", nativeKinds[0].make[2])
		before := w.usage.Totals(time.Time{})
		for range 3 {
			w.get("/v1beta/" + nameOf(t, "cachedContents", made.body))
		}
		if after := w.usage.Totals(time.Time{}); after.Input != before.Input || after.Requests != before.Requests+3 {
			t.Errorf("%+v, before %+v", after.Counts, before.Counts)
		}
	})
}
