// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// AdminAPI adds to Caddy's own admin endpoint what monitoring on the same machine
// wants to know, without a key and without a secret in it. All of it is read only:
//
// Route | Answer
// ------|-------
// `GET /gemini_balance/health` | 200 as long as the process lives; `ready` says whether a Gemini key is in service and the store can be written
// `GET /gemini_balance/ready` | the same, with 503 where it is not ready
// `GET /gemini_balance/pool` | Gemini keys by state, rests by scope and kind, requests under way and waiting, egress routes, what is left of quotas
//
// What changes anything is the admin API of `gemini_balance_admin`.
type AdminAPI struct{}

// CaddyModule returns the Caddy module information.
func (*AdminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gemini_balance", New: func() caddy.Module { return new(AdminAPI) }}
}

// Routes implements caddy.AdminRouter.
func (*AdminAPI) Routes() []caddy.AdminRoute {
	route := func(name string, answer func(*App) (int, any)) caddy.AdminRoute {
		return caddy.AdminRoute{Pattern: "/gemini_balance/" + name, Handler: caddy.AdminHandlerFunc(readOnly(answer))}
	}
	return []caddy.AdminRoute{route("health", answerHealth), route("ready", answerReady), route("pool", answerPool)}
}

// readOnly answers GET and HEAD about the configuration in force.
func readOnly(answer func(*App) (int, any)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("use GET")}
		}
		a := newest.Load()
		if a == nil || !a.requests.enter() {
			return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: errors.New("no configuration with gemini_balance is started")}
		}
		defer a.requests.leave()
		status, v := answer(a)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		return json.NewEncoder(w).Encode(v)
	}
}

// healthView is how the process does.
type healthView struct {
	Live          bool     `json:"live"`
	Ready         bool     `json:"ready"`
	UsableKeys    int      `json:"usable_keys"`   // in service, resting or not
	StoreFailing  []string `json:"store_failing"` // parts that cannot be written
	Version       string   `json:"version"`
	UptimeSeconds int64    `json:"uptime_seconds"`
}

func healthOf(a *App) healthView {
	v := healthView{
		Live: true, UsableKeys: a.shared.pool.Stats().Usable, StoreFailing: []string{},
		Version: moduleVersion, UptimeSeconds: int64(time.Since(processStarted).Seconds()),
	}
	for _, part := range storeParts {
		if a.shared.storeFailing[part].Load() != 0 {
			v.StoreFailing = append(v.StoreFailing, partWords[part])
		}
	}
	v.Ready = v.UsableKeys > 0 && len(v.StoreFailing) == 0
	return v
}

func answerHealth(a *App) (int, any) { return http.StatusOK, healthOf(a) }

func answerReady(a *App) (int, any) {
	v := healthOf(a)
	if !v.Ready {
		return http.StatusServiceUnavailable, v
	}
	return http.StatusOK, v
}

// poolView is the pool in numbers.
type poolView struct {
	Keys             map[balancer.State]int `json:"keys"`
	Resting          []restView             `json:"resting"`
	InFlightAttempts int                    `json:"in_flight_attempts"`
	WaitingRequests  int                    `json:"waiting_requests"`
	OpenStreams      int64                  `json:"open_streams"`
	LiveSessions     int64                  `json:"live_sessions"`
	Routes           []routeView            `json:"routes"`
	Quotas           []balancer.Forecast    `json:"quotas"`
}

type restView struct {
	Scope string `json:"scope"`
	Kind  string `json:"kind"`
	Count int    `json:"count"`
}

type routeView struct {
	Route string `json:"route"`
	Keys  int    `json:"keys"`
	Up    bool   `json:"up"`
}

func answerPool(a *App) (int, any) {
	r := a.shared
	g := r.pool.Gauges()
	v := poolView{
		Keys: map[balancer.State]int{}, Resting: []restView{}, Routes: []routeView{}, Quotas: []balancer.Forecast{},
		InFlightAttempts: g.InFlight, WaitingRequests: g.Waiting, OpenStreams: r.open.Streams.Load(), LiveSessions: r.open.Sessions.Load(),
	}
	for _, state := range balancer.States {
		v.Keys[state] = g.States[state]
	}
	for _, n := range g.Rests {
		v.Resting = append(v.Resting, restView(n))
	}
	for _, route := range boundRoutes(g.Routes) {
		v.Routes = append(v.Routes, routeView{route.Route, route.Keys, !route.Out})
	}
	for _, f := range r.forecast.get(r.pool) {
		if r.models.knows(f.Model) {
			v.Quotas = append(v.Quotas, f)
		}
	}
	return http.StatusOK, v
}
