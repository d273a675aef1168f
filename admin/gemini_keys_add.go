// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// maxKeys bounds the keys of one request.
const maxKeys = 1000

// addGeminiKeysForm is the body of POST /admin/keys/gemini: one key or a list;
// the other fields hold for each of them.
type addGeminiKeysForm struct {
	Key     *string  `json:"key"`
	Keys    []string `json:"keys"`
	Name    string   `json:"name"`
	Project string   `json:"project"`
	Tags    []string `json:"tags"`
	Paid    bool     `json:"paid"`
	Proxy   string   `json:"proxy"`
	Weight  *int     `json:"weight"`
	Note    string   `json:"note"`
	Models  []string `json:"models"`
}

func (f *addGeminiKeysForm) validate() error {
	var faults []fieldError
	switch {
	case f.Key == nil && len(f.Keys) == 0:
		faults = append(faults, fieldError{"key", "missing", "or keys must be given"})
	case f.Key != nil && f.Keys != nil:
		faults = append(faults, fieldError{"keys", "ambiguous", "and key are both given; send one of them"})
	case len(f.Keys) > maxKeys:
		faults = append(faults, fieldError{"keys", "too_many", fmt.Sprintf("are %d, more than %d; send them in several requests", len(f.Keys), maxKeys)})
	}
	faults = checkText(faults, "name", f.Name)
	faults = checkText(faults, "project", f.Project)
	faults = checkKeyTags(faults, "tags", f.Tags)
	faults = checkWeight(faults, f.Weight)
	faults = checkNote(faults, f.Note)
	faults = checkModels(faults, f.Models)
	// The secret is checked key by key; here it only has to be one.
	if err := (balancer.NewKey{Secret: "x", Proxy: f.Proxy}).Check(); err != nil {
		faults = append(faults, fieldError{"proxy", "invalid_value", strings.TrimPrefix(err.Error(), "proxy ")})
	}
	return invalid("invalid_body", faults)
}

// newKeys are the keys to add and the name of each one's field.
func (f *addGeminiKeysForm) newKeys() (keys []balancer.NewKey, fields []string) {
	secrets := f.Keys
	if f.Key != nil {
		secrets = []string{*f.Key}
	}
	weight := 1
	if f.Weight != nil {
		weight = *f.Weight
	}
	for i, secret := range secrets {
		keys = append(keys, balancer.NewKey{
			Secret: secret, Name: f.Name, Project: f.Project,
			Tags: f.Tags, Paid: f.Paid, Proxy: f.Proxy, Weight: weight, Note: f.Note, Models: f.Models,
		})
		field := fmt.Sprintf("keys[%d]", i)
		if f.Key != nil {
			field = "key"
		}
		fields = append(fields, field)
	}
	return keys, fields
}

// addedGeminiKey is what became of one key; without an id it was not added.
type addedGeminiKey struct {
	*geminiKey
	Duplicate bool   `json:"duplicate"` // it was there and stays as it was
	Error     string `json:"error,omitempty"`
}

// addedGeminiKeys answers in the order of the request. The form with "key" has
// the key's own fields at the top as well.
type addedGeminiKeys struct {
	*addedGeminiKey
	Items []addedGeminiKey `json:"items"`
}

// addOwn adds keys, and none that is plainly somebody else's: Google would hear of it.
func (a *api) addOwn(ctx context.Context, keys []balancer.NewKey) ([]balancer.AddResult, error) {
	results := make([]balancer.AddResult, len(keys))
	own := make([]balancer.NewKey, 0, len(keys))
	var places []int
	for i, k := range keys {
		if foreign(k.Secret) {
			results[i].Err = errors.New(notAKey(k.Secret))
			continue
		}
		own, places = append(own, k), append(places, i)
	}
	added, err := a.Pool.Add(ctx, own)
	for i, r := range added {
		results[places[i]] = r
	}
	return results, err
}

// addGeminiKeys is 201 if at least one key was added, 200 if all that can be
// used were there already, 400 if none can be used.
func (a *api) addGeminiKeys(c *call) (status int, body any, err error) {
	var form addGeminiKeysForm
	if err := decode(c.body, &form); err != nil {
		return 0, nil, err
	}
	if err := form.validate(); err != nil {
		return 0, nil, err
	}
	keys, fields := form.newKeys()
	results, err := a.addOwn(c.Context(), keys)
	if err != nil {
		return 0, nil, err
	}
	answer := addedGeminiKeys{Items: make([]addedGeminiKey, len(results))}
	var faults []fieldError
	status = http.StatusOK
	for i, r := range results {
		if r.Err != nil {
			answer.Items[i].Error = r.Err.Error()
			faults = append(faults, fieldError{fields[i], "invalid_key", "was not added: " + r.Err.Error()})
			continue
		}
		view := newGeminiKey(&balancer.View{Key: r.Key, Status: r.Key.State.Status()}, keyDay{})
		answer.Items[i] = addedGeminiKey{geminiKey: &view, Duplicate: r.Duplicate}
		if !r.Duplicate {
			status = http.StatusCreated
		}
	}
	if len(faults) == len(results) {
		return 0, nil, invalid("invalid_body", faults)
	}
	if form.Key != nil {
		answer.addedGeminiKey = &answer.Items[0]
	}
	return status, answer, nil
}
