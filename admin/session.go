// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync"
	"time"
)

// Times of sessions, where the settings say no other. Source: specs/ui.md §5.
const (
	sessionIdle     = 30 * time.Minute
	sessionIdleKept = 12 * time.Hour // "keep me signed in on this device"
	sessionMax      = 12 * time.Hour
	sudoTime        = 5 * time.Minute
)

// maxSessions bounds memory; the one that was idle the longest goes. Our choice.
const maxSessions = 256

// session is a browser that is signed in. Its fields are guarded by sessions.mu,
// those above the line never change.
type session struct {
	id      [32]byte // SHA-256 of what is in the cookie
	key     [32]byte // SHA-256 of the key that signed in
	role    role
	keep    bool
	created time.Time
	idle    time.Duration // how long it may be left alone
	max     time.Duration // how long it lasts in any case
	ended   chan struct{} // closed by end

	active time.Time // of the last real input
	sudo   time.Time // until when
}

// ends tells when the session ends if nothing happens any more, and when in any
// case.
func (s *session) ends() (idle, final time.Time) {
	final = s.created.Add(s.max)
	idle = s.active.Add(s.idle)
	if s.keep {
		idle = s.active.Add(sessionIdleKept)
	}
	if idle.After(final) {
		idle = final
	}
	return idle, final
}

// sessions are kept in memory: they survive a reload and end with the process, so
// that no theft of the store is one of sessions.
type sessions struct {
	now func() time.Time

	mu  sync.Mutex
	all map[[32]byte]*session
	// terms are those of sessions that begin; nil for the usual ones.
	terms func() (idle, most time.Duration)
}

// setTerms says how long sessions that begin from now on may last.
func (ss *sessions) setTerms(terms func() (idle, most time.Duration)) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.terms = terms
}

// start makes a session and returns what goes into its cookie: 256 random bits.
func (ss *sessions) start(key [32]byte, r role, keep bool) (cookie string, s *session) {
	cookie = rand.Text() + rand.Text()
	ss.mu.Lock()
	defer ss.mu.Unlock()
	now := ss.now()
	s = &session{id: sha256.Sum256([]byte(cookie)), key: key, role: r, keep: keep, created: now, active: now, idle: sessionIdle, max: sessionMax, ended: make(chan struct{})}
	if ss.terms != nil {
		s.idle, s.max = ss.terms()
	}
	if ss.all == nil {
		ss.all = make(map[[32]byte]*session)
	}
	ss.makeRoom(now)
	ss.all[s.id] = s
	return cookie, s
}

// makeRoom ends what is over, and the idlest if there are still too many.
func (ss *sessions) makeRoom(now time.Time) {
	if idlest := ss.sweep(now); len(ss.all) >= maxSessions {
		ss.endLocked(idlest)
	}
}

// sweep ends what is over, and returns the idlest of the others, nil where there is none.
func (ss *sessions) sweep(now time.Time) (idlest *session) {
	for _, s := range ss.all {
		if idle, _ := s.ends(); !now.Before(idle) {
			ss.endLocked(s)
		} else if idlest == nil || s.active.Before(idlest.active) {
			idlest = s
		}
	}
	return idlest
}

// find returns the session of a cookie, nil if there is none or it is over. valid
// tells whether the key that signed in is still one.
func (ss *sessions) find(cookie string, valid func(role, [32]byte) bool) *session {
	// Looked up by hash: how long that takes tells nothing of other cookies.
	id := sha256.Sum256([]byte(cookie))
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s := ss.all[id]
	if s == nil {
		return nil
	}
	if idle, _ := s.ends(); !ss.now().Before(idle) || !valid(s.role, s.key) {
		ss.endLocked(s)
		return nil
	}
	return s
}

// alive tells whether a session has not ended, and ends it if its time is over.
func (ss *sessions) alive(s *session) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if idle, _ := s.ends(); !ss.now().Before(idle) {
		ss.endLocked(s)
	}
	return ss.all[s.id] == s
}

// input says that a person does something in the session.
func (ss *sessions) input(s *session) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s.active = ss.now()
}

// grant opens what needs the admin key again, and says until when.
func (ss *sessions) grant(s *session) (until time.Time) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s.sudo = ss.now().Add(sudoTime)
	return s.sudo
}

// granted tells until when the session has what grant gave, zero if it has not.
func (ss *sessions) granted(s *session) (until time.Time) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.now().Before(s.sudo) {
		return s.sudo
	}
	return time.Time{}
}

func (ss *sessions) times(s *session) (idle, final time.Time) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return s.ends()
}

func (ss *sessions) end(s *session) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.endLocked(s)
}

// endAll ends every session and returns how many there were.
func (ss *sessions) endAll() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	n := len(ss.all)
	for _, s := range ss.all {
		ss.endLocked(s)
	}
	return n
}

func (ss *sessions) endLocked(s *session) {
	if ss.all[s.id] == s {
		delete(ss.all, s.id)
		close(s.ended)
	}
}

// count is how many sessions there are.
func (ss *sessions) count() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.sweep(ss.now())
	return len(ss.all)
}

// name is how the audit log calls a session: the beginning of its id's hash, which
// opens nothing.
func (s *session) name() string { return "session " + hex.EncodeToString(s.id[:4]) }

// cookieName is bound to the host and to TLS by its prefix; browsers take that
// prefix over TLS only. Source: RFC 6265bis §4.1.3.
func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return "__Host-gb_session"
	}
	return "gb_session"
}

// cookieOf is what the cookie of a request holds, "" for none. Two of the name
// are one too many: somebody set one for a parent domain.
func cookieOf(r *http.Request) (value string, sent bool) {
	cookies := r.CookiesNamed(cookieName(r))
	if len(cookies) != 1 {
		return "", len(cookies) > 0
	}
	return cookies[0].Value, true
}

// setCookie gives a browser its session, for as long as it runs or for keep; ""
// takes it away.
func setCookie(h http.Header, r *http.Request, value string, keep time.Duration) {
	cookie := &http.Cookie{ //nolint:gosec // Secure wherever there is TLS: see cookieName
		Name: cookieName(r), Value: value, Path: "/",
		Secure: r.TLS != nil, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	switch {
	case value == "":
		cookie.MaxAge = -1
	case keep > 0:
		cookie.MaxAge = int(keep / time.Second)
	}
	h.Add("Set-Cookie", cookie.String())
}
