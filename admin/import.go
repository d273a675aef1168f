// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// importChunk is how many keys are written at once. Who cancels keeps those of the
// chunks before.
const importChunk = 500

// keyImportForm is the body of POST /admin/keys/gemini/import. With a body of another
// type, the other fields are query parameters or those of the form.
type keyImportForm struct {
	Format     string   `json:"format"`
	Text       string   `json:"text"`
	Tags       []string `json:"tags"`
	NamePrefix string   `json:"name_prefix"`
	Weight     *int     `json:"weight"`
	Project    string   `json:"project"`
	Paid       bool     `json:"paid"`
	Enabled    *bool    `json:"enabled"` // nil means true
	Validate   bool     `json:"validate"`
	Batch      string   `json:"batch"` // "" for one that says when it was
	DryRun     bool     `json:"dry_run"`
}

// most of a prefix leaves room for a number in a name.
const maxNamePrefix = 48

func (f *keyImportForm) validate() error {
	var faults []fieldError
	if f.Format != "" && !slices.Contains(importFormats, f.Format) {
		faults = append(faults, fieldError{"format", "invalid_value", "must be one of: " + strings.Join(importFormats, ", ")})
	}
	switch {
	case strings.TrimSpace(f.Text) == "":
		faults = append(faults, fieldError{"text", "missing", "must be given: the text, or the file's content, with the keys"})
	case len(f.Text) > maxImportBytes:
		faults = append(faults, fieldError{"text", "too_long", "is larger than 5 MiB; send it in several requests with the same batch"})
	}
	faults = checkKeyTags(faults, "tags", f.Tags)
	faults = checkText(faults, "batch", f.Batch)
	faults = checkText(faults, "project", f.Project)
	faults = checkText(faults, "name_prefix", f.NamePrefix)
	if len(f.NamePrefix) > maxNamePrefix {
		faults = append(faults, fieldError{"name_prefix", "too_long", fmt.Sprintf("is longer than %d bytes, which leaves no room for a number", maxNamePrefix)})
	}
	faults = checkWeight(faults, f.Weight)
	return invalid("invalid_body", faults)
}

// importPreview is the answer to a dry run.
type importPreview struct {
	Found            int            `json:"found"` // keys, with those that are there twice
	New              int            `json:"new"`
	DuplicatesInText int            `json:"duplicates_in_text"`
	InPool           int            `json:"in_pool"`
	Malformed        int            `json:"malformed"`
	Format           string         `json:"format"`
	Sample           []importResult `json:"sample"` // the first malformed lines, then others; 50 at most
}

// importResult is what became of a line, and a line of the job's result.
type importResult struct {
	Line    int    `json:"line"`
	Hint    string `json:"hint"`
	Verdict string `json:"verdict"`
	ID      string `json:"id,omitempty"`
	Error   string `json:"error,omitempty"`
}

func (a *api) importGeminiKeys(c *call) (status int, body any, err error) {
	form, err := readImport(c)
	if err != nil {
		return 0, nil, err
	}
	if err := form.validate(); err != nil {
		return 0, nil, err
	}
	text, err := parseImport(form.Format, form.Text)
	if err != nil {
		return 0, nil, invalid("invalid_body", []fieldError{{"text", "invalid_value", err.Error()}})
	}
	verdicts, fresh := text.judge(a.inPool)
	if text.more {
		return 0, nil, invalid("invalid_body", []fieldError{{"text", "too_many", fmt.Sprintf("has more than %d lines or entries, keys or not; take out what is no key, or send it in several requests with the same batch", maxImportLines)}})
	}
	if fresh > maxImportKeys {
		return 0, nil, invalid("invalid_body", []fieldError{{"text", "too_many", fmt.Sprintf("has more than %d new keys; send it in several requests with the same batch", maxImportKeys)}})
	}
	if form.DryRun {
		c.silent = true
		return http.StatusOK, preview(text, verdicts), nil
	}
	if form.Batch == "" {
		form.Batch = a.Now().UTC().Format("2006-01-02 15:04:05")
	}
	run := &importRun{api: a, form: form, text: text, verdicts: verdicts, validateWith: a.validation()}
	c.note("import %q: %d new keys", form.Batch, fresh)
	return a.jobs.start(c, jobSpec{kind: "import", name: fmt.Sprintf("Import of %d keys (%s)", fresh, form.Batch), total: len(text.lines)}, run.run)
}

func (a *api) inPool(id, _ string) bool {
	_, ok := a.Pool.Get(id)
	return ok
}

func preview(t *importText, verdicts []string) importPreview {
	p := importPreview{Format: t.format, Sample: []importResult{}}
	for _, v := range verdicts {
		switch v {
		case lineNew:
			p.New++
		case lineDuplicate:
			p.DuplicatesInText++
		case lineInPool:
			p.InPool++
		case lineMalformed:
			p.Malformed++
		}
	}
	p.Found = p.New + p.DuplicatesInText + p.InPool
	for _, bad := range []bool{true, false} {
		for i := range t.lines {
			if (verdicts[i] == lineMalformed) == bad && len(p.Sample) < 50 {
				p.Sample = append(p.Sample, importResult{Line: t.lines[i].line, Hint: t.lines[i].hint(), Verdict: verdicts[i], Error: t.lines[i].bad})
			}
		}
	}
	return p
}

