// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"errors"
	"net/http"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// playgroundForm is what POST /admin/playground/token takes.
type playgroundForm struct {
	UserKey   string `json:"user_key"`   // whose limits and books; "" = nobody's
	GeminiKey string `json:"gemini_key"` // that alone serves it; "" = any
}

type playgroundView struct {
	Key       string    `json:"key"` // to be sent as a user key
	ExpiresAt time.Time `json:"expires_at"`
}

// playgroundToken makes a key for the playground: in memory only, for ten minutes,
// and not beyond the session that asked for it.
func (a *api) playgroundToken(c *call) (status int, body any, err error) {
	var form playgroundForm
	if len(c.body) > 0 {
		if err := decode(c.body, &form); err != nil {
			return 0, nil, err
		}
	}
	if a.System.Guest == nil {
		return 0, nil, unavailable("There is nothing here to play with.")
	}
	if form.UserKey != "" {
		if err := a.playable(form.UserKey); err != nil {
			return 0, nil, err
		}
	}
	if form.GeminiKey != "" {
		if _, ok := a.Pool.Get(form.GeminiKey); !ok {
			return 0, nil, invalid("invalid_body", []fieldError{{"gemini_key", "invalid_value", "is no id of a Gemini key"}})
		}
	}
	var ended <-chan struct{}
	if c.actor.session != nil {
		ended = c.actor.session.ended
	}
	key, until := a.System.Guest(form.UserKey, form.GeminiKey, ended)
	c.about(form.UserKey)
	return http.StatusCreated, playgroundView{key, until.UTC()}, nil
}

// playable refuses user keys that could not be used.
func (a *api) playable(id string) error {
	_, err := a.Users.Account(id)
	wrong := func(message string) error {
		return invalid("invalid_body", []fieldError{{"user_key", "invalid_value", message}})
	}
	switch {
	case errors.Is(err, users.ErrUnknownKey), errors.Is(err, users.ErrNotFound):
		return wrong("is no id of a user key")
	case errors.Is(err, users.ErrDisabled):
		return wrong("is a user key that is disabled; enable it first")
	case errors.Is(err, users.ErrExpired):
		return wrong("is a user key that has expired")
	}
	return err
}
