// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gemini-balance/caddy-gemini-balance/admin"
)

// AdminHandler serves the operators' API of the app `gemini_balance` and the web UI
// under `/admin`. `GET /` is redirected there if no other handler answers it.
// Requests for other paths go to the next handler.
//
// Scripts authenticate with the admin key: `Authorization: Bearer <admin key>`.
// People sign in with it at `/admin/ui/`. There is no default key.
type AdminHandler struct {
	// A placeholder of the admin key, such as `{env.GB_ADMIN_KEY}`. Default: the
	// file `admin.key` in the store's directory, which the first start makes.
	AdminKey string `json:"admin_key,omitempty"`

	// A placeholder of a second key that may read, but change nothing and see no
	// secrets. Default: none.
	ViewerKey string `json:"viewer_key,omitempty"`

	// Whether the web UI is served. Default: true.
	UI *bool `json:"ui,omitempty"`

	// Names under which browsers may use the web UI, such as `nas.local`, beside
	// those of the server's host matchers, IP addresses and localhost; `*.` stands
	// for one label. Only a site without a name in its address, such as `:8080`,
	// needs them. Other names are refused, because any page on the web may let its
	// own name point to this server.
	Hosts []string `json:"hosts,omitempty"`

	app     *App
	hash    [32]byte // of a configured admin key; zero for the generated one
	viewer  [32]byte // zero for none
	admin   http.Handler
	closing chan struct{} // closed when event streams must end
	closed  sync.Once
}

// CaddyModule returns the Caddy module information.
func (*AdminHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gemini_balance_admin", New: func() caddy.Module { return new(AdminHandler) }}
}

// Provision resolves the keys and finds the app.
func (h *AdminHandler) Provision(ctx caddy.Context) error {
	app, err := appOf(ctx)
	if err != nil {
		return err
	}
	h.app = app
	h.closing = make(chan struct{})
	app.starters = append(app.starters, h.start)
	for _, host := range h.Hosts {
		if err := checkHost(host); err != nil {
			return err
		}
	}
	// Servers wait for requests before they tell us that it is over, and event
	// streams have no end of their own.
	if err := app.events.On("stopping", h); err != nil {
		return fmt.Errorf("subscribing to the event stopping: %w", err)
	}
	if h.viewer, err = keyHash("viewer_key", h.ViewerKey); err != nil {
		return err
	}
	if h.hash, err = keyHash("admin_key", h.AdminKey); err != nil {
		return err
	}
	app.wantsAdminKey = app.wantsAdminKey || h.AdminKey == ""
	if h.ViewerKey != "" && subtle.ConstantTimeCompare(h.viewer[:], h.hash[:]) == 1 {
		return errors.New("viewer_key is the same as admin_key; who has it could change everything")
	}
	return nil
}

// keyHash is the SHA-256 of the key that a placeholder stands for, zero for "".
func keyHash(option, placeholder string) (hash [32]byte, err error) {
	if placeholder == "" {
		return hash, nil
	}
	secret, err := resolveSecret(option, placeholder)
	if err != nil {
		return hash, err
	}
	if len(secret) < minAdminKey {
		return hash, fmt.Errorf("%s: what %s stands for has fewer than %d characters; `openssl rand -base64 32` makes a good one",
			option, placeholder, minAdminKey)
	}
	return sha256.Sum256([]byte(secret)), nil
}

// start makes the API. It is called by the app once its store is open.
func (h *AdminHandler) start() error {
	a := h.app
	config := admin.Config{
		State: a.shared.admin, System: a.system(),
		Pool: a.shared.pool, Users: a.shared.users, Usage: a.shared.usage, Settings: a.shared.settings,
		AdminKeyHash: h.hash, ViewerKeyHash: h.viewer,
		Hosts: h.Hosts, RoutedHost: routedHost,
		NoUI:      h.UI != nil && !*h.UI,
		ClientIP:  clientIP,
		Validate:  a.shared.validate,
		Closing:   h.closing,
		StoreKind: a.backend.kind(),
		Version:   version(),
		Started:   processStarted,
	}
	if h.AdminKey == "" {
		config.ReplaceAdminKey = a.replaceAdminKey
	}
	h.admin = admin.New(config)
	return nil
}

// Handle implements caddyevents.Handler: the event is that a configuration ends.
func (h *AdminHandler) Handle(context.Context, caddy.Event) error { return h.Cleanup() }

// Cleanup ends the event streams, which browsers open again with the configuration
// that follows.
func (h *AdminHandler) Cleanup() error {
	h.closed.Do(func() {
		if h.closing != nil {
			close(h.closing)
		}
	})
	return nil
}

// routedHost tells whether a host matcher of the server takes the name of a request:
// that of a site address, above all.
func routedHost(r *http.Request) bool {
	server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return false
	}
	for _, route := range server.Routes {
		for _, set := range route.MatcherSets {
			for _, matcher := range set {
				var hosts caddyhttp.MatchHost
				switch m := matcher.(type) {
				case *caddyhttp.MatchHost:
					hosts = *m
				case caddyhttp.MatchHost:
					hosts = m
				}
				if matched, err := hosts.MatchWithError(r); err == nil && matched {
					return true
				}
			}
		}
	}
	return false
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *AdminHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	path := strings.TrimLeft(r.URL.Path, "/")
	switch first, _, _ := strings.Cut(path, "/"); first {
	case "admin":
		return h.serve(w, r)
	case "":
		return redirectUnanswered(w, r, next)
	}
	return next.ServeHTTP(w, r)
}

func (h *AdminHandler) serve(w http.ResponseWriter, r *http.Request) error {
	if err := h.app.enter(r.Context()); err != nil {
		notServing(w, err)
		return nil
	}
	defer h.app.leave()
	if r.TLS != nil && !r.TLS.HandshakeComplete {
		w.WriteHeader(http.StatusTooEarly) // 0-RTT data may be a replay
		return nil
	}
	h.admin.ServeHTTP(w, r)
	return nil
}

// redirectUnanswered leads browsers from the root to the admin pages, unless the
// operator routes the root to something else.
func redirectUnanswered(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	err := next.ServeHTTP(w, r)
	// Caddy sets this where no handler was left to answer.
	unhandled, _ := caddyhttp.GetVar(r.Context(), "unhandled").(bool)
	if err != nil || !unhandled || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return err
	}
	// Relative, so that any prefix in front works.
	w.Header().Set("Location", "admin/")
	w.WriteHeader(http.StatusTemporaryRedirect)
	return nil
}
