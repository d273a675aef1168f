// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// stage is a world without a network whose gateway takes connections.
type stage struct {
	*world
	client *http.Client
	served chan usage.Record
	mute   bool // clients answer no pings
}

// Attempted implements Observer.
func (s *stage) Attempted(context.Context, Attempt) {}

// Waited implements Observer.
func (s *stage) Waited(context.Context, Wait) {}

// Refused implements Observer.
func (s *stage) Refused(context.Context, Refusal) {}

// Served implements Observer.
func (s *stage) Served(_ context.Context, r *usage.Record) { s.served <- *r }

func newStage(t *testing.T, live Live) *stage {
	s := &stage{served: make(chan usage.Record, 10)}
	s.world = newBubble(t, keys(1), func(c *Config) { c.Live, c.Observer = live, s })
	s.client = s.front(t)
	return s
}

// open begins a session; pings counts those that the client is sent.
func (s *stage) open(t *testing.T, path, setup string) (c *liveClient, pings *atomic.Int64) {
	t.Helper()
	pings = new(atomic.Int64)
	conn, _, err := websocket.Dial(t.Context(), "ws://gw"+path+"?key="+s.key, &websocket.DialOptions{ //nolint:bodyclose // the library's
		HTTPClient:     s.client,
		OnPingReceived: func(context.Context, []byte) bool { pings.Add(1); return !s.mute },
	})
	must(t, err)
	conn.SetReadLimit(64 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	c = &liveClient{t: t, conn: conn, patient: true}
	if setup != "" {
		c.send(websocket.MessageText, setup)
	}
	return c, pings
}

// ended waits for the end of the only session, and demands how and when it was,
// and that nothing is left of it.
func (s *stage) ended(t *testing.T, outcome string, least, most time.Duration) usage.Record {
	t.Helper()
	r := <-s.served
	if r.Outcome != outcome || r.Duration < least || r.Duration > most {
		t.Errorf("the session was %s after %v, want %s after %v to %v", r.Outcome, r.Duration, outcome, least, most)
	}
	if n := s.pool.Stats().InFlight; n != 0 {
		t.Errorf("%d leases are left", n)
	}
	return r
}

// TestLive_Time: what ends sessions when nothing comes, to the second.
func TestLive_Time(t *testing.T) {
	for name, test := range map[string]func(t *testing.T){
		"pings keep a silent session": func(t *testing.T) {
			s := newStage(t, Live{})
			c, pings := s.open(t, livePath, plainSetup)
			if e := c.closed(); e.Code != websocket.StatusGoingAway || !strings.Contains(e.Reason, "idle") {
				t.Errorf("got %v", e)
			}
			s.ended(t, "ok", 15*time.Minute, 15*time.Minute+16*time.Second)
			if n := pings.Load(); n < 28 || n > 31 {
				t.Errorf("%d pings in 15 minutes, want one in 30 s", n)
			}
		},
		"a client that answers no ping": func(t *testing.T) {
			s := newStage(t, Live{})
			s.mute = true
			c, _ := s.open(t, livePath, plainSetup)
			for {
				if _, err := c.read(); err != nil {
					break
				}
			}
			s.ended(t, "canceled", pingEvery+pongWait, pingEvery+pongWait+closeWait)
		},
		"a client that takes no ping": func(t *testing.T) {
			s := newStage(t, Live{})
			c, _ := s.open(t, livePath, plainSetup)
			c.ready() // and reads no more
			s.ended(t, "canceled", pingEvery, pingEvery+pongWait+closeWait)
		},
		"a client that talks is not asked": func(t *testing.T) {
			s := newStage(t, Live{})
			c, pings := s.open(t, livePath, plainSetup)
			c.ready()
			for range 60 {
				time.Sleep(10 * time.Second)
				c.say("Hello")
				c.answer()
			}
			if n := pings.Load(); n != 0 {
				t.Errorf("%d pings", n)
			}
			c.leave()
			if r := s.ended(t, "ok", 10*time.Minute, 10*time.Minute); r.Input == 0 {
				t.Error("nothing was booked")
			}
		},
		"a Google that takes no ping": func(t *testing.T) {
			s := newStage(t, Live{})
			c, _ := s.open(t, livePath, plainSetup)
			c.ready()
			c.say("[[deaf]]")
			if e := c.closed(); e.Code != websocket.StatusInternalError || !strings.Contains(e.Reason, "Gemini broke") {
				t.Errorf("got %v", e)
			}
			s.ended(t, "truncated", pingEvery, pingEvery+pongWait+closeWait)
		},
		"two that talk and do not listen": func(t *testing.T) {
			s := newStage(t, Live{})
			c, _ := s.open(t, livePath, plainSetup)
			c.ready()
			c.say("[[flood]]")
			go func() { // until it is stopped
				for c.conn.Write(context.Background(), websocket.MessageText, []byte(`{"realtimeInput":{"text":"And then"}}`)) == nil { //nolint:usetesting // outlives the test's
					time.Sleep(10 * time.Second)
				}
			}()
			s.ended(t, "timeout", stall, stall+20*time.Second)
		},
		"no setup": func(t *testing.T) {
			s := newStage(t, Live{})
			s.open(t, livePath, "")
			s.ended(t, "canceled", liveSetupWait, liveSetupWait+closeWait)
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}

// TestLive_GoAway: the gateway says when it will end a session, and then does.
func TestLive_GoAway(t *testing.T) {
	leaving, closing := make(chan struct{}), make(chan struct{})
	type notice struct {
		at   time.Duration
		left string
	}
	for name, tc := range map[string]struct {
		live    Live
		act     func()
		notices []notice
		ends    time.Duration
		reason  string
	}{
		"age":      {live: Live{MaxAge: 5 * time.Minute}, notices: []notice{{290 * time.Second, "10s"}}, ends: 5 * time.Minute, reason: "age"},
		"very old": {live: Live{MaxAge: 3 * time.Second}, notices: []notice{{1500 * time.Millisecond, "1.5s"}}, ends: 3 * time.Second, reason: "age"},
		"a reload": {
			act: func() { close(leaving); time.Sleep(LiveNotice); close(closing) }, notices: []notice{{time.Minute, "10s"}},
			ends: 70 * time.Second, reason: "going away",
		},
		"a reload, and exit": {
			act:     func() { close(leaving); time.Sleep(3 * time.Second); close(closing) },
			notices: []notice{{time.Minute, "10s"}, {63 * time.Second, "2s"}}, ends: 65 * time.Second, reason: "going away",
		},
		"exit": {act: func() { close(closing) }, notices: []notice{{time.Minute, "2s"}}, ends: 62 * time.Second, reason: "going away"},
		"exit of an old one": {
			live: Live{MaxAge: 61 * time.Second}, act: func() { close(closing) }, notices: []notice{{51 * time.Second, "10s"}},
			ends: 61 * time.Second, reason: "age",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tc.act != nil {
					leaving, closing = make(chan struct{}), make(chan struct{})
					tc.live.Leaving, tc.live.Closing = leaving, closing
				}
				s := newStage(t, tc.live)
				c, _ := s.open(t, livePath, plainSetup)
				began := time.Now()
				if tc.act != nil {
					time.AfterFunc(time.Minute, tc.act)
				}
				var got []notice
				for {
					m, err := c.read() // which demands the opcode of Google's
					if err != nil {
						if websocket.CloseStatus(err) != websocket.StatusGoingAway || !strings.Contains(err.Error(), tc.reason) {
							t.Errorf("ended with %v", err)
						}
						break
					}
					if m.GoAway.Left != "" {
						got = append(got, notice{time.Since(began), m.GoAway.Left})
					}
				}
				if fmt.Sprint(got) != fmt.Sprint(tc.notices) {
					t.Errorf("notices %v, want %v", got, tc.notices)
				}
				s.ended(t, "ok", tc.ends, tc.ends+time.Second)
				synctest.Wait()
				if e := s.google.Entries(); e[0].Note != "left: StatusGoingAway" {
					t.Errorf("Google saw %q", e[0].Note)
				}
			})
		})
	}
	t.Run("while a message is on its way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, Live{MaxAge: 30 * time.Second})
			c, _ := s.open(t, livePath, plainSetup)
			c.ready()
			c.say("[[flood]]")
			whole, told := 0, false
			for {
				m, err := c.read()
				if err != nil {
					break
				}
				for _, p := range m.Server.Turn.Parts {
					if whole++; len(p.Data.Data) != 1<<20 {
						t.Fatalf("a piece of %d bytes", len(p.Data.Data))
					}
				}
				told = told || m.GoAway.Left != ""
				time.Sleep(time.Second)
			}
			if !told || whole < 20 {
				t.Errorf("told: %v, after %d messages", told, whole)
			}
		})
	})
}

