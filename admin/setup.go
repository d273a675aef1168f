// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The one-time token of the first run. Source: specs/ui.md §3.1.
const (
	setupTime  = 30 * time.Minute
	setupTries = 5
)

// MinAdminKey is the least length of an admin key in bytes.
// Our choice: what a person types in full is guessed; 16 random characters are not.
const MinAdminKey = 16

// setup is a way in for whoever reads the log of the first start, until the first
// use of the admin key.
type setup struct {
	now func() time.Time

	mu    sync.Mutex
	hash  [32]byte // of the token; zero = closed
	until time.Time
	tries int

	rotating sync.Mutex // held while an admin key is replaced
}

// offer makes a token.
func (s *setup) offer() string {
	token := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hash, s.until, s.tries = sha256.Sum256([]byte(token)), s.now().Add(setupTime), setupTries
	return token
}

func (s *setup) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hash = [32]byte{}
}

func (s *setup) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.openLocked()
}

func (s *setup) openLocked() bool {
	return s.hash != [32]byte{} && s.tries > 0 && s.now().Before(s.until)
}

// take uses a token up.
func (s *setup) take(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.openLocked() {
		return problem(http.StatusForbidden, "setup_closed", "No setup token is open: it was used, is older than 30 minutes, was wrong 5 times, or the admin key has been used. The admin key is in the file admin.key of the store's directory, whose path is in Caddy's log, or in the Caddyfile.")
	}
	s.tries--
	hash := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if subtle.ConstantTimeCompare(hash[:], s.hash[:]) != 1 {
		return problem(http.StatusUnauthorized, "wrong_setup_token", fmt.Sprintf("This is not the setup token of Caddy's log. %d tries are left.", s.tries))
	}
	s.hash = [32]byte{}
	return nil
}

// OfferSetup makes a token that POST /admin/setup takes once, for 30 minutes. It is
// for a start that has just made an admin key that nobody has seen. The caller
// writes it to the log, the one secret that may stand there: it opens nothing after
// its first use.
func (s *State) OfferSetup() (token string) { return s.setup.offer() }

// setupView is what GET /admin/setup answers: to guests only what they need to know
// which page to show.
type setupView struct {
	Needed     bool  `json:"needed"`
	Token      bool  `json:"token"` // the way in by token is open
	TLS        bool  `json:"tls"`
	GeminiKeys *bool `json:"gemini_keys,omitempty"` // there are some
	UserKeys   *bool `json:"user_keys,omitempty"`
}

// getSetup leads guests to the token only while there is one: everybody else must sign
// in first, whatever is missing. What guests may ask costs nothing.
func (a *api) getSetup(c *call) (status int, body any, err error) {
	token := a.State.setup.open()
	v := setupView{Needed: token, Token: token, TLS: c.TLS != nil}
	if c.actor.role == "" {
		return http.StatusOK, v, nil
	}
	count, err := a.Users.Count()
	if err != nil {
		return 0, nil, err
	}
	gemini, user := a.Pool.Stats().Keys > 0, count > 0
	v.GeminiKeys, v.UserKeys = &gemini, &user
	v.Needed = token || !gemini || !user
	return http.StatusOK, v, nil
}

// setUp makes the admin key, for whoever has the token of the log.
func (a *api) setUp(c *call) (status int, body any, err error) {
	var form struct {
		Token    string  `json:"token"`
		AdminKey *string `json:"admin_key"`
	}
	if err := decode(c.body, &form); err != nil {
		return 0, nil, err
	}
	secret := newAdminKey()
	if form.AdminKey != nil {
		if secret, err = checkAdminKey(*form.AdminKey); err != nil {
			return 0, nil, err
		}
	}
	if err := a.State.setup.take(form.Token); err != nil {
		a.refuse(c, "setup: "+asProblem(err).Code)
		return 0, nil, err
	}
	if err := a.replaceAdminKey(secret); err != nil {
		return 0, nil, err
	}
	c.note("made the admin key")
	a.begin(c, sha256.Sum256([]byte(secret)), roleAdmin, false)
	return http.StatusCreated, map[string]string{"admin_key": secret}, nil
}

// rotateAdminKey makes a new admin key and ends all sessions, the caller's included.
func (a *api) rotateAdminKey(c *call) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	secret := newAdminKey()
	if err := a.replaceAdminKey(secret); err != nil {
		return 0, nil, err
	}
	c.note("made a new admin key; ended %d sessions", a.State.sessions.endAll())
	return http.StatusOK, map[string]string{"admin_key": secret}, nil
}

// replaceAdminKey keeps a key, and then lets it in.
func (a *api) replaceAdminKey(secret string) error {
	if a.ReplaceAdminKey == nil || a.AdminKeyHash != ([32]byte{}) {
		return problem(http.StatusConflict, "locked", "The admin key is set in the Caddyfile (admin_key), which wins: change it there and reload. That ends all sessions.")
	}
	a.State.setup.rotating.Lock()
	defer a.State.setup.rotating.Unlock()
	if err := a.ReplaceAdminKey(secret); err != nil {
		return err
	}
	a.State.SetAdminKey(sha256.Sum256([]byte(secret)))
	return nil
}

func newAdminKey() string { return rand.Text() + rand.Text() } // 256 bits

// checkAdminKey refuses a key that is easily guessed, or that a header cannot hold.
func checkAdminKey(key string) (string, error) {
	key = strings.TrimSpace(key)
	fault := ""
	switch {
	case len(key) < MinAdminKey:
		fault = fmt.Sprintf("has fewer than %d characters", MinAdminKey)
	case len(key) > maxCredential:
		fault = fmt.Sprintf("has more than %d characters", maxCredential)
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		fault = "must be visible ASCII characters without spaces, so that a header can hold it"
	}
	if fault == "" {
		return key, nil
	}
	return "", invalid("invalid_body", []fieldError{{"admin_key", "invalid_value", fault}})
}
