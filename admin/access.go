// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard is shared by all handlers of a store.
func (a *api) guard() *guard { return &a.State.guard }

// roleOf tells what the key with a hash opens. Both are always compared.
func (a *api) roleOf(hash [32]byte) role {
	admin := a.adminOnly(hash)
	viewer := subtle.ConstantTimeCompare(hash[:], a.ViewerKeyHash[:]) == 1
	if viewer && admin == "" {
		return roleViewer
	}
	return admin
}

func (a *api) adminOnly(hash [32]byte) role {
	key := a.adminKeyHash()
	if subtle.ConstantTimeCompare(hash[:], key[:]) == 1 {
		return roleAdmin
	}
	return ""
}

// adminKeyHash is that of the configuration, else that of the state; zero, which is
// the hash of nothing, lets nobody in.
func (a *api) adminKeyHash() [32]byte {
	if a.AdminKeyHash != ([32]byte{}) {
		return a.AdminKeyHash
	}
	return a.State.adminKeyHash()
}

// authenticate finds out who makes a request: by the header Authorization, which
// then alone counts, or by the cookie of a session. c.route is nil where there is no
// such route, which only those with a key are told.
func (a *api) authenticate(c *call) error {
	guest := c.route != nil && c.route.needs == needsNone
	if given, sent := credential(c.Header); sent {
		r, p := a.guard().try(given, true, c.actor.ip, a.roleOf)
		if p != nil {
			a.refuse(c, "header: "+p.Code)
			return p
		}
		if r == roleAdmin {
			a.State.setup.close() // somebody has the key: nobody needs another way in
		}
		c.actor.role, c.actor.via, c.actor.key = r, "header", sha256.Sum256([]byte(given))
		return nil
	}
	cookie, sent := cookieOf(c.Request)
	if s := a.State.sessions.find(cookie, a.stillValid); s != nil {
		c.actor.session, c.actor.role, c.actor.via, c.actor.key = s, s.role, "session", s.key
		return nil
	}
	if guest {
		return nil
	}
	if sent {
		setCookie(c.header, c.Request, "", 0)
		return problem(http.StatusUnauthorized, "session_ended", "The session has ended. Sign in again.")
	}
	_, p := a.guard().try("", false, c.actor.ip, a.roleOf)
	return p
}

// stillValid tells whether a session's key still opens what it did: whoever changes
// the key ends all sessions that it began.
func (a *api) stillValid(r role, key [32]byte) bool { return a.roleOf(key) == r }

// stillIn tells whether an actor of before may still make calls: its key opens what it
// did, and its session has not ended.
func (a *api) stillIn(w actor) bool {
	return a.stillValid(w.role, w.key) && (w.session == nil || a.State.sessions.alive(w.session))
}

// authorize decides whether the actor may make the call. What a browser sends must
// also come from our own page, under a name that is ours.
func (a *api) authorize(c *call) error {
	if c.actor.via != "header" {
		if !a.hostAllowed(c.Request) {
			return hostProblem(c.Host)
		}
		if err := a.checkOrigin(c); err != nil {
			return err
		}
	}
	switch rt := c.route; {
	case rt.needs == needsNone:
		return nil
	case rt.needs == needsSession:
	case c.actor.role != roleAdmin && (rt.needs != needsRole || !reads(rt.method)):
		return problem(http.StatusForbidden, "read_only", "This key may read, but change nothing and see no secrets. Use the admin key.")
	case rt.needs == needsSudo && c.actor.session != nil && a.State.sessions.granted(c.actor.session).IsZero():
		return sudoRequired()
	}
	if c.actor.session != nil && !reads(c.Method) {
		a.State.sessions.input(c.actor.session)
	}
	return nil
}

func sudoRequired() error {
	return problem(http.StatusForbidden, "sudo_required", "This needs the admin key again: POST /admin/session/sudo, then repeat it within 5 minutes.")
}

// checkOrigin refuses what another site makes a browser send. A session's cookie is
// not sent across sites (SameSite) nor can JSON be without CORS, which is off; this
// is the lock that says so. Every browser sends Origin or Sec-Fetch-Site with a
// change, so that a session that sends neither is none.
func (a *api) checkOrigin(c *call) error {
	if reads(c.Method) {
		return nil
	}
	unsaid := c.Header.Get("Origin") == "" && c.Header.Get("Sec-Fetch-Site") == ""
	if a.origin.Check(c.Request) != nil || unsaid && c.actor.session != nil {
		return problem(http.StatusForbidden, "cross_origin", "This request comes from a page of another site; changes are taken from this site, and from scripts that send the admin key in the header.")
	}
	return nil
}

// hostAllowed keeps pages out that made their own name point to this server (DNS
// rebinding): the name must be one that cannot be theirs. Source: specs/gateways.md
// W1.
func (a *api) hostAllowed(r *http.Request) bool {
	host := hostOf(r.Host)
	if host == "" {
		return false
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" {
		return true
	}
	for _, known := range a.Hosts {
		if matchHost(known, host) {
			return true
		}
	}
	return a.RoutedHost != nil && a.RoutedHost(r)
}

// hostOf is the name in a Host header, in lower case, "" if it is malformed.
func hostOf(host string) string {
	if name, port, err := net.SplitHostPort(host); err == nil {
		if strings.Trim(port, "0123456789") != "" {
			return ""
		}
		host = name
	} else if bare, ok := strings.CutPrefix(host, "["); ok {
		if host, ok = strings.CutSuffix(bare, "]"); !ok {
			return ""
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// matchHost compares a name with an entry of the list, which may begin with *. for
// one label.
func matchHost(known, host string) bool {
	known = strings.ToLower(known)
	if suffix, ok := strings.CutPrefix(known, "*"); ok {
		label, cut := strings.CutSuffix(host, suffix)
		return cut && label != "" && !strings.Contains(label, ".")
	}
	return known == host
}

func hostProblem(host string) error {
	return problem(http.StatusForbidden, "host_not_allowed", "The web UI does not know the host name "+clip(host)+
		". If it is this server's, name it in the site address, or in the Caddyfile: gemini_balance_admin { hosts "+clip(hostOf(host))+" }. An IP address works, too.")
}

// name is how the audit log calls an actor.
func (w actor) name() string {
	if w.session != nil {
		return w.session.name()
	}
	return w.via
}

// signedOut returns a channel that is closed when the actor's session ends by an
// act; nil without a session.
func (w actor) signedOut() <-chan struct{} {
	if w.session == nil {
		return nil
	}
	return w.session.ended
}
