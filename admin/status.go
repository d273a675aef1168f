// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http"
	"time"
)

// statusView is what GET /admin/status answers.
type statusView struct {
	Version       string    `json:"version"`
	Store         string    `json:"store"`
	Strategy      string    `json:"strategy"`
	Ready         bool      `json:"ready"` // there is a key that may serve
	StartedAt     time.Time `json:"started_at"`
	UptimeSeconds int64     `json:"uptime_seconds"`
	Keys          struct {
		Total    int            `json:"total"`
		Usable   int            `json:"usable"` // untested or active
		States   map[string]int `json:"states"`
		InFlight int            `json:"in_flight"` // attempts that run
	} `json:"keys"`
	Resting int `json:"resting"` // rests in force
	Waiting int `json:"waiting"` // requests that wait for a key
}

func (a *api) status(*call) (status int, body any, err error) {
	pool := a.Pool.Stats()
	view := statusView{
		Version: a.Version, Store: a.StoreKind, Strategy: a.Settings.Current().Strategy,
		Ready:     pool.Usable > 0,
		StartedAt: a.Started.UTC(), UptimeSeconds: int64(a.Now().Sub(a.Started).Seconds()),
		Resting: pool.Resting, Waiting: pool.Waiting,
	}
	view.Keys.Total, view.Keys.Usable, view.Keys.InFlight = pool.Keys, pool.Usable, pool.InFlight
	view.Keys.States = countStates(pool.States)
	return http.StatusOK, view, nil
}
