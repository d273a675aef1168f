// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// LimitsConfig is what a user key may use that does not say so itself. What is left
// out has its default, or is what an operator sets at run time.
type LimitsConfig struct {
	// Requests per minute: as many at once by a rested key, then evenly. Default: 600.
	RPM int64 `json:"rpm,omitempty"`

	// Input and output tokens per minute. Default: 4,000,000.
	TPM int64 `json:"tpm,omitempty"`

	// Requests per day. Default: 100,000.
	RPD int64 `json:"rpd,omitempty"`

	// Tokens per day. Default: no limit.
	TPD int64 `json:"tpd,omitempty"`

	// Tokens per calendar month. Default: no limit.
	MonthlyTokens int64 `json:"monthly_tokens,omitempty"`

	// Requests at the same time. Default: 50.
	Concurrency int64 `json:"concurrency,omitempty"`

	// Money, by the table of prices. A key with a budget is refused models without
	// a price. Default: no limit.
	Budget *BudgetConfig `json:"budget,omitempty"`
}

// BudgetConfig is money in USD, as decimal numbers with up to nine decimals, such
// as `12.50`. What is left out is no limit.
type BudgetConfig struct {
	// Per calendar day.
	Day string `json:"day,omitempty"`

	// Per calendar month.
	Month string `json:"month,omitempty"`

	// In the key's whole life.
	Total string `json:"total,omitempty"`
}

// RequestLogConfig says how long requests are remembered, and how much of them.
// What is set here is locked for the admin API.
type RequestLogConfig struct {
	// For how long. Default: 7 days.
	Retention caddy.Duration `json:"retention,omitempty"`

	// The size of all entries together, in bytes; beyond it the oldest go first.
	// Default: 1 GiB.
	MaxSize int64 `json:"max_size,omitempty"`

	// Of which requests what was asked and answered is kept, too: `off`, `errors` or
	// `all`. Prompts and answers are personal data. Default: `off`.
	Bodies string `json:"bodies,omitempty"`
}

// declaredSettings is what the configuration says about the settings that could
// be changed at run time.
func (a *App) declaredSettings() (settings.Patch, error) {
	p := settings.Patch{}
	declare(p, "strategy", a.Strategy)
	declare(p, "affinity", a.Affinity)
	if a.Probe != nil {
		p["probe.enabled"] = *a.Probe
	}
	if r := a.Retry; r != nil {
		declare(p, "retry.attempts", int64(r.Attempts))
		declareSet(p, "retry.budget", r.Budget)
		declareSet(p, "retry.hedge", r.Hedge)
		declareSet(p, "retry.wait", (*time.Duration)(r.Wait))
	}
	if t := a.Timeouts; t != nil {
		declare(p, "timeouts.connect", time.Duration(t.Connect))
		declare(p, "timeouts.first_output", time.Duration(t.FirstOutput))
		declare(p, "timeouts.idle", time.Duration(t.Idle))
		declare(p, "timeouts.total", time.Duration(t.Total))
	}
	if l := a.RequestLog; l != nil {
		declare(p, "request_log.retention", time.Duration(l.Retention))
		declare(p, "request_log.max_size", l.MaxSize)
		declare(p, "request_log.bodies", l.Bodies)
	}
	if err := a.Limits.declare(p); err != nil {
		return nil, err
	}
	a.declareSites(p)
	return p, nil
}

func (l *LimitsConfig) declare(p settings.Patch) error {
	if l == nil {
		return nil
	}
	declare(p, "limits.rpm", l.RPM)
	declare(p, "limits.tpm", l.TPM)
	declare(p, "limits.rpd", l.RPD)
	declare(p, "limits.tpd", l.TPD)
	declare(p, "limits.monthly_tokens", l.MonthlyTokens)
	declare(p, "limits.concurrency", l.Concurrency)
	if l.Budget == nil {
		return nil
	}
	for name, text := range map[string]string{"day": l.Budget.Day, "month": l.Budget.Month, "total": l.Budget.Total} {
		if text == "" {
			continue
		}
		nano, ok := settings.ParseUSD(text)
		if !ok {
			return fmt.Errorf("limits.budget.%s: %q is no amount in USD such as 12.50, with up to nine decimals", name, text)
		}
		p["limits.budget."+name] = nano
	}
	return nil
}

// declareSites adds what all sites agree to say themselves. Where only some do, the
// others go by the settings, which therefore stay open.
func (a *App) declareSites(p settings.Patch) {
	var all settings.Patch
	for i, h := range a.handlers {
		own := h.declaredSettings()
		if i == 0 {
			all = own
		}
		for name := range all {
			if own[name] == nil {
				delete(all, name)
			}
		}
	}
	maps.Copy(p, all)
}

// declaredSettings is what a site says about settings. Of several sites the first
// one's values are shown, and each goes by its own.
func (h *Handler) declaredSettings() settings.Patch {
	p := settings.Patch{}
	declare(p, "max_request_size", h.MaxRequestSize)
	declare(p, "reasoning", h.Reasoning)
	declareSet(p, "fetch_images", h.FetchImages)
	declareSet(p, "query_key", h.QueryKey)
	if h.Heartbeat != 0 {
		p["heartbeat"] = max(time.Duration(h.Heartbeat), 0)
	}
	return p
}

// declare adds a value unless it is the zero one, which means that nothing is said.
func declare[T comparable](p settings.Patch, name string, value T) {
	var nothing T
	if value != nothing {
		p[name] = value
	}
}

func declareSet[T any](p settings.Patch, name string, value *T) {
	if value != nil {
		p[name] = *value
	}
}

// apply brings settings to what does not ask for them itself.
func (r *resource) apply(v *settings.Values) {
	err := errors.Join(r.pool.SetStrategy(v.Strategy), r.users.SetDefaults(defaultLimits(&v.Limits)))
	r.pool.SetProbed(v.Probe.Enabled)
	r.usage.Log().SetOptions(usage.LogOptions{
		Retention: v.RequestLog.Retention, MaxSize: v.RequestLog.MaxSize, Bodies: usage.BodyMode(v.RequestLog.Bodies),
	})
	if a := r.reporter.Load(); err != nil && a != nil {
		a.logger.Error("a setting was not taken: " + err.Error())
	}
}

// defaultLimits are those of new user keys.
func defaultLimits(l *settings.Limits) users.Limits {
	limits := users.Limits{
		RPM: l.RPM, TPM: l.TPM, RPD: l.RPD, TPD: l.TPD, MonthlyTokens: l.MonthlyTokens, Concurrency: l.Concurrency,
	}
	if b := l.Budget; b != (settings.Budget{}) {
		limits.Budget = &users.Budget{Day: users.USD(b.Day), Month: users.USD(b.Month), Total: users.USD(b.Total)}
	}
	return limits
}

// provisionPrices reads the table of prices, at every load of a configuration.
func (a *App) provisionPrices() error {
	if a.Prices == "" {
		a.prices = usage.BuiltInPrices()
		return nil
	}
	path, err := caddy.NewReplacer().ReplaceOrErr(a.Prices, true, true)
	if err != nil {
		return fmt.Errorf("prices: %w", err)
	}
	doc, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("prices: %w", err)
	}
	if a.prices, err = usage.LoadPrices(doc); err != nil {
		return fmt.Errorf("prices %s: %w", path, err)
	}
	return nil
}
