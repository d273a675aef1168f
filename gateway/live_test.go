// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

const (
	liveModel = "gemini-2.5-flash-native-audio-preview"
	livePath  = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
)

func TestLive_Session(t *testing.T) {
	w := newWorld(t, keys(2), func(c *Config) { c.Aliases = []settings.Alias{{Name: "live", Targets: []string{liveModel}}} })
	for name, tc := range map[string]struct {
		path, setup string
		header      []string
	}{
		"key in the URL":    {path: livePath + "?key=" + w.key, setup: plainSetup},
		"slashes":           {path: "/" + livePath + "?key=" + w.key, setup: plainSetup},
		"header":            {path: livePath, setup: plainSetup, header: []string{"X-Goog-Api-Key", w.key}},
		"v1alpha":           {path: strings.Replace(livePath, "v1beta", "v1alpha", 1) + "?key=" + w.key, setup: plainSetup},
		"alias":             {path: livePath + "?key=" + w.key, setup: ` {"setup": {"model" : "models/live" , "generationConfig":{}}}`},
		"alias, bare":       {path: livePath + "?key=" + w.key, setup: `{"setup":{"model":"live"}}`},
		"a cookie of ours":  {path: livePath + "?key=" + w.key, setup: plainSetup, header: []string{"Cookie", "a=b", "Origin", w.server.URL}},
		"with a user agent": {path: livePath + "?key=" + w.key, setup: plainSetup, header: []string{"X-Goog-Api-Client", "google-genai-sdk/3.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			w.google.Forget()
			before := w.usage.Totals(time.Time{})
			c, res, err := w.liveDial(t, tc.path, tc.header...)
			must(t, err)
			if res.Header.Get("X-Request-Id") == "" {
				t.Error("no request id")
			}
			c.send(websocket.MessageBinary, tc.setup)
			c.ready()
			c.say("Hello")
			if got := c.answer(); got != "You said: Hello (turn 1)" {
				t.Errorf("the answer is %q", got)
			}
			c.say("Again")
			c.answer()
			c.leave()
			w.settled(t, before.Requests+1)

			e := w.google.Entries()
			if len(e) != 1 || e[0].Model != liveModel || strings.Contains(e[0].Path, "//") || e[0].Query != "" {
				t.Fatalf("Google saw %d requests: %+v", len(e), e)
			}
			for _, h := range []string{"Cookie", "Origin", "Authorization"} {
				if e[0].Header.Get(h) != "" {
					t.Errorf("Google saw the client's %s", h)
				}
			}
			if strings.Contains(name, "agent") != (e[0].Header.Get("X-Goog-Api-Client") != "") {
				t.Errorf("X-Goog-Api-Client is %q", e[0].Header.Get("X-Goog-Api-Client"))
			}
			if tc.setup == plainSetup && string(e[0].Body) != plainSetup {
				t.Errorf("the setup became %s", e[0].Body)
			}
			if v := w.google.Violations(); len(v) > 0 {
				t.Errorf("violations: %+v", v)
			}
			// What is said is 4 tokens, the answer 15; the second turn has those 19 before it.
			after := w.usage.Totals(time.Time{})
			if in, out := after.Input-before.Input, after.Output-before.Output; in != 4+(19+4) || out != 15+15 {
				t.Errorf("booked %d in, %d out; want 27 and 30", in, out)
			}
		})
	}
	if n := w.pool.Stats().InFlight; n != 0 {
		t.Errorf("%d leases are left", n)
	}
}

