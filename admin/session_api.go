// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"time"
)

// sessionView is what a page knows of itself.
type sessionView struct {
	Role       role       `json:"role"`
	Via        string     `json:"via"` // session or header
	Version    string     `json:"version"`
	UIHash     string     `json:"ui_hash"`
	CSRF       string     `json:"csrf"` // how changes are protected: by Origin
	IdleEnds   *time.Time `json:"idle_ends_at"`
	Ends       *time.Time `json:"ends_at"`
	SudoUntil  *time.Time `json:"sudo_until"`
	TLS        bool       `json:"tls"`
	ServerTime time.Time  `json:"server_time"`
}

func (a *api) viewSession(c *call) sessionView {
	v := sessionView{
		Role: c.actor.role, Via: c.actor.via, Version: a.Version, UIHash: a.uiHash(), CSRF: "origin",
		TLS: c.TLS != nil, ServerTime: a.Now().UTC(),
	}
	if s := c.actor.session; s != nil {
		idle, final := a.State.sessions.times(s)
		idle, final = idle.UTC(), final.UTC()
		v.IdleEnds, v.Ends = &idle, &final
		if until := a.State.sessions.granted(s); !until.IsZero() {
			until = until.UTC()
			v.SudoUntil = &until
		}
	}
	return v
}

func (a *api) getSession(c *call) (status int, body any, err error) {
	return http.StatusOK, a.viewSession(c), nil
}

// signIn makes a session of a key. A session that the browser has already ends: no
// id outlives a sign-in.
func (a *api) signIn(c *call) (status int, body any, err error) {
	var form struct {
		Key  string `json:"key"`
		Keep bool   `json:"keep"`
	}
	if err := decode(c.body, &form); err != nil {
		return 0, nil, err
	}
	given := withoutBearer(form.Key)
	role, p := a.guard().try(given, given != "", c.actor.ip, a.roleOf)
	if p != nil {
		a.refuse(c, "sign-in: "+p.Code)
		return 0, nil, p
	}
	if role == roleAdmin {
		a.State.setup.close()
	}
	if c.actor.session != nil {
		a.State.sessions.end(c.actor.session)
	}
	a.begin(c, sha256.Sum256([]byte(given)), role, form.Keep)
	return http.StatusCreated, a.viewSession(c), nil
}

// begin starts a session for the browser that makes the call.
func (a *api) begin(c *call, key [32]byte, r role, keep bool) {
	cookie, s := a.State.sessions.start(key, r, keep)
	var kept time.Duration
	if keep {
		kept = s.max
	}
	setCookie(c.header, c.Request, cookie, kept)
	c.actor.session, c.actor.role, c.actor.via = s, r, "session"
}

func withoutBearer(key string) string {
	key = strings.TrimSpace(key)
	if scheme, rest, ok := strings.Cut(key, " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(rest)
	}
	return key
}

func (a *api) signOut(c *call) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	if c.actor.session != nil {
		a.State.sessions.end(c.actor.session)
	}
	setCookie(c.header, c.Request, "", 0)
	return http.StatusNoContent, nil, nil
}

// ping says that a person is there: authorize has counted it.
func (a *api) ping(c *call) (status int, body any, err error) {
	return http.StatusNoContent, nil, noBody(c)
}

// sudo takes the admin key again, for what a session left open must not do.
func (a *api) sudo(c *call) (status int, body any, err error) {
	var form struct {
		Key string `json:"key"`
	}
	if err := decode(c.body, &form); err != nil {
		return 0, nil, err
	}
	if c.actor.session == nil {
		return 0, nil, problem(http.StatusConflict, "no_session", "The header Authorization has the admin key in each request already, so that nothing more is needed.")
	}
	given := withoutBearer(form.Key)
	_, p := a.guard().try(given, given != "", c.actor.ip, a.adminOnly)
	if p != nil {
		a.refuse(c, "sudo: "+p.Code)
		return 0, nil, p
	}
	until := a.State.sessions.grant(c.actor.session).UTC()
	return http.StatusOK, map[string]time.Time{"sudo_until": until}, nil
}

// signOutAll ends every session, the caller's included.
func (a *api) signOutAll(c *call) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	c.note("ended %d sessions", a.State.sessions.endAll())
	setCookie(c.header, c.Request, "", 0)
	return http.StatusNoContent, nil, nil
}
