// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"fmt"
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// QuotaConfig is what is known of Google's quotas: how much each project may use
// of a model. The pool keeps within it by its own count; a smaller limit that
// Google names holds for a day. Without any, limits are learned from refusals.
type QuotaConfig struct {
	// The models, by Google's id. `*` stands for any text, `?` for one character.
	Model string `json:"model,omitempty"`

	// The projects, with the same wildcards; for a key without a project, its id.
	// Default: all.
	Project string `json:"project,omitempty"`

	// Requests per minute.
	RPM int64 `json:"rpm,omitempty"`

	// Input tokens per minute.
	TPM int64 `json:"tpm,omitempty"`

	// Requests per day, which ends at midnight in California.
	RPD int64 `json:"rpd,omitempty"`
}

func (q *QuotaConfig) rule() balancer.LimitRule {
	return balancer.LimitRule{Model: q.Model, Project: q.Project, RPM: q.RPM, TPM: q.TPM, RPD: q.RPD}
}

// limitRules are the quotas for the pool.
func (a *App) limitRules() []balancer.LimitRule {
	rules := make([]balancer.LimitRule, len(a.Quotas))
	for i, q := range a.Quotas {
		rules[i] = q.rule()
	}
	return rules
}

func (a *App) validateQuotas() error {
	for i, q := range a.Quotas {
		if q == nil {
			return fmt.Errorf("quotas[%d] is empty", i)
		}
		if err := q.rule().Check(); err != nil {
			return fmt.Errorf("quotas[%d]: %w", i, err)
		}
	}
	return nil
}

// unmarshalQuota reads what follows quota. Syntax:
//
//	quota <model> [project <project>] {
//		rpm <count>
//		tpm <count>
//		rpd <count>
//	}
func (a *App) unmarshalQuota(d *caddyfile.Dispenser) error {
	q := new(QuotaConfig)
	args := d.RemainingArgs()
	switch {
	case len(args) == 1:
		q.Model = args[0]
	case len(args) == 3 && args[1] == "project" && args[2] != "":
		q.Model, q.Project = args[0], args[2]
	default:
		return d.ArgErr()
	}
	for _, other := range a.Quotas {
		if other.Model == q.Model && other.Project == q.Project {
			return d.Errf("quota of model '%s' and project '%s' already specified", q.Model, q.Project)
		}
	}
	err := options{
		"rpm": once(count(&q.RPM)),
		"tpm": once(count(&q.TPM)),
		"rpd": once(count(&q.RPD)),
	}.block(d)
	if err != nil {
		return err
	}
	if err := q.rule().Check(); err != nil {
		return d.Errf("quota of model '%s': %v", q.Model, err)
	}
	a.Quotas = append(a.Quotas, q)
	return nil
}

// weight reads the weight of a key.
func weight(into *int) func(*caddyfile.Dispenser) error {
	return value(into, func(text string) (int, bool) {
		n, err := strconv.Atoi(text)
		return n, err == nil && n >= 1 && n <= balancer.MaxWeight
	}, fmt.Sprintf("a whole number from 1 to %d", balancer.MaxWeight))
}
