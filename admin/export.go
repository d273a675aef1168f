// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bufio"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// exportForm is the body of POST /admin/keys/gemini/export. Without ids and filter it
// is about all keys.
type exportForm struct {
	Format  string        `json:"format"`
	Secrets bool          `json:"secrets"`
	IDs     []string      `json:"ids"`
	Filter  *geminiFilter `json:"filter"`
	Except  []string      `json:"except"`
	// Expected is taken so that a selection can be sent as it is.
	Expected *int `json:"expected_count"`
}

var exportFormats = []string{"txt", "csv", "json"}

// exportedKey is a key in a file, which an import can read.
type exportedKey struct {
	ID          string          `json:"id"`
	Key         *string         `json:"key,omitempty"`
	Hint        string          `json:"hint"`
	Name        string          `json:"name"`
	Status      balancer.Status `json:"status"`
	State       balancer.State  `json:"state"`
	Reason      string          `json:"reason"`
	Project     string          `json:"project"`
	Tags        any             `json:"tags"` // one text in a table
	Weight      int             `json:"weight"`
	Paid        bool            `json:"paid"`
	Models      any             `json:"models"` // likewise
	Note        string          `json:"note"`
	Batch       string          `json:"batch"`
	Created     time.Time       `json:"created"`
	LastUsed    *time.Time      `json:"last_used"`
	ValidatedAt *time.Time      `json:"validated_at"`
	Requests    int64           `json:"requests_24h"`
	Errors      int64           `json:"errors_24h"`
	Tokens      int64           `json:"tokens_24h"`
}

func (a *api) exportGeminiKeys(c *call) (status int, body any, err error) {
	var form exportForm
	if err := decode(c.body, &form); err != nil {
		return 0, nil, err
	}
	selection := bulkSelection{IDs: form.IDs, Filter: form.Filter, Except: form.Except, Expected: form.Expected}
	if form.IDs == nil && form.Filter == nil {
		selection.Filter = &geminiFilter{}
	}
	faults := selection.faults(nil)
	if !slices.Contains(exportFormats, form.Format) {
		faults = append(faults, fieldError{"format", "invalid_value", "must be one of: " + strings.Join(exportFormats, ", ")})
	}
	if err := invalid("invalid_body", faults); err != nil {
		return 0, nil, err
	}
	if form.Secrets {
		if err := a.sudoFor(c); err != nil {
			return 0, nil, err
		}
		if err := a.mayReveal(); err != nil {
			return 0, nil, err
		}
	}
	ids, err := a.Pool.Select(selection.selection())
	if err != nil {
		return 0, nil, geminiKeyProblem(err)
	}
	with := "without"
	if form.Secrets {
		with = "with"
	}
	c.note("exported %d keys %s secrets", len(ids), with)
	name := "gemini-keys-" + a.Now().UTC().Format("20060102-150405")
	return http.StatusOK, a.exported(ids, form.Format, form.Secrets, name), nil
}

// exported streams keys as a file. Those that were deleted meanwhile are left out.
func (a *api) exported(ids []string, format string, secrets bool, name string) stream {
	if format == "csv" {
		return fileOf("csv", name, exportColumns(secrets), func(write func(json.RawMessage) error) error {
			return a.eachExported(ids, secrets, func(k *exportedKey) error {
				k.Tags, k.Models = strings.Join(k.Tags.([]string), ";"), strings.Join(k.Models.([]string), ";")
				line, err := json.Marshal(k)
				if err != nil {
					return err
				}
				return write(line)
			})
		})
	}
	return func(w http.ResponseWriter) error {
		out := bufio.NewWriter(w)
		if format == "txt" {
			asFile(w.Header(), "text/plain; charset=utf-8", name+".txt")
			if err := a.eachExported(ids, secrets, func(k *exportedKey) error {
				text := k.Hint
				if k.Key != nil {
					text = *k.Key
				}
				_, err := out.WriteString(text + "\n")
				return err
			}); err != nil {
				return err
			}
			return out.Flush()
		}
		asFile(w.Header(), "application/json", name+".json")
		before := "[\n"
		if err := a.eachExported(ids, secrets, func(k *exportedKey) error {
			line, err := json.Marshal(k)
			if err != nil {
				return err
			}
			_, _ = out.WriteString(before)
			_, err = out.Write(line)
			before = ",\n"
			return err
		}); err != nil {
			return err
		}
		if before == "[\n" {
			_, _ = out.WriteString("[")
		}
		_, _ = out.WriteString("\n]\n")
		return out.Flush()
	}
}

// exportColumns are the fields of exportedKey.
func exportColumns(secrets bool) []string {
	columns := []string{
		"id", "hint", "name", "status", "state", "reason", "project", "tags", "weight", "paid", "models", "note", "batch",
		"created", "last_used", "validated_at", "requests_24h", "errors_24h", "tokens_24h",
	}
	if secrets {
		columns = slices.Insert(columns, 1, "key")
	}
	return columns
}

// exportChunk is how many keys are looked at before they are written.
const exportChunk = 500

func (a *api) eachExported(ids []string, secrets bool, do func(*exportedKey) error) error {
	for part := range slices.Chunk(ids, exportChunk) {
		var views []balancer.View
		for _, id := range part {
			if v, ok := a.Pool.View(id); ok {
				views = append(views, v)
			}
		}
		days := a.keyDays(views)
		for i := range views {
			k := newExportedKey(&views[i], days[views[i].ID])
			if secrets {
				secret, ok := a.Pool.Reveal(k.ID)
				if !ok {
					continue
				}
				k.Key = &secret
			}
			if err := do(k); err != nil {
				return err
			}
		}
	}
	return nil
}

func newExportedKey(v *balancer.View, day keyDay) *exportedKey {
	return &exportedKey{
		ID: v.ID, Hint: v.Mask, Name: v.Name, Status: v.Status, State: v.State, Reason: v.Reason, Project: v.Project,
		Tags: notNil(v.Tags), Weight: v.Weight, Paid: v.Paid, Models: notNil(v.Models), Note: v.Note, Batch: v.Batch, Created: v.Created,
		LastUsed: orNull(v.Used), ValidatedAt: orNull(v.Probed), Requests: day.Requests, Errors: day.Errors, Tokens: day.Tokens,
	}
}
