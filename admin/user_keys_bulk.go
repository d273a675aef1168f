// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// userKeyBulk is one action for many keys: those with these ids, or those that a
// filter finds, except some. expected_count guards against a list that has changed
// since it was looked at.
type userKeyBulk struct {
	Action        string         `json:"action"`
	IDs           []string       `json:"ids"`
	Filter        *userKeyFilter `json:"filter"`
	Except        []string       `json:"except"`
	ExpectedCount *int           `json:"expected_count"`

	ExpiresAt time.Time    `json:"expires_at"` // of extend; null for never
	Limits    users.Limits `json:"limits"`     // of limits: those that are there are set, null for the default
	Labels    []string     `json:"labels"`     // of label and unlabel
}

// userKeyFilter has the words of the list's parameters.
type userKeyFilter struct {
	Search   string `json:"q"`
	Status   string `json:"status"`
	Tag      string `json:"tag"`
	Expiring string `json:"expiring"`
	Unused   string `json:"unused"`
}

var userKeyActions = []string{"enable", "disable", "extend", "limits", "label", "unlabel", "delete", "restore"}

const (
	bulkAtOnce = 500 // keys that are changed before the answer; more are a job
	maxBulkIDs = 100_000
	bulkStep   = 250 // keys between two steps of a job
)

type bulkAnswer struct {
	Changed int `json:"changed"`
	Skipped int `json:"skipped"` // those that do not exist, or are so already
}

// bulkUserKeys does one action for many keys.
func (a *api) bulkUserKeys(c *call) (status int, body any, err error) {
	var form userKeyBulk
	if err := decode(c.body, &form); err != nil {
		return 0, nil, err
	}
	var raw struct { // to tell null from nothing
		Expires json.RawMessage `json:"expires_at"`
		Limits  json.RawMessage `json:"limits"`
	}
	if err := json.Unmarshal(c.body, &raw); err != nil {
		return 0, nil, err
	}
	if err := checkZeros(c.body); err != nil {
		return 0, nil, err
	}
	query, err := form.check(c, raw.Expires, raw.Limits)
	if err != nil {
		return 0, nil, err
	}
	ids, err := a.bulkIDs(c, &form, query)
	if err != nil {
		return 0, nil, err
	}
	if form.Action == "delete" && len(ids) > massDelete {
		if err := a.sudoFor(c); err != nil {
			return 0, nil, err
		}
	}
	act := a.bulkAction(&form, raw.Limits)
	if len(ids) > bulkAtOnce {
		c.note("%s of %d user keys", form.Action, len(ids))
		spec := jobSpec{kind: "users", name: fmt.Sprintf("%s of %d user keys", form.Action, len(ids)), total: len(ids)}
		return a.jobs.start(c, spec, func(ctx context.Context, j *job) error {
			for part := range slices.Chunk(ids, bulkStep) {
				n, err := act(ctx, part)
				j.count("changed", n)
				if err != nil {
					return userKeyProblem(err)
				}
				j.count("skipped", len(part)-n)
				j.done(len(part))
			}
			return nil
		})
	}
	n, err := act(c.Context(), ids)
	if err != nil {
		return 0, nil, userKeyProblem(err)
	}
	c.note("%s of %d user keys", form.Action, n)
	return http.StatusOK, bulkAnswer{n, len(ids) - n}, nil
}

// check looks for what is wrong with the form and makes the query of its filter.
func (b *userKeyBulk) check(c *call, expires, limits json.RawMessage) (query users.Query, err error) {
	var faults []fieldError
	fault := func(field, code, message string) { faults = append(faults, fieldError{field, code, message}) }
	if !slices.Contains(userKeyActions, b.Action) {
		fault("action", "invalid_value", "must be one of: "+strings.Join(userKeyActions, ", "))
	}
	switch {
	case (b.IDs == nil) == (b.Filter == nil):
		fault("ids", "invalid_value", "or filter must be given, and not both")
	case len(b.IDs) > maxBulkIDs:
		fault("ids", "too_many", fmt.Sprintf("are more than %d; use a filter", maxBulkIDs))
	}
	if b.Action == "delete" && b.Filter != nil && b.ExpectedCount == nil {
		fault("expected_count", "missing", "must be given to delete what a filter finds")
	}
	for _, need := range []struct {
		field  string
		absent bool
		of     []string
	}{
		{"expires_at", expires == nil, []string{"extend"}},
		{"limits", limits == nil, []string{"limits"}},
		{"labels", len(b.Labels) == 0, []string{"label", "unlabel"}},
	} {
		switch wanted := slices.Contains(need.of, b.Action); {
		case wanted && need.absent:
			fault(need.field, "missing", "is missing; "+b.Action+" needs it")
		case !wanted && !need.absent:
			fault(need.field, "invalid_value", "does not belong to "+clip(b.Action))
		}
	}
	if b.Filter != nil {
		query = b.Filter.query(c, &faults)
	}
	if err := invalid("invalid_body", faults); err != nil {
		return users.Query{}, err
	}
	return query, checkSpec(&users.Spec{Labels: b.Labels})
}

