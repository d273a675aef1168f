// SPDX-License-Identifier: Apache-2.0

//go:build !race

package allocs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/gateway"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// measured is something whose allocations are counted.
type measured struct {
	name  string
	run   func()
	house *house
	lent  int // bytes that a run may miss where they wait with the other processor
}

const model = "gemini-3-flash-preview"

func cases(t testing.TB) []measured {
	h := newHouse(t)
	all := append(h.rooms(),
		measured{name: "request: small chat", run: h.ask("/v1/chat/completions", chat(false))},
		measured{name: "request: stream of 50 events", run: h.ask("/v1/chat/completions", chat(true))},
		measured{name: "request: small chat, native", run: h.ask("/v1beta/models/"+model+":generateContent",
			`{"contents":[{"role":"user","parts":[{"text":"`+strings.Repeat(words, 16)+`"}]}]}`)},
		measured{name: "request: small messages", run: h.ask("/v1/messages",
			`{"model":"`+model+`","max_tokens":100,"messages":[{"role":"user","content":"`+strings.Repeat(words, 16)+`"}]}`)},
		measured{name: "request: small response", run: h.ask("/v1/responses", `{"model":"`+model+`","store":false,"input":"`+strings.Repeat(words, 16)+`"}`)},
		measured{name: "request: image of 1 MiB", run: h.ask("/v1/chat/completions",
			`{"model":"`+model+`","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,`+strings.Repeat("iVBO", 1<<18)+`"}}]}]}`)},
		measured{name: "request: embedding", run: h.ask("/v1/embeddings", `{"model":"gemini-embedding-001","input":"Hello"}`)},
		measured{name: "request: native stream of 50 events", run: h.ask("/v1beta/models/"+model+":streamGenerateContent?alt=sse",
			`{"contents":[{"role":"user","parts":[{"text":"`+strings.Repeat(words, 16)+`"}]}]}`)},
		measured{name: "request: messages, stream of 50 events", run: h.ask("/v1/messages",
			`{"model":"`+model+`","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"`+strings.Repeat(words, 16)+`"}]}`)},
		measured{name: "request: response, stream of 50 events", run: h.ask("/v1/responses",
			`{"model":"`+model+`","store":false,"stream":true,"input":"`+strings.Repeat(words, 16)+`"}`)},
	)
	for i := range all {
		all[i].house = h
		if strings.HasSuffix(all[i].name, "image of 1 MiB") {
			all[i].lent = 2 << 20
		}
	}
	return all
}

func chat(stream bool) string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":%q}],"temperature":0.7,"stream":%v}`,
		model, strings.Repeat(words, 16), stream)
}

// house is a gateway before a Google that allocates nothing, and what it is made of.
type house struct {
	t       testing.TB
	pool    *balancer.Pool
	users   *users.Registry
	ledger  *usage.Ledger
	gateway *gateway.Gateway
	secret  string
}

func newHouse(t testing.TB) *house {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	h := &house{t: t}
	db := memory.New()
	sealer, err := store.NewSealer(bytes.Repeat([]byte{7}, 32))
	must(err)
	h.pool, err = balancer.Open(balancer.Options{Store: db, Sealer: sealer})
	must(err)
	h.users, err = users.Open(db, users.Options{})
	must(err)
	h.ledger, err = usage.Open(db, usage.Options{})
	must(err)
	set, err := settings.Open(db, nil)
	must(err)
	var keys []balancer.NewKey
	for i := range 8 {
		keys = append(keys, balancer.NewKey{Secret: fmt.Sprintf("a-gemini-key-%d", i)})
	}
	_, err = h.pool.Add(t.Context(), keys)
	must(err)
	_, h.secret, err = h.users.Create(t.Context(), users.Spec{Name: "budget", Limits: users.Limits{
		RPM: 1e9, TPM: 1e12, RPD: 1e12, Concurrency: 1e6,
	}})
	must(err)
	client, err := upstream.New(upstream.Config{BaseURL: startGoogle(t), UserAgent: "test"})
	must(err)
	t.Cleanup(client.Close)
	h.gateway, err = gateway.New(gateway.Config{Pool: h.pool, Users: h.users, Usage: h.ledger, Settings: set, Upstream: client})
	must(err)
	return h
}

