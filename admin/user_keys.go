// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// userKey is a user key as operators see it. Lists are never null.
type userKey struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Hint      string       `json:"hint"` // of the secret: gb-ab12…x7Qp
	Note      string       `json:"note"`
	Labels    []string     `json:"labels"` // operator's; Tags are those of Gemini keys that it may use
	Tags      []string     `json:"tags"`
	Enabled   bool         `json:"enabled"`
	Status    users.Status `json:"status"`
	Created   time.Time    `json:"created"`
	ExpiresAt time.Time    `json:"expires_at,omitzero"`
	DeletedAt time.Time    `json:"deleted_at,omitzero"`

	Models    []string     `json:"models"`
	Dialects  []string     `json:"dialects"`
	CIDRs     []string     `json:"cidrs"`
	Limits    users.Limits `json:"limits"`
	Unlimited bool         `json:"unlimited"`
	Unpriced  bool         `json:"unpriced"`
	PaidOnly  bool         `json:"paid_only"`
	Explain   bool         `json:"explain,omitempty"`

	LastUsed *time.Time `json:"last_used"` // null for never
	LastIP   string     `json:"last_ip"`   // "" for unknown
	Requests int64      `json:"requests_24h"`
	Tokens   int64      `json:"tokens_24h"`
	Cost     int64      `json:"cost_24h_nano"`
	Fullest  *fullest   `json:"fullest"`  // null where no limit is used
	Rotating *rotating  `json:"rotating"` // null where one secret works
}

// fullest is the limit of which the largest share is used. Budgets are in nano-USD.
type fullest struct {
	Limit string `json:"limit"`
	Used  int64  `json:"used"`
	Max   int64  `json:"max"`
}

type rotating struct {
	OldUntil time.Time `json:"old_until"`
}

// userKeyDetail is one user key with how it stands.
type userKeyDetail struct {
	userKey
	Windows []limitWindow `json:"windows"`
	Spent   spent         `json:"spent"`
	ByModel []modelUse    `json:"by_model"` // of 24 hours, the most expensive first
}

// limitWindow is a limit that is set. Budgets are in nano-USD.
type limitWindow struct {
	Limit     string     `json:"limit"`
	Max       int64      `json:"max"`
	Used      int64      `json:"used"`
	Remaining int64      `json:"remaining"`
	ResetsAt  *time.Time `json:"resets_at"` // null where time does not help
}

type spent struct {
	Day   int64 `json:"day_nano"`
	Month int64 `json:"month_nano"`
	Total int64 `json:"total_nano"`
}

type modelUse struct {
	Model    string `json:"model"`
	Requests int64  `json:"requests"`
	Tokens   int64  `json:"tokens"`
	Cost     int64  `json:"cost_nano"`
}

func (a *api) userKey(v *users.View) userKey {
	list := func(s []string) []string { return append([]string{}, s...) }
	day := a.Usage.Day(usage.ByUser, v.ID)
	k := userKey{
		ID: v.ID, Name: v.Name, Hint: v.Hint(), Note: v.Note, Labels: list(v.Labels), Tags: list(v.Tags),
		Enabled: v.Enabled, Status: v.Status, Created: v.Created, ExpiresAt: v.ExpiresAt, DeletedAt: v.Deleted,
		Models: list(v.Models), Dialects: list(v.Dialects), CIDRs: list(v.CIDRs), Limits: v.Limits,
		Unlimited: v.Unlimited, Unpriced: v.Unpriced, PaidOnly: v.PaidOnly, Explain: v.Explain,
		Requests: day.Requests, Tokens: day.Tokens(), Cost: day.Cost,
	}
	if !v.LastUsed.IsZero() {
		k.LastUsed = &v.LastUsed
	}
	if v.LastIP.IsValid() {
		k.LastIP = v.LastIP.String()
	}
	if v.OldUntil.After(a.Now()) {
		k.Rotating = &rotating{v.OldUntil}
	}
	share := 0.0
	for _, l := range v.Windows {
		if s := float64(l.Used) / float64(l.Max); s > share {
			share, k.Fullest = s, &fullest{l.Limit, l.Used, l.Max}
		}
	}
	return k
}

