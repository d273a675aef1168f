// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// health answers GET /health: the process lives, and whether a Gemini key is
// there to serve with. A pool that rests is alive: 200 either way, so that no
// supervisor restarts a gateway for Google's sake.
func (g *Gateway) health(w http.ResponseWriter, r *http.Request) {
	g.public(w, r, map[string]any{"status": "ok", "live": true, "ready": g.Pool.Stats().Usable > 0})
}

// status answers GET /status: the public summary, without names or ids. Of the
// models it knows those that somebody has listed in the last day, and those that
// probes found.
func (g *Gateway) status(w http.ResponseWriter, r *http.Request) {
	here := g.site()
	servable := g.servable(here)
	aliases := slices.DeleteFunc(here.aliases.names(), func(name string) bool { return !servable(name) })
	models := slices.DeleteFunc(g.models(), func(id string) bool { return !here.offers(id) })
	g.public(w, r, map[string]any{
		"version":        g.Version,
		"models":         append(aliases, models...),
		"usable_keys":    g.Pool.Stats().Usable,
		"uptime_seconds": int64(time.Since(g.Started).Seconds()),
	})
}

// models are those that some Gemini key may serve: of Google's list as it was last
// asked for, then of the keys' own.
func (g *Gateway) models() []string {
	keys := g.Pool.Servable()
	models := slices.DeleteFunc(g.lists.models(), func(id string) bool { return !keys.Has(id) })
	for _, id := range g.Pool.Models() {
		if !slices.Contains(models, id) {
			models = append(models, id)
		}
	}
	return models
}

// hello answers those who only want to know whether somebody is there, before they
// have a key: HEAD on /, and Claude Code's start.
func (g *Gateway) hello(w http.ResponseWriter, r *http.Request) {
	if !g.cors(w, r, "GET, HEAD") {
		w.WriteHeader(http.StatusOK)
	}
}

func (g *Gateway) public(w http.ResponseWriter, r *http.Request, v any) {
	if g.cors(w, r, "GET, HEAD") {
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD, OPTIONS")
		w.WriteHeader(http.StatusMethodNotAllowed)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": "method_not_allowed", "message": "Use GET."}})
		return
	}
	_ = json.NewEncoder(w).Encode(v)
}
