// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// Faults that take minutes, in the time of testing/synctest, with the timeouts that
// a gateway has where nobody set any.
// Source: specs/gateways.md U1, U6, U7, U10.

// wireBubble is a world without a network whose Google speaks bytes.
func wireBubble(t *testing.T, n int, serve func(c net.Conn, stream string)) *world {
	t.Helper()
	var google sync.WaitGroup
	t.Cleanup(google.Wait) // after the client is closed
	return newBubble(t, keys(n), func(c *Config) {
		up, err := upstream.New(upstream.Config{BaseURL: "http://127.0.0.1:1", Dial: func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			google.Go(func() {
				defer there.Close()
				r, err := http.ReadRequest(bufio.NewReader(there))
				if err != nil {
					return
				}
				if _, err := io.Copy(io.Discard, r.Body); err == nil {
					serve(there, streamOf(r))
				}
			})
			return here, nil
		}})
		must(t, err)
		t.Cleanup(up.Close)
		c.Upstream = up
	})
}

// TestSlowWire: a line of one byte a second ends an attempt only when no output
// comes for as long as the timeouts say. What arrives of a whole answer is progress.
func TestSlowWire(t *testing.T) {
	for _, s := range wireSurfaces {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := wireBubble(t, 1, func(c net.Conn, stream string) {
					for _, b := range []byte(head(stream, chunked) + wholeWire(stream)) {
						if _, err := c.Write([]byte{b}); err != nil {
							return
						}
						time.Sleep(time.Second) // a slow line
					}
				})
				must(t, w.gw.Settings.Update(settings.Patch{"retry.attempts": int64(1), "timeouts.first_output": 5 * time.Minute}))
				got := w.askAny(t.Context(), s, "hi")
				checkEnd(t, s, got, succeeds, "all of it")
			})
		})
	}
	for _, s := range wireSurfaces {
		t.Run("too slow "+s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := wireBubble(t, 1, func(c net.Conn, stream string) {
					_, _ = io.WriteString(c, head(stream, chunked))
					for _, b := range part(stream, strings.Repeat("x", 4000), 0, stream == "") {
						if _, err := io.WriteString(c, chunk(string(b))); err != nil {
							return
						}
						time.Sleep(time.Second) // a slow line
					}
				})
				must(t, w.gw.Settings.Update(settings.Patch{"retry.attempts": int64(1)}))
				started := time.Now()
				got := w.askAny(t.Context(), s, "hi")
				checkEnd(t, s, got, late(s, times), "")
				want := 30 * time.Minute // timeouts.total, as there is always some progress
				if s.stream {
					want = 2 * time.Minute // no event for as long as timeouts.first_output
				}
				if took := time.Since(started); took < want || took > want+time.Minute {
					t.Errorf("that took %s, want %s", took, want)
				}
			})
		})
	}
}

// late is how an answer ends that timed out after heartbeats: their stream has begun.
func late(s surface, end wireEnd) wireEnd {
	if end == times && s.stream && (s.openai || s.anthropic()) {
		return breaks
	}
	return end
}

// TestSilence: how long Google may be silent, before its answer and within, and what
// a client gets. A pause that the timeouts allow loses nothing.
func TestSilence(t *testing.T) {
	for _, tc := range []struct {
		before, within time.Duration
		unary, stream  wireEnd
	}{
		{time.Minute, 0, succeeds, succeeds},
		{5 * time.Minute, 0, times, times},
		{30 * time.Minute, 0, times, times},
		{0, time.Minute, succeeds, succeeds},
		{0, 4 * time.Minute, succeeds, succeeds},
		{0, 5*time.Minute + time.Second, times, breaks},
		{0, 30 * time.Minute, times, breaks},
	} {
		for _, s := range wireSurfaces {
			t.Run(fmt.Sprintf("%s before, %s within, %s", tc.before, tc.within, s.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := wireBubble(t, 2, func(c net.Conn, stream string) { silent(c, stream, tc.before, tc.within) })
					started := time.Now()
					got := w.askAny(t.Context(), s, "hi")
					end := tc.unary
					if s.stream {
						end = tc.stream
					}
					checkEnd(t, s, got, late(s, end), map[wireEnd]string{succeeds: "all of it", breaks: "all"}[end])
					if took := time.Since(started); took > 31*time.Minute {
						t.Errorf("that took %s; timeouts.total is less", took)
					}
				})
			})
		}
	}
}

// silent answers with pauses.
func silent(c net.Conn, stream string, before, within time.Duration) {
	time.Sleep(before) // Google says nothing
	pieces := []string{part(stream, "all ", 0, false), part(stream, "of it", 1, true)}
	if stream == "" {
		whole := part(stream, "all of it", 0, true)
		pieces = []string{whole[:20], whole[20:]}
	}
	send(c, head(stream, chunked), chunk(pieces[0]))
	time.Sleep(within) // Google says nothing
	send(c, chunk(pieces[1]), "0\r\n\r\n")
}

// TestSilence_Thinking: ten minutes of thoughts before the first word and again in
// the middle, where an operator allows that. Clients of dialects with heartbeats hear
// of it every 15 s, and every stream is whole to its last event.
func TestSilence_Thinking(t *testing.T) {
	for _, s := range wireSurfaces {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := wireBubble(t, 1, func(c net.Conn, stream string) { silent(c, stream, 10*time.Minute, 10*time.Minute) })
				must(t, w.gw.Settings.Update(settings.Patch{"timeouts.first_output": 15 * time.Minute, "timeouts.idle": 15 * time.Minute}))
				got := w.askAny(t.Context(), s, "hi")
				checkEnd(t, s, got, succeeds, "all of it")
				beats := strings.Count(got.body, ": keepalive\n\n") + strings.Count(got.body, "event: ping\n")
				if heard := s.stream && (s.openai || s.anthropic()); heard && beats < 70 || !heard && beats > 0 {
					t.Errorf("%d heartbeats: %.300q", beats, got.body)
				}
			})
		})
	}
}