// TestLive_PassesEverything: opcodes, sizes and control messages.
func TestLive_PassesEverything(t *testing.T) {
	w := newWorld(t, keys(1))
	c := w.live(t, plainSetup)
	c.ready()
	for _, size := range []int{0, 1, 30_000, 100_000, 5_000_000} {
		c.say(fmt.Sprintf("[[audio %d]] Go", size))
		got := 0
		c.until("the turn's end", func(m liveMessage) bool {
			for _, p := range m.Server.Turn.Parts {
				for i, b := range p.Data.Data {
					if b != "0123456789abcdef"[i%16] {
						t.Fatalf("byte %d of %d is %q", i, len(p.Data.Data), b)
					}
				}
				got += len(p.Data.Data)
			}
			return m.Server.Complete
		})
		if got != size {
			t.Errorf("%d bytes of audio came, want %d", got, size)
		}
	}
	c.send(websocket.MessageText, `{"realtimeInput":{"audio":{"mimeType":"audio/pcm","data":"`+strings.Repeat("QUJD", 2_000_000)+`"}}}`)
	c.say("[[goaway 7s]] [[call get_weather]]")
	if m := c.until("goAway", func(m liveMessage) bool { return m.GoAway.Left != "" }); m.GoAway.Left != "7s" {
		t.Errorf("goAway became %s", m.raw)
	}
	c.until("the call", func(m liveMessage) bool { return m.ToolCall != nil })
	c.send(websocket.MessageBinary, `{"toolResponse":{"functionResponses":[{"id":"1","name":"get_weather","response":{"sun":true}}]}}`)
	if got := c.answer(); !strings.Contains(got, `"sun":true`) {
		t.Errorf("the tool's response was answered with %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	reading := c.conn.CloseRead(ctx)
	must(t, c.conn.Ping(reading))
}

func TestLive_CloseCodes(t *testing.T) {
	w := newWorld(t, keys(1))
	for name, tc := range map[string]struct {
		say  string
		want websocket.CloseError
	}{
		"normal":      {"[[close 1000 Done]]", websocket.CloseError{Code: 1000, Reason: "Done"}},
		"argument":    {"[[close 1007 Bad audio]]", websocket.CloseError{Code: 1007, Reason: "Bad audio"}},
		"own code":    {"[[close 4321 Own]]", websocket.CloseError{Code: 4321, Reason: "Own"}},
		"our key":     {"[[close 1008 Your API key was reported as leaked. Please use another API key.]]", websocket.CloseError{Code: 1008, Reason: "No usable Gemini key is left in this gateway for this request. Your own key is fine; the gateway's operator has to look at"}},
		"a secret":    {"[[close 1011 Odd key " + fakegemini.DemoKey(1) + "]]", websocket.CloseError{Code: 1011, Reason: "Odd key [redacted]"}},
		"broken line": {"[[cut]]", websocket.CloseError{Code: 1011, Reason: "The connection to Gemini broke."}},
	} {
		t.Run(name, func(t *testing.T) {
			w := w
			if name == "our key" { // which is out of the pool then
				w = newWorld(t, keys(1))
			}
			c := w.live(t, plainSetup)
			c.ready()
			c.say(tc.say)
			got := c.closed()
			got.Reason = strings.TrimSuffix(got.Reason, " ")
			if got.Code != tc.want.Code || !strings.HasPrefix(got.Reason, tc.want.Reason) || len(got.Reason) > 123 {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
	t.Run("the client's", func(t *testing.T) {
		w.google.Forget()
		c := w.live(t, plainSetup)
		c.ready()
		_ = c.conn.Close(4001, "Bye")
		if !w.google.Wait(time.Minute, 1, func(e *fakegemini.Entry) bool { return e.Note == "left: StatusCode(4001)" }) {
			t.Errorf("Google saw %+v", w.google.Entries())
		}
	})
}

// TestLive_MovesOn: until Google has answered the setup, another key may take over.
func TestLive_MovesOn(t *testing.T) {
	for name, prepare := range map[string]func(*world){
		"invalid key":   func(w *world) { w.google.SetKeyState(fakegemini.DemoKey(1), fakegemini.KeyInvalid) },
		"leaked key":    func(w *world) { w.google.SetKeyState(fakegemini.DemoKey(1), fakegemini.KeyLeaked) },
		"suspended key": func(w *world) { w.google.SetKeyState(fakegemini.DemoKey(1), fakegemini.KeySuspended) },
		"quota":         func(w *world) { w.google.SetLimits("p1", liveModel, fakegemini.Limits{RPD: fakegemini.SpentDay}) },
		"handshake 429": func(w *world) {
			w.google.Script(fakegemini.Rule{Project: "p1", Method: "BidiGenerateContent", Steer: fakegemini.Steer{Status: 429}})
		},
		"handshake 503": func(w *world) {
			w.google.Script(fakegemini.Rule{Project: "p1", Method: "BidiGenerateContent", Steer: fakegemini.Steer{Status: 503}})
		},
		"setup 500": func(w *world) {
			w.google.Script(fakegemini.Rule{Project: "p1", Method: "BidiGenerateContent", Model: liveModel, Steer: fakegemini.Steer{Status: 500}})
		},
		"no connection": func(w *world) {
			w.google.Script(fakegemini.Rule{Project: "p1", Method: "BidiGenerateContent", Steer: fakegemini.Steer{Break: fakegemini.Reset}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, keys(2))
			prepare(w)
			for range 4 {
				c := w.live(t, plainSetup)
				c.ready()
				c.say("Hello")
				c.answer()
				c.leave()
			}
			w.settled(t, 4)
			if n := w.pool.Stats().InFlight; n != 0 {
				t.Errorf("%d leases are left", n)
			}
			if v := w.google.Violations(fakegemini.DeadKey, fakegemini.EarlyAgain); len(v) > 0 {
				t.Errorf("violations: %+v", v)
			}
		})
	}
}

func TestLive_Refusals(t *testing.T) {
	w := newWorld(t, keys(1), func(c *Config) { c.CORS = []string{"https://chat.example.com"} })
	_, limited, err := w.users.Create(t.Context(), users.Spec{Name: "limited", Models: []string{"gemini-3*"}, Unlimited: true})
	must(t, err)
	for name, tc := range map[string]struct {
		path, header string
		status       int
		want         string
	}{
		"no key":          {livePath, "", 403, "unregistered callers"},
		"wrong key":       {livePath + "?key=nonsense", "", 400, "API key not valid"},
		"foreign origin":  {livePath + "?key=" + w.key, "https://evil.example.com", 403, "origin"},
		"a token":         {livePath + "Constrained?access_token=auth_tokens/abc", "", 403, "ephemeral tokens"},
		"no such method":  {livePath + "Else?key=" + w.key, "", 404, ""},
		"no such version": {strings.Replace(livePath, "v1beta", "v7", 1) + "?key=" + w.key, "", 418, ""},
	} {
		t.Run(name, func(t *testing.T) {
			header := []string{}
			if tc.header != "" {
				header = []string{"Origin", tc.header}
			}
			_, res, err := w.liveDial(t, tc.path, header...)
			if err == nil || res == nil {
				t.Fatalf("accepted: %v", err)
			}
			body := make([]byte, 1024)
			n, _ := res.Body.Read(body)
			if tc.status != 418 && res.StatusCode != tc.status || !strings.Contains(string(body[:n]), tc.want) {
				t.Errorf("got %d %s, want %d with %q", res.StatusCode, body[:n], tc.status, tc.want)
			}
		})
	}
	t.Run("no upgrade", func(t *testing.T) {
		if a := w.do(t.Context(), http.MethodGet, livePath, ""); a.status != 400 || !strings.Contains(a.body, `"INVALID_ARGUMENT"`) {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
	t.Run("allowed origin", func(t *testing.T) {
		c, _, err := w.liveDial(t, livePath+"?key="+w.key, "Origin", "https://chat.example.com")
		must(t, err)
		c.leave()
	})
	for name, tc := range map[string]struct {
		key, setup string
		code       websocket.StatusCode
		want       string
	}{
		"no JSON":        {w.key, "hello", 1007, "Invalid JSON"},
		"no setup":       {w.key, `{"clientContent":{}}`, 1007, "must be a setup"},
		"no model":       {w.key, `{"setup":{}}`, 1007, "model is missing"},
		"odd model":      {w.key, `{"setup":{"model":"models/../x"}}`, 1007, "not the name of a model"},
		"two models":     {w.key, `{"setup":{"model":"models/a","mod\u0065l":"models/b"}}`, 1007, "twice"},
		"too large":      {w.key, `{"setup":{"model":"` + strings.Repeat("m", 1<<20) + `"}}`, 1009, ""},
		"forbidden":      {limited, plainSetup, 1008, "may not use"},
		"no such model":  {w.key, `{"setup":{"model":"models/gemini-none"}}`, 1008, "is not found"},
		"not for Live":   {w.key, `{"setup":{"model":"models/` + model + `"}}`, 1008, "is not supported for"},
		"not the user's": {w.key, `{"setup":{"model":"models/` + liveModel + `","systemInstruction":{"parts":[{"fileData":{"file_uri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}]}}}`, 1008, "does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			c := w.liveAs(t, tc.key, tc.setup)
			if e := c.closed(); e.Code != tc.code || !strings.Contains(e.Reason, tc.want) {
				t.Errorf("got %v, want %d with %q", e, tc.code, tc.want)
			}
		})
	}
	t.Run("another setup", func(t *testing.T) {
		c := w.live(t, plainSetup)
		c.ready()
		c.send(websocket.MessageText, `{"setup":{"model":"models/gemini-3.1-pro-preview"}}`)
		if e := c.closed(); e.Code != websocket.StatusPolicyViolation {
			t.Errorf("got %v", e)
		}
	})
	t.Run("another user's file later", func(t *testing.T) {
		c := w.live(t, plainSetup)
		c.ready()
		c.send(websocket.MessageText, `{"clientContent":{"turns":[{"parts":[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/theirs"}}]}]}}`)
		if e := c.closed(); e.Code != websocket.StatusPolicyViolation {
			t.Errorf("got %v", e)
		}
	})
}

// TestLive_AllRest: nobody can serve, which is told as Google tells it.
func TestLive_AllRest(t *testing.T) {
	w := newWorld(t, keys(1), withoutWait(t))
	w.google.SetLimits("p1", liveModel, fakegemini.Limits{RPD: fakegemini.SpentDay})
	c := w.live(t, plainSetup)
	if e := c.closed(); e.Code != websocket.StatusInternalError || e.Reason == "" {
		t.Errorf("got %v", e)
	}
	w.settled(t, 1)
	if got := w.usage.Totals(time.Time{}); got.Failed != 1 {
		t.Errorf("the books have %+v", got)
	}
}
