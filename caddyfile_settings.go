// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

func (a *App) unmarshalLimits(d *caddyfile.Dispenser) error {
	if err := noArgs(d); err != nil {
		return err
	}
	l := new(LimitsConfig)
	a.Limits = l
	return options{
		"rpm":            once(count(&l.RPM)),
		"tpm":            once(count(&l.TPM)),
		"rpd":            once(count(&l.RPD)),
		"tpd":            once(count(&l.TPD)),
		"monthly_tokens": once(count(&l.MonthlyTokens)),
		"concurrency":    once(count(&l.Concurrency)),
		"budget":         l.unmarshalBudget,
	}.block(d)
}

// unmarshalBudget reads an amount and what it is for: `budget 5 day`.
func (l *LimitsConfig) unmarshalBudget(d *caddyfile.Dispenser) error {
	var amount, span string
	if !d.AllArgs(&amount, &span) {
		return d.ArgErr()
	}
	if l.Budget == nil {
		l.Budget = new(BudgetConfig)
	}
	into := map[string]*string{"day": &l.Budget.Day, "month": &l.Budget.Month, "total": &l.Budget.Total}[span]
	switch nano, ok := settings.ParseUSD(amount); {
	case !ok || nano == 0:
		return d.Errf("budget '%s' is no amount in USD such as 12.50", amount)
	case into == nil:
		return d.Errf("budget per '%s' is unknown, want day, month or total", span)
	case *into != "":
		return d.Errf("budget %s already specified", span)
	}
	*into = amount
	return nil
}

// bodyModes are the words for RequestLogConfig.Bodies.
var bodyModes = []string{settings.BodiesOff, settings.BodiesErrors, settings.BodiesAll}

func (a *App) unmarshalRequestLog(d *caddyfile.Dispenser) error {
	if err := noArgs(d); err != nil {
		return err
	}
	l := new(RequestLogConfig)
	a.RequestLog = l
	return options{
		"retention": once(duration(&l.Retention, caddy.Duration(time.Hour))),
		"max_size":  once(size(&l.MaxSize)),
		"bodies": once(func(d *caddyfile.Dispenser) error {
			if err := text(&l.Bodies)(d); err != nil {
				return err
			}
			if !slices.Contains(bodyModes, l.Bodies) {
				return d.Errf("bodies '%s' is unknown, want %s", l.Bodies, strings.Join(bodyModes, ", "))
			}
			return nil
		}),
	}.block(d)
}