func (a *api) userKeyDetail(v *users.View) userKeyDetail {
	d := userKeyDetail{
		userKey: a.userKey(v), Windows: []limitWindow{}, ByModel: []modelUse{},
		Spent: spent{v.Spent.Day, v.Spent.Month, v.Spent.Total},
	}
	for _, l := range v.Windows {
		w := limitWindow{Limit: l.Limit, Max: l.Max, Used: l.Used, Remaining: l.Remaining}
		if l.Reset > 0 {
			at := a.Now().Add(l.Reset).Round(100 * time.Millisecond).UTC() // two clock readings are between
			w.ResetsAt = &at
		}
		d.Windows = append(d.Windows, w)
	}
	for model, c := range a.Usage.UserModels(v.ID) {
		d.ByModel = append(d.ByModel, modelUse{model, c.Requests, c.Tokens(), c.Cost})
	}
	slices.SortFunc(d.ByModel, func(a, b modelUse) int {
		switch {
		case a.Cost != b.Cost:
			return int(min(max(b.Cost-a.Cost, -1), 1))
		case a.Tokens != b.Tokens:
			return int(min(max(b.Tokens-a.Tokens, -1), 1))
		}
		return strings.Compare(a.Model, b.Model)
	})
	return d
}

// newUserKey is the only answer with a user key in it.
type newUserKey struct {
	userKey
	Secret   string     `json:"key"`
	OldUntil *time.Time `json:"old_until,omitempty"` // after a rotation, until when the secret before works
}

func (a *api) newUserKey(made users.Created) (newUserKey, error) {
	v, err := a.Users.View(made.Key.ID)
	if err != nil {
		return newUserKey{}, userKeyProblem(err)
	}
	return newUserKey{userKey: a.userKey(&v), Secret: made.Secret}, nil
}

// createUserKey takes a [users.Spec] and, for several keys at once, a count:
//
//	{"name": "alice", "limits": {"rpm", "tpm", "rpd", "tpd", "monthly_tokens", "concurrency",
//	 "budget": {"day", "month", "total"}}, "unlimited": false, "models": ["gemini-*"],
//	 "expires_at": "2027-01-31T00:00:00Z", …}
func (a *api) createUserKey(c *call) (status int, body any, err error) {
	var form struct {
		users.Spec
		Count *int `json:"count"`
	}
	if err := decode(c.body, &form); err != nil {
		return 0, nil, err
	}
	if err := checkZeros(c.body); err != nil {
		return 0, nil, err
	}
	if err := checkSpec(&form.Spec); err != nil {
		return 0, nil, err
	}
	count := 1
	if form.Count != nil {
		count = *form.Count
	}
	made, err := a.Users.CreateMany(c.Context(), form.Spec, count)
	if err != nil {
		return 0, nil, userKeyProblem(err)
	}
	keys := make([]newUserKey, len(made))
	for i := range made {
		if keys[i], err = a.newUserKey(made[i]); err != nil {
			return 0, nil, err
		}
	}
	c.note("made %d user keys", count)
	if count == 1 {
		c.about(made[0].Key.ID)
		return http.StatusCreated, keys[0], nil
	}
	return http.StatusCreated, map[string]any{"items": keys}, nil
}

// checkSpec refuses what a list could not show honestly.
func checkSpec(s *users.Spec) error {
	faults := checkText(nil, "name", s.Name)
	faults = checkTags(faults, s.Tags)
	for _, fault := range checkTags(nil, s.Labels) {
		fault.Field = "labels" + strings.TrimPrefix(fault.Field, "tags")
		faults = append(faults, fault)
	}
	return invalid("invalid_body", faults)
}

func (a *api) getUserKey(c *call) (status int, body any, err error) {
	v, err := a.Users.View(c.id)
	if err != nil {
		return 0, nil, userKeyProblem(err)
	}
	c.etag(specTag(&v.Spec))
	return http.StatusOK, a.userKeyDetail(&v), nil
}

