// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// QuotaConfig is what is known of Google's quotas: how much each project may use
// of a model, or spend. The pool keeps within it by its own count; a smaller limit that
// Google names holds for a day. Without any, limits are learned from refusals.
type QuotaConfig struct {
	// The models, by Google's id. `*` stands for any text, `?` for one character.
	Model string `json:"model,omitempty"`

	// The projects, with the same wildcards; for a key without a project, its id.
	// Default: all.
	Project string `json:"project,omitempty"`

	// `paid` for the projects with a key that is marked as paid, `free` for the others.
	// Default: both.
	Tier string `json:"tier,omitempty"`

	// Requests per minute.
	RPM int64 `json:"rpm,omitempty"`

	// Input tokens per minute.
	TPM int64 `json:"tpm,omitempty"`

	// Requests per day, which ends at midnight in California.
	RPD int64 `json:"rpd,omitempty"`

	// US dollars within ten minutes, such as 10 or 2.50, on all models together: the
	// model must be `*`. Google has such limits by billing account and tier.
	Spend json.Number `json:"spend,omitempty"`
}

// rule is the quota for the pool.
func (q *QuotaConfig) rule() (balancer.LimitRule, error) {
	r := balancer.LimitRule{Model: q.Model, Project: q.Project, Tier: q.Tier, RPM: q.RPM, TPM: q.TPM, RPD: q.RPD}
	if q.Spend != "" {
		nano, ok := dollars(q.Spend.String())
		if !ok {
			return r, fmt.Errorf("spend is '%s', want %s", q.Spend, wantDollars)
		}
		r.Spend = nano
	}
	return r, r.Check()
}

const wantDollars = "US dollars above 0, such as 10 or 2.50"

// dollars reads an amount of money in nano-USD.
func dollars(text string) (nano int64, ok bool) {
	const decimals = 9
	whole, part, dot := strings.Cut(text, ".")
	if whole == "" || len(whole) > 1 && whole[0] == '0' || dot && part == "" || len(part) > decimals || strings.Trim(whole+part, "0123456789") != "" {
		return 0, false
	}
	nano, err := strconv.ParseInt(whole+part+strings.Repeat("0", decimals-len(part)), 10, 64)
	return nano, err == nil && nano > 0
}

// limitRules are the quotas for the pool.
func (a *App) limitRules() []balancer.LimitRule {
	rules := make([]balancer.LimitRule, len(a.Quotas))
	for i, q := range a.Quotas {
		rules[i], _ = q.rule() // validateQuotas has been there
	}
	return rules
}

// limit brings to the pool what is said of quotas: the configuration's word goes first,
// then what is set for single models.
func (r *resource) limit() error {
	r.ruling.Lock()
	defer r.ruling.Unlock()
	models := *r.perModel.Current()
	rules := slices.Clone(r.rules)
	for _, id := range slices.Sorted(maps.Keys(models)) {
		for _, tier := range []struct {
			name  string
			quota *settings.Quota
		}{{balancer.TierFree, models[id].Free}, {balancer.TierPaid, models[id].Paid}} {
			if q := tier.quota; q != nil && *q != (settings.Quota{}) {
				rules = append(rules, balancer.LimitRule{Model: id, Tier: tier.name, RPM: q.RPM, TPM: q.TPM, RPD: q.RPD})
			}
		}
	}
	return r.pool.SetLimits(rules)
}

func (a *App) validateQuotas() error {
	for i, q := range a.Quotas {
		if q == nil {
			return fmt.Errorf("quotas[%d] is empty", i)
		}
		if _, err := q.rule(); err != nil {
			return fmt.Errorf("quotas[%d]: %w", i, err)
		}
	}
	return nil
}

// unmarshalQuota reads what follows quota. Syntax:
//
//	quota <model> [project <project>] {
//		tier  free | paid
//		rpm   <count>
//		tpm   <count>
//		rpd   <count>
//		spend <dollars>
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
	err := options{
		"tier": once(value(&q.Tier, func(text string) (string, bool) {
			return text, text == balancer.TierFree || text == balancer.TierPaid
		}, "free or paid")),
		"rpm": once(count(&q.RPM)),
		"tpm": once(count(&q.TPM)),
		"rpd": once(count(&q.RPD)),
		"spend": once(value(&q.Spend, func(text string) (json.Number, bool) {
			_, ok := dollars(text)
			return json.Number(text), ok
		}, wantDollars)),
	}.block(d)
	if err != nil {
		return err
	}
	for _, other := range a.Quotas {
		if other.Model == q.Model && other.Project == q.Project && other.Tier == q.Tier {
			return d.Errf("quota of model '%s', project '%s' and tier '%s' already specified", q.Model, q.Project, q.Tier)
		}
	}
	if _, err := q.rule(); err != nil {
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
