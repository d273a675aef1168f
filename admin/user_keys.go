// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// createdUserKey is the only answer with a user key in it.
type createdUserKey struct {
	users.Key
	Secret string `json:"key"`
}

// createUserKey takes a [users.Spec]:
//
//	{"name": "alice", "limits": {"rpm", "tpm", "rpd", "concurrency"}, "unlimited": false,
//	 "models": ["gemini-*"], "expires_at": "2027-01-31T00:00:00Z", …}
func (a *api) createUserKey(c *call) (status int, body any, err error) {
	var spec users.Spec
	if err := decode(c.body, &spec); err != nil {
		return 0, nil, err
	}
	faults := checkText(nil, "name", spec.Name)
	faults = checkTags(faults, spec.Tags)
	if err := invalid("invalid_body", faults); err != nil {
		return 0, nil, err
	}
	key, secret, err := a.Users.Create(c.Context(), spec)
	if err != nil {
		return 0, nil, userKeyProblem(err)
	}
	return http.StatusCreated, createdUserKey{key, secret}, nil
}

func (a *api) listUserKeys(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	limit, offset, search := q.limit(), q.offset(), q.search()
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	page, err := a.Users.List(c.Context(), users.Query{Limit: limit, Offset: offset, Search: search})
	if err != nil {
		return 0, nil, err
	}
	keys := make([]users.Key, len(page.Keys))
	for i := range page.Keys {
		keys[i] = page.Keys[i].Key
	}
	return http.StatusOK, newList(keys, page.Total, offset), nil
}

func (a *api) getUserKey(c *call) (status int, body any, err error) {
	key, err := a.Users.Get(c.id)
	if err != nil {
		return 0, nil, userKeyProblem(err)
	}
	return http.StatusOK, key, nil
}

func (a *api) deleteUserKey(c *call) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	if err := a.Users.Delete(c.Context(), c.id); err != nil {
		return 0, nil, userKeyProblem(err)
	}
	return http.StatusNoContent, nil, nil
}

func (a *api) enableUserKey(c *call) (status int, body any, err error) { return a.setUserKey(c, true) }

func (a *api) disableUserKey(c *call) (status int, body any, err error) {
	return a.setUserKey(c, false)
}

func (a *api) setUserKey(c *call, enabled bool) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	key, err := a.Users.SetEnabled(c.Context(), c.id, enabled)
	if err != nil {
		return 0, nil, userKeyProblem(err)
	}
	return http.StatusOK, key, nil
}

func userKeyProblem(err error) error {
	switch {
	case errors.Is(err, users.ErrNotFound):
		return problem(http.StatusNotFound, "user_key_not_found", "There is no user key with this id. The id is in GET /admin/keys/user; it is not the key itself.")
	case errors.Is(err, users.ErrInvalid):
		return problem(http.StatusBadRequest, "invalid_body", strings.TrimPrefix(err.Error(), users.ErrInvalid.Error()+": ")+".")
	}
	return err
}
