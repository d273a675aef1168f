// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const liveTestModel = "gemini-2.5-flash-native-audio-preview"

// openLive connects and sends a setup.
func openLive(t *testing.T, s *Server, key, setup string) (*websocket.Conn, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	conn, _, err := websocket.Dial(ctx, s.URL+"/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
		&websocket.DialOptions{HTTPHeader: http.Header{"X-Goog-Api-Key": {key}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	if err := conn.Write(ctx, websocket.MessageText, []byte(setup)); err != nil {
		t.Fatal(err)
	}
	return conn, ctx
}

func TestLive(t *testing.T) {
	s := New(Config{Keys: []Key{{Secret: "k1", Project: "p1"}, {Secret: "k2", Project: "p2"}, {Secret: "dead", State: KeyInvalid}, {Secret: "spent", Project: "p4"}}})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.SetLimits("p4", liveTestModel, Limits{RPD: SpentDay})
	setup := func(model, handle string) string {
		return fmt.Sprintf(`{"setup":{"model":"models/%s","session_resumption":{"handle":%q}}}`, model, handle)
	}
	conn, ctx := openLive(t, s, "k1", setup(liveTestModel, ""))
	read := func(want string) (message struct {
		Update struct{ NewHandle string } `json:"sessionResumptionUpdate"`
	}) {
		t.Helper()
		for {
			kind, data, err := conn.Read(ctx)
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			if err := json.Unmarshal(data, &message); err != nil || kind != websocket.MessageBinary {
				t.Fatalf("%v message %s: %v", kind, data, err)
			}
			if strings.Contains(string(data), want) {
				return message
			}
		}
	}
	read("setupComplete")
	read("newHandle")
	if err := conn.Write(ctx, websocket.MessageText, []byte(`{"client_content":{"turns":[{"parts":[{"text":"Hello"}]}],"turn_complete":true}}`)); err != nil {
		t.Fatal(err)
	}
	read("You said: Hello")
	read("turnComplete")
	handle := read("newHandle").Update.NewHandle

	for name, tc := range map[string]struct {
		key, setup string
		code       websocket.StatusCode
		reason     string
	}{
		"dead key":          {"dead", setup(liveTestModel, ""), 1007, "API key not valid"},
		"no quota":          {"spent", setup(liveTestModel, ""), 1011, "You exceeded your current quota"},
		"no model":          {"k1", setup("none", ""), 1008, "models/none is not found"},
		"another's session": {"k2", setup(liveTestModel, handle), 1008, "not found"},
		"no setup":          {"k1", `{"clientContent":{}}`, 1007, "Setup"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, ctx := openLive(t, s, tc.key, tc.setup)
			_, _, err := conn.Read(ctx)
			if websocket.CloseStatus(err) != tc.code || !strings.Contains(err.Error(), tc.reason) {
				t.Errorf("got %v, want %d with %q", err, tc.code, tc.reason)
			}
		})
	}
	if v := s.Violations(Foreign); len(v) != 1 {
		t.Errorf("violations: %+v", v)
	}
}
