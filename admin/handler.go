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
	"context"
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

	// AdminKeyHash is the SHA-256 of the configured admin key. The zero value
	// leaves it to [State.SetAdminKey].
	AdminKeyHash [32]byte
	// ViewerKeyHash is that of the key that may read only. The zero value is none.
	ViewerKeyHash [32]byte
	// ReplaceAdminKey keeps a new admin key on the disk, for when none is
	// configured. nil means that it cannot be replaced.
	ReplaceAdminKey func(secret string) error

	// Hosts are names under which the web UI may be used, beside IP addresses and
	// localhost. *.example.com is any one label before.
	Hosts []string
	// RoutedHost tells whether the name of a request is one that the server is
	// configured for; nil means that none is.
	RoutedHost func(*http.Request) bool

	// ClientIP tells the address whose failed attempts are counted; nil takes
	// that of the connection.
	ClientIP func(*http.Request) netip.Addr

	// NoUI leaves the web UI out.
	NoUI bool
	// Closing is closed when another configuration takes over; event streams end
	// then. nil means never.
	Closing <-chan struct{}

	// Validate asks Google about one Gemini key, and with a model for one token of it.
	// It returns [balancer.ErrNotFound], [balancer.ErrNoRoom] or ctx's error. nil
	// means that nobody can.
	Validate func(ctx context.Context, id, model string) (balancer.Outcome, error)

	System System // what the process around the API tells of itself

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
	ui     *webUI // nil if there is none
	origin *http.CrossOriginProtection
	sums   recentSums
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
	c.State.sessions.setTerms(func() (idle, most time.Duration) {
		s := &c.Settings.Current().Session
		return s.Idle, s.Absolute
	})
	a := &api{Config: c, jobs: &c.State.jobs, events: &c.State.events, origin: http.NewCrossOriginProtection()}
	if !c.NoUI {
		a.ui = loadUI()
	}
	a.announce()
	a.events.every("keys", "keys", keyEventPause, (&keyWatch{pool: c.Pool}).event)
	return a
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
