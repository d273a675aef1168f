// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// editGeminiKeyForm is the body of PATCH /admin/keys/gemini/{id}; what is left out
// stays as it is.
type editGeminiKeyForm struct {
	Name    *string   `json:"name"`
	Note    *string   `json:"note"`
	Project *string   `json:"project"`
	Proxy   *string   `json:"proxy"`
	Tags    *[]string `json:"tags"`
	Models  *[]string `json:"models"`
	Weight  *int      `json:"weight"`
	Paid    *bool     `json:"paid"`
}

func (f *editGeminiKeyForm) validate() error {
	var faults []fieldError
	for name, text := range map[string]*string{"name": f.Name, "project": f.Project} {
		if text != nil {
			faults = checkText(faults, name, *text)
		}
	}
	if f.Note != nil {
		faults = checkNote(faults, *f.Note)
	}
	if f.Tags != nil {
		faults = checkKeyTags(faults, "tags", *f.Tags)
	}
	if f.Models != nil {
		faults = checkModels(faults, *f.Models)
	}
	if f.Proxy != nil && *f.Proxy != "" {
		if err := balancer.CheckProxy(*f.Proxy); err != nil {
			faults = append(faults, fieldError{"proxy", "invalid_value", strings.TrimPrefix(err.Error(), "proxy ")})
		}
	}
	return invalid("invalid_body", checkWeight(faults, f.Weight))
}

// checkModels refuses what is no glob of models. It appends to faults.
func checkModels(faults []fieldError, models []string) []fieldError {
	if err := (balancer.NewKey{Secret: "x", Models: models}).Check(); err != nil {
		faults = append(faults, fieldError{"models", "invalid_value", strings.TrimPrefix(err.Error(), "models ")})
	}
	return faults
}

// edits has one edit at a time, so that If-Match is compared with what is changed.
var edits sync.Mutex

func (a *api) editGeminiKey(c *call) (status int, body any, err error) {
	var form editGeminiKeyForm
	if err := decode(c.body, &form); err != nil {
		return 0, nil, err
	}
	if err := form.validate(); err != nil {
		return 0, nil, err
	}
	edits.Lock()
	defer edits.Unlock()
	key, ok := a.Pool.Get(c.id)
	if !ok {
		return 0, nil, geminiKeyProblem(balancer.ErrNotFound)
	}
	if err := c.ifMatch(versionOf(&key)); err != nil {
		return 0, nil, err
	}
	err = a.Pool.Edit(c.Context(), c.id, balancer.Patch{
		Name: form.Name, Note: form.Note, Project: form.Project, Proxy: form.Proxy, Tags: form.Tags, Models: form.Models, Weight: form.Weight, Paid: form.Paid,
	})
	if err != nil {
		return 0, nil, geminiKeyProblem(err)
	}
	key, _ = a.Pool.Get(c.id)
	c.etag(versionOf(&key))
	view, err := a.viewGeminiKey(c.id)
	return http.StatusOK, view, err
}

// versionOf is the version of what can be edited of a key, for ETag.
func versionOf(k *balancer.Key) string {
	encoded, err := json.Marshal([]any{k.Name, k.Note, k.Project, k.Proxy, k.Tags, k.Models, k.Weight, k.Paid})
	if err != nil {
		return "" // texts and numbers are always JSON
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:8])
}

// geminiKeyProblem words the errors of the pool.
func geminiKeyProblem(err error) error {
	var locked *balancer.LockedError
	var changed *balancer.CountChangedError
	switch {
	case errors.Is(err, balancer.ErrNotFound):
		return problem(http.StatusNotFound, "gemini_key_not_found", "There is no Gemini key with this id. The ids are in GET /admin/keys/gemini.")
	case errors.As(err, &locked):
		p := problem(http.StatusConflict, "declared", "The Caddyfile sets "+strings.Join(locked.Fields, ", ")+" of this Gemini key, and wins: change it there and reload. What it leaves open can be changed here.")
		for _, f := range locked.Fields {
			p.Errors = append(p.Errors, fieldError{f, "declared", "is set in the Caddyfile"})
		}
		return p
	case errors.As(err, &changed):
		p := problem(http.StatusConflict, "count_changed", fmt.Sprintf("The selection has %d keys by now, not %d; nothing was changed. Look at it again.", changed.Found, changed.Expected))
		p.Expected, p.Found = &changed.Expected, &changed.Found
		return p
	case errors.Is(err, balancer.ErrReadOnly):
		return problem(http.StatusConflict, "declared", "This Gemini key is declared in the Caddyfile (key or keys_file), which wins: remove it there and reload. To take it out of service now, disable it.")
	case errors.Is(err, balancer.ErrInPool):
		return problem(http.StatusConflict, "in_pool", "This Gemini key is in the pool already: it was added or declared again.")
	case errors.Is(err, balancer.ErrTooManyTags):
		return invalid("invalid_body", []fieldError{{"tags", "too_many", fmt.Sprintf("would be more than %d", balancer.MaxTags)}})
	}
	return err
}