// TestLive_Music: sessions of music have a method, a model and messages of their own.
func TestLive_Music(t *testing.T) {
	const path = "/ws/google.ai.generativelanguage.v1alpha.GenerativeService." + liveMusic
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Live{MaxAge: time.Minute})
		c, _ := s.open(t, path, `{"setup":{"model":"models/lyria-realtime-exp"}}`)
		c.ready()
		c.send(websocket.MessageText, `{"clientContent":{"weightedPrompts":[{"text":"minimal techno","weight":1.0}]}}`)
		c.send(websocket.MessageText, `{"musicGenerationConfig":{"bpm":90}}`)
		c.send(websocket.MessageText, `{"playbackControl":"PLAY"}`)
		for range 3 {
			c.until("sound", func(m liveMessage) bool { return strings.Contains(m.raw, "audioChunks") })
		}
		m, err := c.read()
		if websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("after the music came %s, %v", m.raw, err)
		}
		s.ended(t, "ok", time.Minute, time.Minute+time.Second)
		e := s.google.Entries(fakegemini.ByMethod(liveMusic))
		if len(e) != 1 || e[0].Key != fakegemini.DemoKey(1) || e[0].Query != "" || e[0].Model != "lyria-realtime-exp" {
			t.Errorf("Google saw %+v", e)
		}
	})
}
