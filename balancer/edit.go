// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// overlayPrefix is where the store has what operators said of declared keys:
// <id> → keyRecord without a secret.
const overlayPrefix = "balancer/overlay/"

// Bounds of what operators say of a key. Sources: specs/ui.md §3.4; the number and
// length of globs are ours.
const (
	MaxName   = 64  // characters
	MaxTags   = 10  // of a key
	MaxTag    = 24  // characters
	MaxNote   = 500 // characters
	MaxGlobs  = 64  // of a key
	maxGlob   = 128 // bytes
	MaxBatchN = 64  // characters of a batch's name
)

// Patch is a change of what operators say of a key; nil leaves a field as it is.
type Patch struct {
	Name, Note, Project, Proxy *string
	Tags, Models               *[]string
	AddTags, RemoveTags        []string // after Tags
	Weight                     *int     // 1 to MaxWeight
	Paid                       *bool
}

// LockedError is the refusal to change fields that the configuration sets. It is an
// [ErrReadOnly].
type LockedError struct{ Fields []string }

// Error implements error.
func (e *LockedError) Error() string {
	return "the configuration sets " + strings.Join(e.Fields, ", ") + " of the key; change it there"
}

// Is makes it an [ErrReadOnly].
func (e *LockedError) Is(target error) bool { return target == ErrReadOnly }

// ErrTooManyTags is the refusal of a tag beyond [MaxTags].
var ErrTooManyTags = fmt.Errorf("the key has %d tags, and may have no more", MaxTags)

// Edit changes what is said of a key. It is on disk when Edit returns and visible
// only then. What the configuration sets of a declared key stays: changing that is a
// [*LockedError]; the rest is kept by the key's id, for as long as it is declared.
// Other errors are [ErrNotFound], what is wrong with a value, and the store's.
func (p *Pool) Edit(ctx context.Context, id string, patch Patch) error {
	return p.change(ctx, id, p.edit(patch))
}

func (p *Pool) edit(patch Patch) changer {
	return func(e *entry, now time.Time) (step, error) {
		old := e.spec.Load()
		next, fields, err := patch.apply(old)
		if err != nil {
			return step{}, err
		}
		if len(fields) == 0 {
			return step{}, errUnchanged
		}
		p.mu.Lock()
		declared := e.declared
		p.mu.Unlock()
		var s step
		if declared != nil {
			var locked []string
			for _, f := range declared.fields() {
				if slices.Contains(fields, f) {
					locked = append(locked, f)
				}
			}
			if len(locked) > 0 {
				return step{}, &LockedError{locked}
			}
			over := p.overlaid(e.id, next, fields)
			s.ops = append(s.ops, p.overlayOp(e.id, over))
			s.apply = func() { p.overlays[e.id] = over }
		} else {
			s.ops = append(s.ops, p.keyOp(e.id, *e.secret, next))
			s.apply = func() { e.stored = next }
		}
		detail := strings.Join(fields, ", ")
		p.mu.Lock()
		s.ops = append(s.ops, e.stateOpWith(e.live.Load(), event{now.UnixNano(), eventEdited, detail}))
		p.mu.Unlock()
		say := s.apply
		s.apply = func() {
			say()
			e.happened(now, eventEdited, detail)
			if !e.gone {
				p.publish(e, now)
			}
		}
		return s, nil
	}
}

// apply returns what a patch makes of a spec, and the fields that change.
func (c Patch) apply(old *spec) (next *spec, fields []string, err error) {
	s := *old
	text := func(name string, to *string, from *string) {
		if from != nil && *to != strings.TrimSpace(*from) {
			*to = strings.TrimSpace(*from)
			fields = append(fields, name)
		}
	}
	text("name", &s.name, c.Name)
	text("note", &s.note, c.Note)
	text("project", &s.project, c.Project)
	text("proxy", &s.proxy, c.Proxy)
	if tags, changed := c.retag(s.tags); changed {
		if len(tags) > MaxTags && len(tags) > len(s.tags) {
			return nil, nil, ErrTooManyTags
		}
		s.tags = tags
		fields = append(fields, "tags")
	}
	if c.Models != nil && !slices.Equal(tidy(*c.Models), s.models) {
		if err := checkModels(*c.Models); err != nil {
			return nil, nil, err
		}
		s.models = tidy(*c.Models)
		fields = append(fields, "models")
	}
	if c.Weight != nil && *c.Weight != s.weight {
		if *c.Weight < 1 || *c.Weight > MaxWeight {
			return nil, nil, fmt.Errorf("weight is %d; want 1 to %d", *c.Weight, MaxWeight)
		}
		s.weight, s.weighs = *c.Weight, true
		fields = append(fields, "weight")
	}
	if c.Paid != nil && *c.Paid != s.paid {
		s.paid = *c.Paid
		fields = append(fields, "paid")
	}
	if slices.Contains(fields, "proxy") && s.proxy != "" {
		if err := CheckProxy(s.proxy); err != nil {
			return nil, nil, err
		}
	}
	return &s, fields, nil
}

