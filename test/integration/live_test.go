// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

const liveModel = "gemini-2.5-flash-native-audio-preview"

// session is a client of the Live API.
type session struct {
	t    *testing.T
	conn *websocket.Conn
}

// live opens a session, which is set up.
func (s *server) live() *session {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+s.site+"//ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key="+s.user, nil)
	must(s.t, err)
	s.t.Cleanup(func() { _ = conn.CloseNow() })
	c := &session{s.t, conn}
	must(s.t, conn.Write(ctx, websocket.MessageText, []byte(`{"setup":{"model":"models/`+liveModel+`"}}`)))
	if _, message, err := conn.Read(ctx); err != nil || !strings.Contains(string(message), "setupComplete") {
		s.t.Fatalf("the setup was answered with %s, %v", message, err)
	}
	return c
}

// say has a turn with the model.
func (c *session) say(text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	must(c.t, c.conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"clientContent":{"turns":[{"parts":[{"text":%q}]}],"turnComplete":true}}`, text)))
	for {
		_, message, err := c.conn.Read(ctx)
		must(c.t, err)
		if strings.Contains(string(message), "turnComplete") {
			return
		}
	}
}

// closed waits for the close frame.
func (c *session) closed() websocket.CloseError {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for {
		if _, _, err := c.conn.Read(ctx); err != nil {
			e, ok := errors.AsType[websocket.CloseError](err)
			if !ok {
				c.t.Fatalf("the session ended without a close frame: %v", err)
			}
			return e
		}
	}
}

// TestLive_Reload: a session survives reloads with what it needs, for as long as
// the configuration it began with says.
func TestLive_Reload(t *testing.T) {
	t.Parallel() // it waits, most of its time
	s := newServer(t, 1)
	site := func(delay string) string {
		return strings.Replace(s.usualSite(""), "gemini_balance\n", "gemini_balance {\n stream_close_delay "+delay+"\n live {\n  idle 1m\n  max_age 10m\n }\n}\n", 1)
	}
	a := func(delay string) string {
		return s.config(s.store("a")+"key {env.GB_KEY_0}\n", site(delay))
	}
	s.start(a("1h"))
	s.addUser()
	long := s.live()
	long.say("Hello")

	must(t, s.load(a("1500ms"))) // another configuration with the same store
	long.say("after one reload")
	short := s.live()
	short.say("Hello")
	must(t, s.load(s.config(s.store("b")+"key {env.GB_KEY_0}\n", site("0")))) // … with another store
	began := time.Now()
	short.say("after the reload that ends it")
	if storeFree(t, s.storeDir("a")) {
		t.Error("store A was closed while its sessions run")
	}
	if e := short.closed(); e.Code != websocket.StatusGoingAway {
		t.Errorf("after the delay: %v", e)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("the session was closed after %v", took)
	}
	long.say("still there")

	s.addUser()
	instant := s.live()
	must(t, s.load(a("2h")))
	if e := instant.closed(); e.Code != websocket.StatusGoingAway {
		t.Errorf("without a delay: %v", e)
	}
	eventually(t, "store B is closed after its last session", func() bool { return storeFree(t, s.storeDir("b")) })
	long.say("and still there")
	if !s.google.Wait(patience, 2, fakegemini.ByModel(liveModel), fakegemini.Done) {
		t.Errorf("sessions at Google: %d ended, want 2", s.google.Count(fakegemini.ByModel(liveModel), fakegemini.Done))
	}

	// The first configuration is long gone; exiting ends its session all the same.
	must(t, s.cmd.Process.Signal(syscall.SIGTERM))
	if e := long.closed(); e.Code != websocket.StatusGoingAway {
		t.Errorf("at exit: %v", e)
	}
	if err := s.wait(patience); err != nil {
		t.Errorf("Caddy ended with %v", err)
	}
	if !storeFree(t, s.storeDir("a")) {
		t.Error("store A is still open")
	}
	s.checkLiveLog()
}

// checkLiveLog looks for what a session must leave in the log, and must not.
func (s *server) checkLiveLog() {
	s.t.Helper()
	log := s.log.String()
	for _, wanted := range []string{`"model":"` + liveModel + `"`, `"status":101`, `"output_tokens":`} {
		if !strings.Contains(log, wanted) {
			s.t.Errorf("the log has no %s", wanted)
		}
	}
	for _, noise := range []string{"panic", "hijacked connection", "superfluous"} {
		if strings.Contains(log, noise) {
			s.t.Errorf("the log has %q", noise)
		}
	}
}

// TestLive_Secrets: no key is logged, with the snippet of Caddyfile.example.
func TestLive_Secrets(t *testing.T) {
	s := newServer(t, 1)
	config := s.config(s.store("a")+"key {env.GB_KEY_0}\n", s.usualSite("log"))
	s.start(exampleSnippet(t) + strings.Replace(config, "level DEBUG", "level DEBUG\nimport redact_keys", 1))
	s.addUser()
	c := s.live()
	c.say("[[goaway 1s]] Hello")
	must(t, c.conn.Close(websocket.StatusNormalClosure, ""))
	const secret = "5ecret5ecret5ecret"
	const token = "auth_tokens/" + secret // whose slash may be logged in either form
	for _, path := range []string{"?access_token=" + token, "?key=" + s.user + "&access_token=" + token} {
		res, err := s.client.Get("http://" + s.site + "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained" + path)
		must(t, err)
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("a request that is no upgrade: %d", res.StatusCode)
		}
	}
	must(t, s.signal(os.Interrupt))
	s.checkNoSecret("the log", s.log.String(), secret)
	s.checkLiveLog()
}
