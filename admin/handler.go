// SPDX-License-Identifier: Apache-2.0

// Package admin is the operator's REST API under /admin, in plain net/http:
//
//	canonical path → route → authenticate → authorize → origin and type →
//	parameters, body → resource → audit
//
// Every answer is JSON unless a route says otherwise, every error
// application/problem+json, every change is on disk before it is answered. No
// secret comes back, except where a route is there for that. The package never
// logs. openapi/*.json describe exactly the routes of *_routes.go; a test compares
// them.
package admin

import (
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// Config is what the API shows and changes. State, Pool, Users, Usage and Settings
// must be given and outlive the handler.
type Config struct {
	State    *State
	Pool     *balancer.Pool
	Users    *users.Registry
	Usage    *usage.Ledger
	Settings *settings.Store

	// AdminKeyHash is the SHA-256 of the admin key. The zero value lets nobody in.
	AdminKeyHash [32]byte
	// ClientIP tells the address whose failed attempts are counted; nil takes
	// that of the connection.
	ClientIP func(*http.Request) netip.Addr

	// Closing is closed when another configuration takes over; event streams end
	// then. nil means never.
	Closing <-chan struct{}

	StoreKind string // "badger", "memory": for display
	Version   string // of the gateway: for display
	Started   time.Time
	Now       func() time.Time // nil means time.Now
}

// api is the handler that New returns.
type api struct {
	Config
	jobs   *jobs
	events *hub
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
	return &api{
		Config: c, jobs: &c.State.jobs, events: &c.State.events,
		guard: guard{hash: c.AdminKeyHash, now: c.Now}, origin: http.NewCrossOriginProtection(),
	}
}

func remoteAddr(r *http.Request) netip.Addr {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr)
	return ap.Addr()
}

// routes are all operations. Of the routes whose path matches, the first decides:
// fixed paths stand before those with {id}.
var routes []route

// init joins what the resources bring; an initializer could not, because
// operations may look at the routes.
func init() {
	routes = slices.Concat(coreRoutes, systemRoutes, geminiKeyRoutes, userKeyRoutes, usageRoutes)
	openAPIDocument = mergeOpenAPI()
}