// retag returns the tags after the patch, and whether they differ.
func (c Patch) retag(old []string) (tags []string, changed bool) {
	tags = old
	if c.Tags != nil {
		tags = *c.Tags
	}
	tags = append(slices.Clone(tags), c.AddTags...)
	tags = slices.DeleteFunc(tags, func(t string) bool { return slices.Contains(c.RemoveTags, t) })
	tags = tidy(tags)
	return tags, !slices.Equal(tags, old)
}

// checkModels reports what is wrong with the globs of a key's models.
func checkModels(models []string) error {
	if len(models) > MaxGlobs {
		return fmt.Errorf("models are %d; want %d at most", len(models), MaxGlobs)
	}
	for _, m := range models {
		switch {
		case m == "" || len(m) > maxGlob:
			return fmt.Errorf("models has an empty name, or one longer than %d bytes", maxGlob)
		case strings.ContainsAny(m, "[]\\ \t\r\n"):
			return errors.New(`models has a name with a space, [, ] or \; only * and ? have a meaning`)
		}
	}
	return nil
}

// fields are those that a declaration sets.
func (s *spec) fields() []string {
	var out []string
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"name", s.name != ""},
		{"project", s.project != ""},
		{"proxy", s.proxy != ""},
		{"tags", len(s.tags) > 0},
		{"weight", s.weighs},
		{"paid", s.paid},
		{"models", len(s.models) > 0},
	} {
		if f.set {
			out = append(out, f.name)
		}
	}
	return out
}

// under is a declaration with what an operator said on top, where it says nothing
// itself.
func (s *spec) under(over *spec) *spec {
	out := *s
	out.name, out.project, out.proxy = cmp.Or(s.name, over.name), cmp.Or(s.project, over.project), cmp.Or(s.proxy, over.proxy)
	out.note, out.paid = over.note, s.paid || over.paid
	if len(s.tags) == 0 {
		out.tags = over.tags
	}
	if len(s.models) == 0 {
		out.models = over.models
	}
	if !s.weighs {
		out.weight = over.weight
	}
	return &out
}

// overlaid is what operators said of a declared key so far, with some fields as next
// has them.
func (p *Pool) overlaid(id string, next *spec, fields []string) *spec {
	p.mu.Lock()
	defer p.mu.Unlock()
	over := spec{weight: 1}
	if old := p.overlays[id]; old != nil {
		over = *old
	}
	for _, f := range fields {
		switch f {
		case "name":
			over.name = next.name
		case "note":
			over.note = next.note
		case "project":
			over.project = next.project
		case "proxy":
			over.proxy = next.proxy
		case "tags":
			over.tags = next.tags
		case "models":
			over.models = next.models
		case "weight":
			over.weight = next.weight
		case "paid":
			over.paid = next.paid
		}
	}
	return &over
}

func (p *Pool) overlayOp(id string, s *spec) store.Op {
	r := p.keyRecord(id, "", s)
	r.Secret = nil
	return store.Op{Key: overlayPrefix + id, Value: encode(r)}
}

// loadOverlays reads what operators said of declared keys. Under p.mu.
func (p *Pool) loadOverlays() error {
	var failed error
	err := p.store.Scan(overlayPrefix, "", func(key string, value []byte) bool {
		id := strings.TrimPrefix(key, overlayPrefix)
		var r keyRecord
		if failed = json.Unmarshal(value, &r); failed != nil {
			failed = fmt.Errorf("%s: %w", key, failed)
			return false
		}
		r.Secret = p.sealer.Seal(id, nil)
		_, s, err := r.open(p, id)
		if err != nil {
			failed = fmt.Errorf("%s: %w", key, err)
			return false
		}
		p.overlays[id] = s
		return true
	})
	return errors.Join(err, failed)
}
