// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// LimitRule is what an operator knows of quotas: how much the projects may use of
// the models. In globs * is any text and ? one character. A window of 0 is not
// spoken of; at least one must be.
type LimitRule struct {
	Model   string // glob of model ids without "models/"
	Project string // glob of projects, for a key's own the key's id; "" for any
	Tier    string // TierPaid: projects with a key that is marked as paid; TierFree: the others; "" for any
	RPM     int64  // requests a minute
	TPM     int64  // input tokens a minute
	RPD     int64  // requests a Pacific day
	Spend   int64  // nano-USD in ten minutes, of all models together: Model must be *
}

// Tiers of projects, as a [LimitRule] has them.
const (
	TierFree = "free"
	TierPaid = "paid"
)

// limitRules are the rules in force.
type limitRules struct {
	rules []LimitRule
	since time.Time
}

// SetLimits replaces what the operator says of quotas. Of several rules that match
// a model and a project, the first that speaks of a window decides it. The pool
// keeps within these limits by its own count; where Google names a smaller one,
// that holds for a day. What the windows have counted stays. A project whose first key
// is marked as paid, or whose last such key goes, has the limits of its tier from then
// on. The error says which rule makes no sense; then nothing changed.
func (p *Pool) SetLimits(rules []LimitRule) error {
	for i, r := range rules {
		if err := r.Check(); err != nil {
			return fmt.Errorf("rule %d: %w", i+1, err)
		}
	}
	now := p.now()
	p.lock()
	defer p.unlock()
	if slices.Equal(p.limits.rules, rules) {
		return nil
	}
	p.limits = limitRules{slices.Clone(rules), now}
	p.ruled.Store(nil)
	if slices.ContainsFunc(rules, func(r LimitRule) bool { return r.TPM > 0 }) {
		p.ruled.Store(&limitRules{p.limits.rules, now})
	}
	for _, t := range p.projects {
		p.limit(t, now)
	}
	p.serve(now)
	return nil
}

// limit applies the rules to a project. Under p.mu.
func (p *Pool) limit(t *project, now time.Time) {
	for _, q := range t.quotas {
		q.mu.Lock()
		q.rpm.set, q.tpm.set, q.rpd.set = p.limits.of(t, q.model.name)
		q.mu.Unlock()
		p.look(q, now)
	}
	p.limitSpending(t, now)
}

// tier counts a key where it makes its project a paid one, and no longer where it did
// before: it is called when a key was marked, has moved or is gone. Under p.mu.
func (p *Pool) tier(e *entry, now time.Time) {
	var pays *project
	if !e.gone && e.spec.Load().paid {
		pays = e.live.Load().project
	}
	old := e.pays
	if pays == old {
		return
	}
	e.pays = pays
	if old != nil && old.paid.Add(-1) == 0 {
		p.retier(old, now)
	}
	if pays != nil && pays.paid.Add(1) == 1 {
		p.retier(pays, now)
	}
}

// retier applies the rules to a project that has become one of the other tier. Under p.mu.
func (p *Pool) retier(t *project, now time.Time) {
	if slices.ContainsFunc(p.limits.rules, func(r LimitRule) bool { return r.Tier != "" }) {
		p.limit(t, now)
	}
}

// Check reports what is wrong with a rule, or nil.
func (r LimitRule) Check() error {
	switch {
	case r.Model == "":
		return errors.New("the model is empty; * stands for all")
	case strings.ContainsAny(r.Model+r.Project, `[]\`):
		return errors.New(`a pattern has [, ] or \; only * and ? have a meaning`)
	case r.Tier != "" && r.Tier != TierFree && r.Tier != TierPaid:
		return fmt.Errorf("the tier is %q, want %s or %s; leave it out for both", r.Tier, TierFree, TierPaid)
	case r.RPM < 0 || r.TPM < 0 || r.RPD < 0 || r.Spend < 0:
		return errors.New("rpm, tpm, rpd and spend must be above 0; leave one out to say nothing of it")
	case r.RPM == 0 && r.TPM == 0 && r.RPD == 0 && r.Spend == 0:
		return errors.New("it sets none of rpm, tpm, rpd and spend")
	case r.Spend > 0 && r.Model != "*":
		return errors.New("a spend limit is one for all models together: its model must be *")
	}
	return nil
}

// of returns what the rules say of a project's model; 0 for nothing.
func (l limitRules) of(t *project, model string) (rpm, tpm, rpd int64) {
	for i := range l.rules {
		if r := &l.rules[i]; matches(r.Model, model) && r.about(t) {
			rpm, tpm, rpd = cmp.Or(rpm, r.RPM), cmp.Or(tpm, r.TPM), cmp.Or(rpd, r.RPD)
		}
	}
	return rpm, tpm, rpd
}

// about reports whether the rule is about a project.
func (r *LimitRule) about(t *project) bool {
	if r.Tier != "" && (r.Tier == TierPaid) != (t.paid.Load() > 0) {
		return false
	}
	return r.Project == "" || matches(r.Project, t.id)
}

// matches tells whether a name matches a glob. It goes back to the last * at most.
func matches(glob, name string) bool {
	star, resume, g := -1, 0, 0
	for n := 0; n < len(name); {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, resume = g, n
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == name[n]):
			g++
			n++
		case star >= 0:
			resume++
			g, n = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}