// specTag is the version of what an operator says about a key. Its enabling and its
// secrets have routes of their own.
func specTag(s *users.Spec) string {
	text, err := json.Marshal(s)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// editUserKey merges fields into a key; null clears one.
func (a *api) editUserKey(c *call) (status int, body any, err error) {
	if err := decode(c.body, &users.Spec{}); err != nil {
		return 0, nil, err
	}
	if err := checkZeros(c.body); err != nil {
		return 0, nil, err
	}
	var after users.Spec
	_, err = a.Users.Edit(c.Context(), c.id, func(s *users.Spec) error {
		if err := c.ifMatch(specTag(s)); err != nil {
			return err
		}
		after = users.Spec{}
		if err := mergeSpec(s, c.body, &after); err != nil {
			return err
		}
		if err := checkSpec(&after); err != nil {
			return err
		}
		*s = after
		return nil
	})
	if err != nil {
		return 0, nil, userKeyProblem(err)
	}
	return a.showUserKey(c)
}

// mergeSpec merges a patch into what is there, as RFC 7386 has it.
func mergeSpec(before any, patch json.RawMessage, after any) error {
	text, err := json.Marshal(before)
	if err != nil {
		return err
	}
	return json.Unmarshal(mergePatch(text, patch), after)
}

// mergePatch merges JSON: members of objects one by one, null removes one, and
// everything else takes the place of what was there. Both are valid.
func mergePatch(target, patch json.RawMessage) json.RawMessage {
	var changes map[string]json.RawMessage
	if json.Unmarshal(patch, &changes) != nil {
		return patch
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(target, &members) != nil || members == nil {
		members = map[string]json.RawMessage{}
	}
	for name, change := range changes {
		if string(change) == "null" {
			delete(members, name)
		} else {
			members[name] = mergePatch(members[name], change)
		}
	}
	merged, err := json.Marshal(members)
	if err != nil {
		return patch
	}
	return merged
}

// showUserKey answers with the key as it is now.
func (a *api) showUserKey(c *call) (status int, body any, err error) {
	v, err := a.Users.View(c.id)
	if err != nil {
		return 0, nil, userKeyProblem(err)
	}
	c.etag(specTag(&v.Spec))
	return http.StatusOK, a.userKey(&v), nil
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

func (a *api) restoreUserKey(c *call) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	if _, err := a.Users.Restore(c.Context(), c.id); err != nil {
		return 0, nil, userKeyProblem(err)
	}
	return a.showUserKey(c)
}

func (a *api) enableUserKey(c *call) (status int, body any, err error) { return a.setUserKey(c, true) }

func (a *api) disableUserKey(c *call) (status int, body any, err error) {
	return a.setUserKey(c, false)
}

func (a *api) setUserKey(c *call, enabled bool) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	if _, err := a.Users.SetEnabled(c.Context(), c.id, enabled); err != nil {
		return 0, nil, userKeyProblem(err)
	}
	return a.showUserKey(c)
}

// maxGrace bounds for how long two secrets of a key work.
const maxGrace = 30 * 24 * time.Hour

// rotateUserKey gives a key another secret: {"grace_s": 3600}. The one from before
// works for the grace; 0 or none ends it at once.
func (a *api) rotateUserKey(c *call) (status int, body any, err error) {
	var form struct {
		Grace int64 `json:"grace_s"`
	}
	if len(c.body) > 0 {
		if err := decode(c.body, &form); err != nil {
			return 0, nil, err
		}
	}
	if form.Grace < 0 || form.Grace > int64(maxGrace/time.Second) {
		return 0, nil, invalid("invalid_body", []fieldError{{"grace_s", "invalid_value", "must be seconds from 0 to 2592000, which are 30 days"}})
	}
	made, err := a.Users.Rotate(c.Context(), c.id, time.Duration(form.Grace)*time.Second)
	if err != nil {
		return 0, nil, userKeyProblem(err)
	}
	key, err := a.newUserKey(made)
	if err != nil {
		return 0, nil, err
	}
	if until := made.Key.OldUntil; !until.IsZero() {
		key.OldUntil = &until
	}
	c.note("the secret before works for %d s", form.Grace)
	return http.StatusOK, key, nil
}

func userKeyProblem(err error) error {
	switch {
	case errors.Is(err, users.ErrNotFound):
		return problem(http.StatusNotFound, "user_key_not_found", "There is no user key with this id. The id is in GET /admin/keys/user; it is not the key itself.")
	}
	if field, ok := errors.AsType[*users.FieldError](err); ok {
		return invalid("invalid_body", []fieldError{{field.Field, "invalid_value", field.Fault}})
	}
	return err
}
