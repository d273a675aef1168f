// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gemini-balance/caddy-gemini-balance/admin"
)

// AdminHandler serves the operators' API of the app `gemini_balance` under
// `/admin`. `GET /` is redirected there if no other handler answers it. Requests
// for other paths go to the next handler.
//
// It must be authenticated by the admin key: `Authorization: Bearer <admin key>`.
// There is no default.
type AdminHandler struct {
	// A placeholder of the admin key, such as `{env.GB_ADMIN_KEY}`. Default: the
	// file `admin.key` in the store's directory, which the first start makes.
	AdminKey string `json:"admin_key,omitempty"`

	app   *App
	hash  [32]byte // of a configured admin key; zero for the generated one
	admin http.Handler
}

// CaddyModule returns the Caddy module information.
func (*AdminHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gemini_balance_admin", New: func() caddy.Module { return new(AdminHandler) }}
}

// Provision resolves the admin key and finds the app.
func (h *AdminHandler) Provision(ctx caddy.Context) error {
	app, err := appOf(ctx)
	if err != nil {
		return err
	}
	h.app = app
	app.starters = append(app.starters, h.start)
	if h.AdminKey == "" {
		app.wantsAdminKey = true
		return nil
	}
	secret, err := resolveSecret("admin_key", h.AdminKey)
	if err != nil {
		return err
	}
	if len(secret) < minAdminKey {
		return fmt.Errorf("admin_key: what %s stands for has fewer than %d characters; `openssl rand -base64 32` makes a good one",
			h.AdminKey, minAdminKey)
	}
	h.hash = sha256.Sum256([]byte(secret))
	return nil
}

// start makes the API. It is called by the app once its store is open.
func (h *AdminHandler) start() error {
	a := h.app
	hash := h.hash
	if h.AdminKey == "" {
		hash = a.adminKeyHash
	}
	h.admin = admin.New(admin.Config{
		State: a.shared.admin,
		Pool: a.shared.pool, Users: a.shared.users, Usage: a.shared.usage, Settings: a.shared.settings,
		AdminKeyHash: hash,
		ClientIP:     clientIP,
		StoreKind:    a.backend.kind(),
		Version:      version(),
		Started:      processStarted,
	})
	return nil
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
