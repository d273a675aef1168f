// SPDX-License-Identifier: Apache-2.0

// Command floor is Caddy with a handler that does as little as a gateway can: it is what
// is left of a request's cost without users, limits, pool, retries, books, metrics and
// deadlines. `make bench ARGS="-floor"` measures it between the others, so that what those
// cost can be told from what Caddy, net/http and the kernel do.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
	"github.com/gemini-balance/caddy-gemini-balance/upstream/http1"
)

func main() {
	caddy.RegisterModule(Handler{})
	httpcaddyfile.RegisterHandlerDirective("bench_floor", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		f := new(Handler)
		return f, f.UnmarshalCaddyfile(h.Dispenser)
	})
	httpcaddyfile.RegisterDirectiveOrder("bench_floor", httpcaddyfile.Before, "respond")
	caddycmd.Main()
}

// Handler answers chats as the gateway does, or passes Google's bytes on.
type Handler struct {
	Upstream  string `json:"upstream"`
	Translate bool   `json:"translate,omitempty"`

	google *http1.Transport
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.bench_floor", New: func() caddy.Module { return new(Handler) }}
}

// UnmarshalCaddyfile reads the directive. Syntax:
//
//	bench_floor <upstream> bytes | translate
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	var what string
	if d.Next(); !d.AllArgs(&h.Upstream, &what) {
		return d.ArgErr()
	}
	h.Translate = what == "translate"
	return nil
}

// Provision implements caddy.Provisioner.
func (h *Handler) Provision(caddy.Context) error {
	u, err := url.Parse(h.Upstream)
	if err != nil {
		return err
	}
	h.google = http1.New(http1.Config{Addr: u.Host, Host: u.Host, MaxIdle: 1000, IdleTimeout: time.Minute, Dial: new(net.Dialer).DialContext})
	return nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Method != http.MethodPost {
		return next.ServeHTTP(w, r)
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return err
	}
	if !h.Translate {
		return h.pass(w, r, body)
	}
	x, failure := openai.NewChat(translate.Env{Now: time.Now(), NewID: func(n int) string { return "abcdefghijklmnopqrstuvwxyzabcdefghijkl"[:n] }}, openai.Options{}, body)
	if failure != nil {
		return errors.New(failure.Message)
	}
	x.Begin()
	call := x.Call()
	target := call.Path
	if call.Query != "" {
		target += "?" + call.Query
	}
	res, err := h.ask(r, target, call.Whole())
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if call.Stream != translate.Unary {
		return h.stream(w, x, res.Body)
	}
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	out, err := x.Response(nil, answer)
	if err != nil {
		return err
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(out))}
	_, err = w.Write(out)
	return err
}

func (h *Handler) ask(r *http.Request, target string, body []byte) (*http.Response, error) {
	return h.google.Do(r.Context(), &http1.Request{
		Method: http.MethodPost, Target: target, Body: [][]byte{body}, Length: int64(len(body)),
		Fields: []http1.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "X-Goog-Api-Key", Value: "a-key"}},
	})
}

// pass hands Google's bytes on.
func (h *Handler) pass(w http.ResponseWriter, r *http.Request, body []byte) error {
	res, err := h.ask(r, r.URL.RequestURI(), body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	w.Header()["Content-Type"] = res.Header["Content-Type"]
	if res.ContentLength >= 0 {
		answer := make([]byte, res.ContentLength)
		if _, err := io.ReadFull(res.Body, answer); err != nil {
			return err
		}
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(answer))}
		_, err = w.Write(answer)
		return err
	}
	rc := http.NewResponseController(w)
	for piece := make([]byte, 32<<10); ; {
		n, err := res.Body.Read(piece)
		if n > 0 {
			if _, err := w.Write(piece[:n]); err != nil {
				return err
			}
			if err := rc.Flush(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// stream converts event after event.
func (h *Handler) stream(w http.ResponseWriter, x *openai.Chat, body io.Reader) error {
	w.Header()["Content-Type"] = []string{"text/event-stream"}
	rc := http.NewResponseController(w)
	frames := sse.NewReader(body)
	defer frames.Release()
	var out []byte
	for {
		_, data, err := frames.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if out, err = x.Event(out, translate.Frame{Data: data}); err != nil {
			return fmt.Errorf("an event: %w", err)
		}
		if len(out) == 0 || frames.Ready() {
			continue
		}
		if _, err := w.Write(out); err != nil {
			return err
		}
		if err := rc.Flush(); err != nil {
			return err
		}
		out = out[:0]
	}
	out, err := x.End(out)
	if err == nil {
		_, err = w.Write(out)
	}
	return err
}
