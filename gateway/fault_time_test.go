// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
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
	asked    []atomic.Int64 // by the second they were asked in
	answered []atomic.Int64 // … of them those that were answered with 200
	late     []atomic.Int64 // … of these those that waited for more than five seconds
}

// askAtRate sends perSecond requests for so many seconds.
func (w *world) askAtRate(perSecond float64, seconds int) *clock {
	c := &clock{asked: make([]atomic.Int64, seconds), answered: make([]atomic.Int64, seconds), late: make([]atomic.Int64, seconds)}
	body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}]}`, model)
	done := make(chan struct{})
	total := int(math.Round(perSecond * float64(seconds)))
	for i := range total {
		go func() {
			defer func() { done <- struct{}{} }()
			r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+w.key)
			rec := httptest.NewRecorder()
			second := int(float64(i) / perSecond)
			c.asked[second].Add(1)
			began := time.Now()
			if w.gw.ServeHTTP(rec, r); rec.Code == http.StatusOK {
				c.answered[second].Add(1)
				if time.Since(began) > 5*time.Second {
					c.late[second].Add(1)
				}
			}
		}()
		time.Sleep(time.Duration(float64(time.Second) / perSecond)) // the pace of the load
	}
	for range total {
		<-done
	}
	return c
}

// TestRetryStorm: while Google refuses everything, retries add a fifth to what it is
// asked, and ten in all before that. Where few requests come, each gets its attempts.
func TestRetryStorm(t *testing.T) {
	for _, tc := range []struct {
		prompt           string
		requests, length int // seconds
	}{
		{"[[status 503]]", 12_000, 12},
		{"[[status 500]]", 1200, 12},
		{"[[reset]]", 1200, 12},
		{"[[status 503]]", 600, 60},
		{"[[status 500]]", 600, 60},
		{"[[status 503]]", 300, 60},
		{"[[status 500]]", 1, 60},
	} {
		t.Run(fmt.Sprint(tc.prompt, " ", tc.requests, " in ", tc.length, " s"), func(t *testing.T) {
			if testing.Short() {
				tc.requests = min(tc.requests, 1200)
			}
			synctest.Test(t, func(t *testing.T) {
				google := keys(50)
				google.Brief = true
				w := newBubble(t, google)
				w.google.Script(fakegemini.Rule{Steer: fakegemini.ParseSteer(tc.prompt)})
				c := w.askAtRate(float64(tc.requests)/float64(tc.length), tc.length)
				asked, attempts := tc.requests, w.google.Count()
				for i := range c.answered {
					if n := c.answered[i].Load(); n > 0 {
						t.Errorf("%d were answered", n)
					}
				}
				most := asked*12/10 + fewRetries
				if attempts < asked || attempts > most {
					t.Errorf("%d attempts for %d requests, want at most %d", attempts, asked, most)
				}
				if asked == 1 && attempts < 2 {
					t.Error("a lone request is not tried again")
				}
				t.Logf("U6: Google answers %s to %d requests in %d s: %d attempts, %.3f", tc.prompt, asked, tc.length, attempts, float64(attempts)/float64(asked))
			})
		})
	}
}

// TestRetries_Help: where Google refuses half of what it is asked, and few requests
// come, nearly all are answered in the end: retries that help bring more of them.
func TestRetries_Help(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perSecond, seconds = 2, 120
		google := keys(50)
		google.Brief = true
		w := newBubble(t, google)
		w.google.Script(fakegemini.Rule{Chance: 0.5, Steer: fakegemini.ParseSteer("[[status 503]]")})
		c := w.askAtRate(perSecond, seconds)
		var answered int64
		for i := range c.answered {
			answered += c.answered[i].Load()
		}
		if asked := int64(perSecond * seconds); answered < asked*95/100 {
			t.Errorf("%d of %d were answered", answered, asked)
		}
	})
}

// TestOutage: Google is away for a minute, and back. Within five seconds 19 of 20
// requests are answered again, and what it is asked is never more than twice the load.
func TestOutage(t *testing.T) {
	const down, seconds = 60, 75
	// While it is away, the retries of ten seconds may come at once, and each key is
	// asked once when its rest is over: both are few, and do not grow with the load.
	const ownKeys = 50
	perSecond := 50
	if testing.Short() {
		perSecond = 20
	}
	for prompt, back := range map[string]int{ // when requests are answered within five seconds
		"[[status 503]]": down, "[[status 500]]": down, "[[reset]]": down,
		// Ten seconds' requests are in the queue when it is back, and are served at twice
		// the load, which takes those who come in that moment five seconds, and the second
		// or two in which a key finds out.
		"[[hang]]":       down + 3,
		"[[status 429]]": seconds, // without a reason: each key's rest doubles
	} {
		t.Run(prompt, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				google := keys(ownKeys)
				google.Brief = true
				w := newBubble(t, google)
				must(t, w.gw.Settings.Update(settings.Patch{"timeouts.first_output": 5 * time.Second}))
				started := time.Now()
				w.google.Script(fakegemini.Rule{Until: started.Add(down * time.Second), Steer: fakegemini.ParseSteer(prompt)})
				c := w.askAtRate(float64(perSecond), seconds)
				perSecondThere := map[int]int{}
				for _, e := range w.google.Entries() {
					perSecondThere[int(e.At.Sub(started)/time.Second)]++
				}
				for i, n := range perSecondThere {
					most := 2*perSecond + perSecond/5 // what is left of a step, and those whose time is up
					if i < down {
						most += ownKeys
					}
					if n > most {
						t.Errorf("second %d: Google was asked %d times at a load of %d", i, n, perSecond)
					}
				}
				var before, after, late int64
				for i := range seconds {
					switch {
					case i < down-15: // requests of the last seconds may live to see it back
						before += c.answered[i].Load()
					case i >= down+5:
						after += c.answered[i].Load()
					}
					if i >= back {
						late += c.late[i].Load()
					}
				}
				if before > 0 {
					t.Errorf("%d were answered while Google was away", before)
				}
				if asked := int64(perSecond * (seconds - down - 5)); after < asked*95/100 {
					t.Errorf("%d of %d are answered from 5 s after the return on", after, asked)
				}
				if asked := int64(perSecond * (seconds - back)); late > asked*5/100 {
					t.Errorf("%d of %d had to wait for more than 5 s", late, asked)
				}
				var most int
				for i := down; i < seconds+15; i++ {
					most = max(most, perSecondThere[i])
				}
				t.Logf("U7: after %s, of each %d from the return on: %v; Google was asked at most %d times a second", prompt, perSecond, counts64(c.answered[down:]), most)
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
