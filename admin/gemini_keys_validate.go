// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// validatePatience is how long one key may take. Source: specs/ui.md §4.
const validatePatience = 30 * time.Second

// The words for what a validation found.
const (
	foundValid       = "valid"
	foundRateLimited = "rate_limited" // Google knows the key, and has no room for it now
	foundInvalid     = "invalid"      // Google refuses the key
	foundUnreachable = "unreachable"  // nothing was learnt of the key, or not what was asked
)

// validation is how keys are asked about.
type validation struct {
	model          string // for a generation; "" only lists models
	concurrency    int
	disableInvalid bool
}

// validation is that of the settings.
func (a *api) validation() validation {
	v := a.Settings.Current().Validation
	return validation{v.Model, min(max(v.Concurrency, 1), maxConcurrency), v.DisableInvalid}
}

const maxConcurrency = 64

// keyValidation is what one validation found.
type keyValidation struct {
	OK       bool   `json:"ok"`
	Verdict  string `json:"verdict"`
	Message  string `json:"message"`
	Duration int64  `json:"duration_ms"`
}

// validationResult is a line of the job's result.
type validationResult struct {
	ID   string `json:"id"`
	Hint string `json:"hint"`
	Name string `json:"name"`
	keyValidation
}

// ask asks Google about one key. The error is the context's, or that there is no such
// key.
func (a *api) ask(ctx context.Context, id, model string) (keyValidation, error) {
	ctx, cancel := context.WithTimeout(ctx, validatePatience)
	defer cancel()
	began := time.Now()
	o, err := a.Validate(ctx, id, model)
	v := keyValidation{Verdict: verdictOf(&o), Message: o.Reason, Duration: time.Since(began).Milliseconds()}
	switch {
	case errors.Is(err, balancer.ErrNoRoom):
		v.Verdict, v.Message = foundRateLimited, "Google knows the key; its quota for the model is used up by our own count."
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		v.Verdict, v.Message = foundUnreachable, "There was no answer in time."
	case err != nil:
		return v, err
	}
	v.OK = v.Verdict == foundValid
	return v, nil
}

func verdictOf(o *balancer.Outcome) string {
	switch o.Verdict {
	case balancer.OK, balancer.Blocked:
		return foundValid
	case balancer.RateLimited, balancer.Exhausted, balancer.SpendLimited, balancer.Throttled, balancer.CapacityExhausted, balancer.NoQuota:
		return foundRateLimited
	default:
		if o.State != "" {
			return foundInvalid
		}
		return foundUnreachable
	}
}

// validateGeminiKeyForm is the body of POST /admin/keys/gemini/{id}/validate, which
// may be left out.
type validateGeminiKeyForm struct {
	Model *string `json:"model"` // nil for that of the settings
}

// validatedGeminiKey is a key and what its validation found.
type validatedGeminiKey struct {
	geminiKey
	Validation keyValidation `json:"validation"`
}

func (a *api) validateGeminiKey(c *call) (status int, body any, err error) {
	var form validateGeminiKeyForm
	if len(c.body) > 0 {
		if err := decode(c.body, &form); err != nil {
			return 0, nil, err
		}
	}
	if err := a.canValidate(); err != nil {
		return 0, nil, err
	}
	model := a.validation().model
	if form.Model != nil {
		model = strings.TrimPrefix(*form.Model, "models/")
	}
	found, err := a.ask(c.Context(), c.id, model)
	if err != nil {
		return 0, nil, geminiKeyProblem(err)
	}
	c.note("validated: %s", found.Verdict)
	view, err := a.viewGeminiKey(c.id)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, validatedGeminiKey{view, found}, nil
}

func (a *api) canValidate() error {
	if a.Validate == nil {
		return problem(http.StatusConflict, "validation_off", "Nobody asks Google about keys here.")
	}
	return nil
}

