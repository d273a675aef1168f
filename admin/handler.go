// SPDX-License-Identifier: Apache-2.0

// Package admin is the operator's REST API under /admin, in plain net/http:
//
//	canonical path → authenticate → route → origin and type → parameters, body → resource
//
// Every answer is JSON, every error application/problem+json, every change is on
// disk before it is answered. No secret comes back, except a user key in the one
// answer that creates it. The package never logs. openapi.json describes exactly
// the routes of this file; a test compares them.
package admin

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// Config is what the API shows and changes. Pool, Users, Usage and Settings must
// be given and outlive the handler.
type Config struct {
	Pool     *balancer.Pool
	Users    *users.Registry
	Usage    *usage.Ledger
	Settings *settings.Store

	// AdminKeyHash is the SHA-256 of the admin key. The zero value lets nobody in.
	AdminKeyHash [32]byte
	// ClientIP tells the address whose failed attempts are counted; nil takes
	// that of the connection.
	ClientIP func(*http.Request) netip.Addr

	StoreKind string // "badger", "memory": for display
	Version   string // of the gateway: for display
	Started   time.Time
	Now       func() time.Time // nil means time.Now
}

// api is the handler that New returns.
type api struct {
	Config
	guard  guard
	origin *http.CrossOriginProtection
}

// New returns the handler for /admin and everything below it; other paths are
// answered with 404. It is safe for concurrent use.
func New(c Config) http.Handler {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.ClientIP == nil {
		c.ClientIP = remoteAddr
	}
	if c.Started.IsZero() {
		c.Started = c.Now()
	}
	return &api{Config: c, guard: guard{hash: c.AdminKeyHash, now: c.Now}, origin: http.NewCrossOriginProtection()}
}

func remoteAddr(r *http.Request) netip.Addr {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr)
	return ap.Addr()
}

// route is one operation. Of the routes whose path matches, the first decides:
// fixed paths stand before those with {id}.
type route struct {
	method  string
	path    string
	params  []string // query parameters it takes; any other is an error
	operate operation
}

// operation answers a call with a status and a body for JSON, nil for none.
type operation func(a *api, c *call) (status int, body any, err error)

var routes = []route{
	{"GET", "/admin/status", nil, (*api).status},
	{"GET", "/admin/stats", []string{"window"}, (*api).stats},
	{"GET", "/admin/explain", []string{"model", "user_key", "tokens", "standing", "limit", "offset"}, (*api).explain},
	{"GET", "/admin/quotas", []string{"model", "project", "limit", "offset"}, (*api).listQuotas},
	{"GET", "/admin/config", nil, (*api).getConfig},
	{"POST", "/admin/config", nil, (*api).setConfig},
	{"GET", "/admin/openapi.json", nil, (*api).openAPI},

	{"GET", "/admin/keys/gemini", geminiKeyParams, (*api).listGeminiKeys},
	{"POST", "/admin/keys/gemini", nil, (*api).addGeminiKeys},
	{"GET", "/admin/keys/gemini/rests", []string{"limit"}, (*api).listRests},
	{"GET", "/admin/keys/gemini/{id}", nil, (*api).getGeminiKey},
	{"DELETE", "/admin/keys/gemini/{id}", nil, (*api).deleteGeminiKey},
	{"POST", "/admin/keys/gemini/{id}/enable", nil, (*api).enableGeminiKey},
	{"POST", "/admin/keys/gemini/{id}/disable", nil, (*api).disableGeminiKey},
	{"POST", "/admin/keys/gemini/{id}/reset", nil, (*api).resetGeminiKey},
	{"POST", "/admin/keys/gemini/{id}/probe", nil, (*api).probeGeminiKey},

	{"GET", "/admin/keys/user", []string{"limit", "offset", "q"}, (*api).listUserKeys},
	{"POST", "/admin/keys/user", nil, (*api).createUserKey},
	{"GET", "/admin/keys/user/{id}", nil, (*api).getUserKey},
	{"DELETE", "/admin/keys/user/{id}", nil, (*api).deleteUserKey},
	{"POST", "/admin/keys/user/{id}/enable", nil, (*api).enableUserKey},
	{"POST", "/admin/keys/user/{id}/disable", nil, (*api).disableUserKey},
}