// query reads the filter as the list reads its parameters.
func (f *userKeyFilter) query(c *call, faults *[]fieldError) users.Query {
	values := map[string][]string{}
	for name, value := range map[string]string{"q": f.Search, "status": f.Status, "tag": f.Tag, "expiring": f.Expiring, "unused": f.Unused} {
		if value != "" {
			values[name] = []string{value}
		}
	}
	q := queryReader{call: &call{Request: c.Request, query: values}}
	query := users.Query{
		Search: q.search(), Label: q.text("tag"), Status: users.Status(q.word("status", statusWords())),
		Expiring: q.days("expiring"), Unused: q.days("unused"),
	}
	for _, fault := range q.faults {
		fault.Field = "filter." + fault.Field
		*faults = append(*faults, fault)
	}
	return query
}

// bulkIDs are the ids of the keys that are meant, each once.
func (a *api) bulkIDs(c *call, b *userKeyBulk, query users.Query) (ids []string, err error) {
	ids = b.IDs
	if b.Filter != nil {
		if b.Action == "restore" && query.Status == "" {
			query.Status = users.Deleted
		}
		query.Limit = math.MaxInt
		if ids, err = a.Users.IDs(c.Context(), query); err != nil {
			return nil, err
		}
	}
	seen := make(map[string]bool, len(ids))
	for _, id := range b.Except {
		seen[id] = true
	}
	unique := make([]string, 0, len(ids))
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			unique = append(unique, id)
		}
	}
	if want := b.ExpectedCount; want != nil && *want != len(unique) {
		p := problem(http.StatusConflict, "count_changed", fmt.Sprintf("%d user keys were expected, and %d are meant now; nothing was changed. Look at the list again.", *want, len(unique)))
		p.Expected, p.Found = want, new(int)
		*p.Found = len(unique)
		return nil, p
	}
	return unique, nil
}

// bulkAction is what is done to some keys; it returns how many it changed.
func (a *api) bulkAction(b *userKeyBulk, limits json.RawMessage) func(ctx context.Context, ids []string) (int, error) {
	edit := func(fn func(*users.Spec) error) func(context.Context, []string) (int, error) {
		return func(ctx context.Context, ids []string) (int, error) { return a.Users.EditMany(ctx, ids, fn) }
	}
	switch b.Action {
	case "enable", "disable":
		return func(ctx context.Context, ids []string) (int, error) {
			return a.Users.SetEnabledMany(ctx, ids, b.Action == "enable")
		}
	case "delete":
		return a.Users.DeleteMany
	case "restore":
		return a.Users.RestoreMany
	case "extend":
		return edit(func(s *users.Spec) error {
			if s.ExpiresAt.Equal(b.ExpiresAt) {
				return users.ErrUnchanged
			}
			s.ExpiresAt = b.ExpiresAt
			return nil
		})
	case "limits":
		return edit(func(s *users.Spec) error {
			var after users.Limits
			if err := mergeSpec(&s.Limits, limits, &after); err != nil {
				return err
			}
			s.Limits = after
			return nil
		})
	default:
		return edit(func(s *users.Spec) error { return relabel(s, b.Labels, b.Action == "label") })
	}
}

// relabel adds labels or takes them away, without regard to case.
func relabel(s *users.Spec, labels []string, add bool) error {
	changed := false
	for _, label := range labels {
		at := slices.IndexFunc(s.Labels, func(has string) bool { return strings.EqualFold(has, label) })
		switch {
		case add && at < 0:
			s.Labels, changed = append(s.Labels, label), true
		case !add && at >= 0:
			s.Labels, changed = slices.Delete(s.Labels, at, at+1), true
		}
	}
	switch {
	case !changed:
		return users.ErrUnchanged
	case len(s.Labels) > maxTags:
		return invalid("invalid_body", []fieldError{{"labels", "too_many", fmt.Sprintf("would be more than %d of a key", maxTags)}})
	}
	return nil
}