// clock sends requests at a rate, whatever becomes of them, and tells what became of
// those of each second.
type clock struct {
	started  time.Time
	asked    []atomic.Int64 // by the second they were asked in
	answered []atomic.Int64 // … of them those that were answered with 200
}

// ask sends perSecond requests for so many seconds.
func (w *world) askAtRate(perSecond, seconds int) *clock {
	c := &clock{started: time.Now(), asked: make([]atomic.Int64, seconds), answered: make([]atomic.Int64, seconds)}
	body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}]}`, model)
	done := make(chan struct{})
	total := perSecond * seconds
	for i := range total {
		go func() {
			defer func() { done <- struct{}{} }()
			r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+w.key)
			rec := httptest.NewRecorder()
			second := i / perSecond
			c.asked[second].Add(1)
			if w.gw.ServeHTTP(rec, r); rec.Code == http.StatusOK {
				c.answered[second].Add(1)
			}
		}()
		time.Sleep(time.Second / time.Duration(perSecond)) // the pace of the load
	}
	for range total {
		<-done
	}
	return c
}

// TestRetryStorm: while Google refuses everything, retries add a fifth to what it is
// asked, and a steady three a second, not more.
func TestRetryStorm(t *testing.T) {
	for _, tc := range []struct {
		prompt    string
		perSecond int
	}{
		{"[[status 503]]", 1000},
		{"[[status 500]]", 100},
		{"[[reset]]", 100},
		{"[[status 503]]", 10},
	} {
		t.Run(fmt.Sprint(tc.prompt, " ", tc.perSecond, " a second"), func(t *testing.T) {
			if testing.Short() {
				tc.perSecond = min(tc.perSecond, 100)
			}
			synctest.Test(t, func(t *testing.T) {
				const seconds = 12
				google := keys(50)
				google.Brief = true
				w := newBubble(t, google)
				w.google.Script(fakegemini.Rule{Steer: fakegemini.ParseSteer(tc.prompt)})
				c := w.askAtRate(tc.perSecond, seconds)
				asked, attempts := int64(tc.perSecond*seconds), int64(w.google.Count())
				for i := range c.answered {
					if n := c.answered[i].Load(); n > 0 {
						t.Errorf("%d were answered", n)
					}
				}
				// What is asked in the seconds after the load is of its last ten.
				most := max(asked*12/10, asked+retriesPerSecond*2*seconds)
				if attempts < asked/2 || attempts > most {
					t.Errorf("%d attempts for %d requests, want at most %d", attempts, asked, most)
				}
				t.Logf("U6: Google answers %s at %d requests a second: %d attempts for %d requests, %.3f", tc.prompt, tc.perSecond, attempts, asked, float64(attempts)/float64(asked))
			})
		})
	}
}

// TestOutage: Google is away for a minute, and back. Within five seconds 19 of 20
// requests are answered again, and what it is asked is never more than twice the load.
func TestOutage(t *testing.T) {
	const down, seconds = 60, 75
	// The retries of ten seconds may come at once, and each key is asked once when its
	// rest is over: both are few, and do not grow with the load.
	const ownKeys = 50
	perSecond := 50
	if testing.Short() {
		perSecond = 20
	}
	for prompt, most := range map[string]int{
		"[[status 503]]": 2, "[[status 500]]": 2, "[[reset]]": 2, "[[status 429]]": 2,
		// Those who have waited for up to retry.wait, 10 s, are served as fast as the
		// pool's ramp lets them, which a failure would stop.
		"[[hang]]": 12,
	} {
		t.Run(prompt, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				google := keys(ownKeys)
				google.Brief = true
				w := newBubble(t, google)
				must(t, w.gw.Settings.Update(settings.Patch{"timeouts.first_output": 5 * time.Second}))
				started := time.Now()
				w.google.Script(fakegemini.Rule{Until: started.Add(down * time.Second), Steer: fakegemini.ParseSteer(prompt)})
				c := w.askAtRate(perSecond, seconds)
				perSecondThere := map[int]int{}
				for _, e := range w.google.Entries() {
					perSecondThere[int(e.At.Sub(started)/time.Second)]++
				}
				var before, after int64
				for i := range seconds {
					if n := perSecondThere[i]; n > most*perSecond+ownKeys {
						t.Errorf("second %d: Google was asked %d times at a load of %d", i, n, perSecond)
					}
					switch {
					case i < down-15: // requests of the last seconds may live to see it back
						before += c.answered[i].Load()
					case i >= down+5:
						after += c.answered[i].Load()
					}
				}
				if before > 0 {
					t.Errorf("%d were answered while Google was away", before)
				}
				if asked := int64(perSecond * (seconds - down - 5)); after < asked*95/100 {
					t.Errorf("%d of %d are answered from 5 s after the return on", after, asked)
				}
				t.Logf("of each %d, from the return on: %v", perSecond, counts64(c.answered[down:]))
			})
		})
	}
}

func counts64(of []atomic.Int64) (n []int64) {
	for i := range of {
		n = append(n, of[i].Load())
	}
	return n
}