// validateForm is the body of POST /admin/keys/gemini/validate.
type validateForm struct {
	IDs            []string      `json:"ids"`
	Filter         *geminiFilter `json:"filter"`
	Except         []string      `json:"except"`
	All            bool          `json:"all"`
	Expected       *int          `json:"expected_count"`
	Model          *string       `json:"model"`           // nil for that of the settings, "" for none
	Concurrency    *int          `json:"concurrency"`     // nil likewise
	DisableInvalid *bool         `json:"disable_invalid"` // nil likewise
}

func (a *api) validateGeminiKeys(c *call) (status int, body any, err error) {
	var form validateForm
	if err := decode(c.body, &form); err != nil {
		return 0, nil, err
	}
	v, selection := a.validation(), bulkSelection{IDs: form.IDs, Filter: form.Filter, Except: form.Except, Expected: form.Expected}
	if form.All && form.IDs == nil && form.Filter == nil {
		selection.Filter = &geminiFilter{}
	}
	faults := selection.faults(nil)
	if form.Concurrency != nil && (*form.Concurrency < 1 || *form.Concurrency > maxConcurrency) {
		faults = append(faults, fieldError{"concurrency", "invalid_value", fmt.Sprintf("must be a whole number from 1 to %d", maxConcurrency)})
	}
	if err := invalid("invalid_body", faults); err != nil {
		return 0, nil, err
	}
	if err := a.canValidate(); err != nil {
		return 0, nil, err
	}
	if form.Model != nil {
		v.model = strings.TrimPrefix(*form.Model, "models/")
	}
	v.concurrency, v.disableInvalid = *cmp.Or(form.Concurrency, &v.concurrency), *cmp.Or(form.DisableInvalid, &v.disableInvalid)
	ids, err := a.Pool.Select(selection.selection())
	if err != nil {
		return 0, nil, geminiKeyProblem(err)
	}
	if running := a.runningJob("validate"); running != "" {
		return 0, nil, validationRuns(running)
	}
	c.note("validation of %d keys", len(ids))
	return a.jobs.start(c, jobSpec{kind: "validate", name: fmt.Sprintf("Validation of %d keys", len(ids)), total: len(ids), exclusive: true},
		func(ctx context.Context, j *job) error { return a.validateAll(ctx, j, ids, v) })
}

// runningJob is the id of an unfinished job of a kind, "" for none.
func (a *api) runningJob(kind string) string {
	for _, j := range a.jobs.list() {
		if j.Kind == kind && !j.State.ended() {
			return j.ID
		}
	}
	return ""
}

func validationRuns(id string) error {
	p := problem(http.StatusConflict, "job_running", "The keys are being validated already, by the job "+id+". Wait for it, or cancel it with POST /admin/jobs/"+id+"/cancel.")
	p.Job = id
	return p
}

// validateAll asks about keys, several at a time, until ctx ends.
func (a *api) validateAll(ctx context.Context, j *job, ids []string, v validation) error {
	if err := a.canValidate(); err != nil {
		return err
	}
	todo := make(chan string)
	var workers sync.WaitGroup
	for range min(v.concurrency, len(ids)) {
		workers.Go(func() {
			for id := range todo {
				a.validateOne(ctx, j, id, v)
			}
		})
	}
	defer workers.Wait()
	defer close(todo)
	for _, id := range ids {
		select {
		case todo <- id:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (a *api) validateOne(ctx context.Context, j *job, id string, v validation) {
	if ctx.Err() != nil {
		return
	}
	found, err := a.ask(ctx, id, v.model)
	switch {
	case ctx.Err() != nil:
		return // it says nothing of the key
	case err != nil: // somebody deleted it
		j.count("skipped", 1)
		j.done(1)
		return
	}
	key, _ := a.Pool.Get(id)
	if v.disableInvalid && found.Verdict == foundInvalid {
		if err := a.Pool.SetState(ctx, id, balancer.StateDisabled, "disabled by a validation: "+found.Message); err != nil {
			found.Message += "; disabling it failed: " + err.Error()
		}
	}
	j.count(found.Verdict, 1)
	j.result(validationResult{id, key.Mask, key.Name, found})
	j.done(1)
}
