// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

const (
	// maxAtOnce is how many keys are changed while the client waits; more are a job.
	maxAtOnce = 500
	// massDelete is how many keys may be deleted without the admin key once more.
	// Source: specs/ui.md §3.0.
	massDelete = 20
	// maxTold is how many of the keys that were left alone are named.
	maxTold = 20
)

// geminiFilter selects keys as the list does.
type geminiFilter struct {
	Q      string `json:"q"`
	Status string `json:"status"`
	Tag    string `json:"tag"`
	Batch  string `json:"batch"`
}

func (f *geminiFilter) filter() balancer.Filter {
	out := balancer.Filter{Search: f.Q, Tag: f.Tag, Batch: f.Batch}
	out.Status, out.State = statusOf(f.Status)
	return out
}

// bulkSelection names the keys of a bulk action.
type bulkSelection struct {
	IDs      []string      `json:"ids"`
	Filter   *geminiFilter `json:"filter"`
	Except   []string      `json:"except"`
	Expected *int          `json:"expected_count"`
}

func (s *bulkSelection) faults(faults []fieldError) []fieldError {
	switch {
	case s.Filter == nil && len(s.IDs) == 0:
		faults = append(faults, fieldError{"ids", "missing", "or filter must be given"})
	case s.Filter != nil && s.IDs != nil:
		faults = append(faults, fieldError{"filter", "ambiguous", "and ids are both given; send one of them"})
	case s.Filter != nil && s.Filter.Status != "" && !slices.Contains(keyStatusWords(), s.Filter.Status):
		faults = append(faults, fieldError{"filter.status", "invalid_value", "must be one of: " + strings.Join(keyStatusWords(), ", ")})
	}
	return faults
}

func (s *bulkSelection) selection() balancer.Selection {
	out := balancer.Selection{IDs: s.IDs, Except: s.Except, Expected: s.Expected}
	if s.Filter != nil {
		f := s.Filter.filter()
		out.Filter = &f
	}
	return out
}

// bulkForm is the body of POST /admin/keys/gemini/bulk.
type bulkForm struct {
	Action string `json:"action"`
	bulkSelection
	Tags   []string `json:"tags"`
	Weight *int     `json:"weight"`
}

// bulkActions are the words for what is done.
var bulkActions = map[string]balancer.BulkAction{
	"enable": balancer.BulkEnable, "disable": balancer.BulkDisable, "reset": balancer.BulkReset, "tag": balancer.BulkEdit,
	"untag": balancer.BulkEdit, "weight": balancer.BulkEdit, "delete": balancer.BulkDelete, "restore": balancer.BulkRestore,
}

var bulkWords = []string{"enable", "disable", "reset", "tag", "untag", "weight", "delete", "restore"}

func (f *bulkForm) validate() error {
	faults := f.faults(nil)
	if _, ok := bulkActions[f.Action]; !ok {
		faults = append(faults, fieldError{"action", "invalid_value", "must be one of: " + strings.Join(bulkWords, ", ")})
	}
	switch tags := f.Action == "tag" || f.Action == "untag"; {
	case tags && len(f.Tags) == 0:
		faults = append(faults, fieldError{"tags", "missing", "must be given"})
	case !tags && f.Tags != nil:
		faults = append(faults, fieldError{"tags", "unknown_field", "belongs to tag and untag only"})
	case f.Action == "tag":
		faults = checkKeyTags(faults, "tags", f.Tags)
	case f.Action == "weight" && f.Weight == nil:
		faults = append(faults, fieldError{"weight", "missing", "must be given"})
	case f.Action != "weight" && f.Weight != nil:
		faults = append(faults, fieldError{"weight", "unknown_field", "belongs to weight only"})
	case f.Action == "delete" && f.Filter != nil && f.Expected == nil:
		faults = append(faults, fieldError{"expected_count", "missing", "must be given to delete what a filter finds"})
	}
	return invalid("invalid_body", checkWeight(faults, f.Weight))
}

func (f *bulkForm) patch() balancer.Patch {
	switch f.Action {
	case "tag":
		return balancer.Patch{AddTags: f.Tags}
	case "untag":
		return balancer.Patch{RemoveTags: f.Tags}
	case "weight":
		return balancer.Patch{Weight: f.Weight}
	}
	return balancer.Patch{}
}

// bulkResult is what became of the keys.
type bulkResult struct {
	Changed int           `json:"changed"`
	Skipped int           `json:"skipped"` // those that were so already, too
	Errors  []bulkSkipped `json:"errors"`  // why keys were left alone that were not so already; 20 at most
}

// bulkSkipped is a key that was left alone.
type bulkSkipped struct {
	ID      string `json:"id"`
	Code    string `json:"code"` // as of problems
	Message string `json:"message"`
}

func (a *api) bulkGeminiKeys(c *call) (status int, body any, err error) {
	var form bulkForm
	if err := decode(c.body, &form); err != nil {
		return 0, nil, err
	}
	if err := form.validate(); err != nil {
		return 0, nil, err
	}
	choose := a.Pool.Select
	if form.Action == "restore" {
		choose = a.Pool.SelectDeleted
	}
	ids, err := choose(form.selection())
	if err != nil {
		return 0, nil, geminiKeyProblem(err)
	}
	action, patch := bulkActions[form.Action], form.patch()
	if action == balancer.BulkDelete && len(ids) > massDelete {
		if err := a.sudoFor(c); err != nil {
			return 0, nil, err
		}
	}
	c.note("%s %d keys", form.Action, len(ids))
	if len(ids) > maxAtOnce {
		name := fmt.Sprintf("%s%s of %d keys", strings.ToUpper(form.Action[:1]), form.Action[1:], len(ids))
		return a.jobs.start(c, jobSpec{kind: "bulk", name: name, total: len(ids)},
			func(ctx context.Context, j *job) error { return a.bulk(ctx, j, action, ids, patch) })
	}
	result := bulkResult{Errors: []bulkSkipped{}}
	err = a.Pool.Bulk(c.Context(), action, ids, patch, func(id string, err error) {
		switch {
		case err == nil:
			result.Changed++
			return
		case !balancer.Unchanged(err) && len(result.Errors) < maxTold:
			result.Errors = append(result.Errors, skippedKey(id, err))
		}
		result.Skipped++
	})
	return http.StatusOK, result, err
}

// bulk is a bulk action as a job: counts changed and skipped, and a line for each key
// that was left alone for a reason.
func (a *api) bulk(ctx context.Context, j *job, action balancer.BulkAction, ids []string, patch balancer.Patch) error {
	return a.Pool.Bulk(ctx, action, ids, patch, func(id string, err error) {
		if err == nil {
			j.count("changed", 1)
		} else {
			j.count("skipped", 1)
			if !balancer.Unchanged(err) {
				j.result(skippedKey(id, err))
			}
		}
		j.done(1)
	})
}

func skippedKey(id string, err error) bulkSkipped {
	p := asProblem(geminiKeyProblem(err))
	if p.Code == "internal" { // a value that does not fit this key
		return bulkSkipped{id, "invalid_value", errors.Unwrap(err).Error()}
	}
	return bulkSkipped{id, p.Code, p.Detail}
}

// sudoFor is needsSudo for a route that needs it for some of its calls only.
func (a *api) sudoFor(c *call) error {
	if c.actor.session != nil && a.State.sessions.granted(c.actor.session).IsZero() {
		return sudoRequired()
	}
	return nil
}