// importRun is an import under way.
type importRun struct {
	*api
	form         *keyImportForm
	text         *importText
	verdicts     []string
	validateWith validation
	added        []string // ids
}

func (r *importRun) run(ctx context.Context, j *job) error {
	var keys []balancer.NewKey
	var lines []int // of keys
	flush := func() error {
		err := r.add(ctx, j, keys, lines)
		keys, lines = keys[:0], lines[:0]
		return err
	}
	number := 0
	for i, v := range r.verdicts {
		if v != lineNew {
			j.count(v, 1)
			j.result(importResult{Line: r.text.lines[i].line, Hint: r.text.lines[i].hint(), Verdict: v, Error: r.text.lines[i].bad})
			j.done(1)
			continue
		}
		number++
		keys, lines = append(keys, r.newKey(r.text.lines[i].key, number)), append(lines, i)
		if len(keys) == importChunk {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if !r.form.Validate {
		return nil
	}
	return r.validateAll(ctx, j, r.added, r.validateWith)
}

// newKey is a key with what the form says of all, where the text says nothing of it.
func (r *importRun) newKey(k balancer.NewKey, number int) balancer.NewKey {
	f := r.form
	if k.Name = cleanText(k.Name, balancer.MaxName); k.Name == "" && f.NamePrefix != "" {
		k.Name = fmt.Sprintf("%s %d", f.NamePrefix, number)
	}
	k.Note, k.Project = cleanText(k.Note, balancer.MaxNote), cleanText(k.Project, maxText)
	if k.Project == "" {
		k.Project = f.Project
	}
	k.Tags = mergeTags(f.Tags, k.Tags)
	if k.Weight == 0 && f.Weight != nil {
		k.Weight = *f.Weight
	}
	k.Paid = k.Paid || f.Paid
	k.Disabled = k.Disabled || f.Enabled != nil && !*f.Enabled
	k.Batch = f.Batch
	return k
}

// cleanText makes text of elsewhere one that a list can show.
func cleanText(text string, most int) string {
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if misleading(r) {
			return -1
		}
		return r
	}, text))
	if runes := []rune(text); len(runes) > most {
		text = strings.TrimSpace(string(runes[:most]))
	}
	return text
}

// mergeTags puts the tags of a text behind those of the form, as many as fit.
func mergeTags(first, more []string) []string {
	out := slices.Clone(first)
	for _, tag := range more {
		if tag = cleanText(tag, balancer.MaxTag); tag != "" && len(out) < balancer.MaxTags && !slices.Contains(out, tag) {
			out = append(out, tag)
		}
	}
	return out
}

// add adds keys and tells what became of each. The line of a key that is validated is
// done with after that: what a job counts are lines.
func (r *importRun) add(ctx context.Context, j *job, keys []balancer.NewKey, lines []int) error {
	if len(keys) == 0 {
		return nil
	}
	results, err := r.Pool.Add(ctx, keys)
	counts := map[string]int{}
	for i, res := range results {
		line := &r.text.lines[lines[i]]
		out := importResult{Line: line.line, Hint: line.hint(), Verdict: lineAdded, ID: res.Key.ID}
		switch {
		case res.Err != nil && err != nil:
			continue // it was not come to
		case res.Err != nil:
			out.Verdict, out.Error = lineMalformed, res.Err.Error()
		case res.Duplicate:
			out.Verdict = lineInPool // since the text was read
		default:
			r.added = append(r.added, res.Key.ID)
		}
		counts[out.Verdict]++
		j.result(out)
	}
	for name, n := range counts {
		j.count(name, n)
		if name != lineAdded || !r.form.Validate {
			j.done(n)
		}
	}
	return err
}

// undoImportForm is the body of POST /admin/keys/gemini/import/undo.
type undoImportForm struct {
	Batch string `json:"batch"`
}

// undoFor is how long an import can be taken back. Source: specs/ui.md §3.4.
const undoFor = 24 * time.Hour

// undoImport deletes the keys that an import brought, softly.
func (a *api) undoImport(c *call) (status int, body any, err error) {
	var form undoImportForm
	if err := decode(c.body, &form); err != nil {
		return 0, nil, err
	}
	if form.Batch == "" {
		return 0, nil, invalid("invalid_body", []fieldError{{"batch", "missing", "must be given: the name of the import"}})
	}
	ids, err := a.Pool.Select(balancer.Selection{Filter: &balancer.Filter{Batch: form.Batch}})
	if err != nil {
		return 0, nil, err
	}
	since := a.Now().Add(-undoFor)
	young := slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		k, ok := a.Pool.Get(id)
		return !ok || k.Created.Before(since)
	})
	switch {
	case len(ids) == 0:
		return 0, nil, problem(http.StatusNotFound, "batch_not_found", "No key in the pool is of an import with this name.")
	case len(young) == 0:
		return 0, nil, problem(http.StatusConflict, "undo_expired", "This import is more than 24 hours old. To delete its keys, select them by their batch.")
	}
	c.about(form.Batch)
	c.note("undo of the import %q: %d keys", form.Batch, len(young))
	return a.jobs.start(c, jobSpec{kind: "undo_import", name: fmt.Sprintf("Undo of the import of %d keys (%s)", len(young), form.Batch), total: len(young)},
		func(ctx context.Context, j *job) error {
			return a.bulk(ctx, j, balancer.BulkDelete, young, balancer.Patch{})
		})
}
