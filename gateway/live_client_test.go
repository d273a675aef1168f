// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// liveClient is the client's side of a session.
type liveClient struct {
	t    *testing.T
	conn *websocket.Conn

	patient bool // waits for messages for ever: time is not real
}

// liveDialer opens a WebSocket at the world's gateway.
func (w *world) liveDial(t *testing.T, path string, header ...string) (*liveClient, *http.Response, error) {
	t.Helper()
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, w.server.URL+path, &websocket.DialOptions{HTTPHeader: h, HTTPClient: w.server.Client()})
	if err != nil {
		return nil, res, err
	}
	conn.SetReadLimit(64 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &liveClient{t: t, conn: conn}, res, nil
}

// live opens a session with the world's key and sends a setup.
func (w *world) live(t *testing.T, setup string) *liveClient {
	t.Helper()
	return w.liveAs(t, w.key, setup)
}

func (w *world) liveAs(t *testing.T, key, setup string) *liveClient {
	t.Helper()
	c, _, err := w.liveDial(t, livePath+"?key="+key)
	must(t, err)
	c.send(websocket.MessageText, setup)
	return c
}

func (c *liveClient) send(kind websocket.MessageType, message string) {
	c.t.Helper()
	must(c.t, c.conn.Write(c.t.Context(), kind, []byte(message)))
}

func (c *liveClient) say(text string) {
	c.t.Helper()
	c.send(websocket.MessageText, fmt.Sprintf(`{"clientContent":{"turns":[{"role":"user","parts":[{"text":%q}]}],"turnComplete":true}}`, text))
}

// liveMessage is what tests read of a server's message.
type liveMessage struct {
	raw           string
	SetupComplete *struct{} `json:"setupComplete"`
	Server        struct {
		Turn struct {
			Parts []struct {
				Text string `json:"text"`
				Data struct {
					Data []byte `json:"data"`
				} `json:"inlineData"`
			} `json:"parts"`
		} `json:"modelTurn"`
		Complete bool `json:"turnComplete"`
	} `json:"serverContent"`
	Resumption struct {
		Handle string `json:"newHandle"`
	} `json:"sessionResumptionUpdate"`
	ToolCall *struct{} `json:"toolCall"`
	GoAway   struct {
		Left string `json:"timeLeft"`
	} `json:"goAway"`
}

func (c *liveClient) read() (m liveMessage, err error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	if c.patient {
		ctx = c.t.Context()
	}
	kind, data, err := c.conn.Read(ctx)
	if err != nil {
		return m, err
	}
	if kind != websocket.MessageBinary {
		c.t.Errorf("a message of Google's came as %v, and was sent as binary", kind)
	}
	m.raw = string(data)
	return m, json.Unmarshal(data, &m)
}

// until reads up to the first message that has what is looked for.
func (c *liveClient) until(what string, has func(liveMessage) bool) liveMessage {
	c.t.Helper()
	for {
		m, err := c.read()
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", what, err)
		}
		if has(m) {
			return m
		}
	}
}

func (c *liveClient) ready() {
	c.t.Helper()
	c.until("setupComplete", func(m liveMessage) bool { return m.SetupComplete != nil })
}

func (c *liveClient) answer() string {
	c.t.Helper()
	text := ""
	c.until("the turn's end", func(m liveMessage) bool {
		for _, p := range m.Server.Turn.Parts {
			text += p.Text
		}
		return m.Server.Complete
	})
	return text
}

// closed reads until the other side closes.
func (c *liveClient) closed() websocket.CloseError {
	c.t.Helper()
	for {
		if _, err := c.read(); err != nil {
			e, ok := errors.AsType[websocket.CloseError](err)
			if !ok {
				c.t.Fatalf("the connection ended without a close frame: %v", err)
			}
			return e
		}
	}
}

func (c *liveClient) leave() { _ = c.conn.Close(websocket.StatusNormalClosure, "") }

const plainSetup = `{"setup":{"model":"models/` + liveModel + `"}}`

func resumable(handle string) string {
	if handle != "" {
		handle = fmt.Sprintf(`"handle":%q`, handle)
	}
	return `{"setup":{"sessionResumption":{` + handle + `},"model":"models/` + liveModel + `"}}`
}

func (c *liveClient) newHandle() string {
	c.t.Helper()
	return c.until("a handle", func(m liveMessage) bool { return m.Resumption.Handle != "" }).Resumption.Handle
}

// settled waits for the books to have n requests.
func (w *world) settled(t *testing.T, n int64) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if w.usage.Totals(time.Time{}).Requests >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the books have %+v, want %d requests", w.usage.Totals(time.Time{}).Counts, n)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