// rooms are the parts that every request passes.
func (h *house) rooms() []measured {
	account, err := h.users.Authenticate(h.secret)
	if err != nil {
		h.t.Fatal(err)
	}
	env := translate.Env{Now: time.Unix(1e9, 0), NewID: func(int) string { return "abcdefghijklmnopqrstuvwx" }}
	whole, piece := []byte(answer()), []byte(event(false))
	request, streamed := []byte(chat(false)), []byte(chat(true))
	conv := func(body []byte) *openai.Chat {
		x, f := openai.NewChat(env, openai.Options{}, body)
		if f != nil {
			h.t.Fatal(f)
		}
		x.Begin()
		return x
	}
	stream, out := conv(streamed), make([]byte, 0, 64<<10)
	return []measured{
		{name: "room: authenticate a user key", run: func() { _, _ = h.users.Authenticate(h.secret) }},
		{name: "room: admit and settle", run: func() {
			admission, _ := account.Admit(time.Now(), users.Ask{Model: model, IP: netip.IPv4Unspecified(), Tokens: 100, Priced: true})
			admission.Settle(users.Used{Tokens: 90})
		}},
		{name: "room: lease a Gemini key and give it back", run: func() {
			lease, err := h.pool.Lease(h.t.Context(), balancer.Want{Model: model, Tried: new(balancer.Tried), Tokens: 100})
			if err != nil {
				h.t.Fatal(err)
			}
			lease.Done(balancer.Outcome{Verdict: balancer.OK, Status: http.StatusOK, Input: 90, Tokens: 100})
		}},
		{name: "room: book a request", run: func() {
			h.ledger.Add(usage.Record{Model: model, Outcome: "ok", Status: http.StatusOK, Attempts: 1, Input: 90, Output: 10})
		}},
		{name: "room: translate a chat and its answer", run: func() {
			x := conv(request)
			if _, err := x.Response(out, whole); err != nil {
				h.t.Fatal(err)
			}
		}},
		{name: "room: translate an event", run: func() {
			if _, err := stream.Event(out, translate.Frame{Data: piece}); err != nil {
				h.t.Fatal(err)
			}
		}},
	}
}

// ask returns a whole request, as net/http hands it over, without the client's side.
func (h *house) ask(path, body string) func() {
	ctx, cancel := context.WithCancel(h.t.Context()) // as net/http's end with the connection
	h.t.Cleanup(cancel)
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, nil)
	r.Header.Set("Authorization", "Bearer "+h.secret)
	r.Header.Set("Content-Type", "application/json")
	if strings.HasSuffix(path, "/messages") {
		r.Header.Set("Anthropic-Version", "2023-06-01")
	}
	w := &client{header: http.Header{}}
	content := strings.NewReader(body)
	sent := io.NopCloser(content)
	return func() {
		content.Reset(body)
		r.Body, r.ContentLength = sent, int64(len(body))
		clear(w.header)
		w.status, w.size = 0, 0
		h.gateway.ServeHTTP(w, r)
		if w.status != http.StatusOK || w.size < 100 {
			h.t.Fatalf("status %d and %d bytes", w.status, w.size)
		}
	}
}

// client takes an answer and keeps nothing of it.
type client struct {
	header       http.Header
	status, size int
}

func (w *client) Header() http.Header { return w.header }

func (w *client) WriteHeader(status int) { w.status = status }

func (w *client) Write(p []byte) (int, error) {
	w.size += len(p)
	return len(p), nil
}

func (w *client) FlushError() error { return nil }

func (w *client) SetWriteDeadline(time.Time) error { return nil }
