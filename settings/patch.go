// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Patch names values for some fields; nil fields say nothing. Its JSON is what
// POST /admin/config takes:
//
//	{"strategy": "adaptive", "retry": {"attempts": 3, "budget": 0.2, "wait": "10s", "hedge": 0}}
type Patch struct {
	Strategy *string    `json:"strategy,omitempty"`
	Retry    RetryPatch `json:"retry,omitzero"`
}

// RetryPatch is the [Retry] of a Patch.
type RetryPatch struct {
	Attempts *int      `json:"attempts,omitempty"`
	Budget   *float64  `json:"budget,omitempty"`
	Wait     *Duration `json:"wait,omitempty"`
	Hedge    *float64  `json:"hedge,omitempty"`
}

// Duration is a [time.Duration] whose text form is that of the Caddyfile: "10s".
type Duration time.Duration

// MarshalText implements [encoding.TextMarshaler].
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return errors.New("not a duration such as 10s or 1m30s")
	}
	*d = Duration(parsed)
	return nil
}

// Strategies are the names that the field strategy may have.
func Strategies() []string { return []string{"adaptive", "least_used", "round_robin"} }

// Bounds of the settings.
// Our choice: more attempts or a longer wait outlast clients' own timeouts.
const (
	MaxAttempts = 20
	MaxWait     = 5 * time.Minute
)

func (v *Values) validate() error {
	switch {
	case !slices.Contains(Strategies(), v.Strategy):
		return &InvalidError{Field: "strategy", Message: "must be one of: " + strings.Join(Strategies(), ", ")}
	case v.Retry.Attempts < 1 || v.Retry.Attempts > MaxAttempts:
		return &InvalidError{Field: "retry.attempts", Message: fmt.Sprintf("must be from 1 (no retry) to %d", MaxAttempts)}
	case !(v.Retry.Budget >= 0 && v.Retry.Budget <= 1): // NaN too
		return &InvalidError{Field: "retry.budget", Message: "must be a share of all requests, from 0 to 1"}
	case v.Retry.Wait < 0 || v.Retry.Wait > MaxWait:
		return &InvalidError{Field: "retry.wait", Message: fmt.Sprintf("must be from 0s (never wait) to %s", MaxWait)}
	case !(v.Retry.Hedge >= 0 && v.Retry.Hedge <= 1): // NaN too
		return &InvalidError{Field: "retry.hedge", Message: "must be a share of all requests, from 0 (never) to 1"}
	}
	return nil
}

// with returns p with the fields that q names.
func (p Patch) with(q Patch) Patch {
	p.Strategy = first(q.Strategy, p.Strategy)
	p.Retry.Attempts = first(q.Retry.Attempts, p.Retry.Attempts)
	p.Retry.Budget = first(q.Retry.Budget, p.Retry.Budget)
	p.Retry.Wait = first(q.Retry.Wait, p.Retry.Wait)
	p.Retry.Hedge = first(q.Retry.Hedge, p.Retry.Hedge)
	return p
}

func first[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

// overlap names the fields that both say something about.
func (p Patch) overlap(q Patch) (fields []string) {
	both := func(name string, overlap bool) {
		if overlap {
			fields = append(fields, name)
		}
	}
	both("strategy", p.Strategy != nil && q.Strategy != nil)
	both("retry.attempts", p.Retry.Attempts != nil && q.Retry.Attempts != nil)
	both("retry.budget", p.Retry.Budget != nil && q.Retry.Budget != nil)
	both("retry.wait", p.Retry.Wait != nil && q.Retry.Wait != nil)
	both("retry.hedge", p.Retry.Hedge != nil && q.Retry.Hedge != nil)
	return fields
}

// LockedError is the answer to an update of what the Caddyfile sets.
type LockedError struct{ Fields []string } // in the order of [Patch], such as "retry.wait"

// Error names the fields and says where to change them.
func (e *LockedError) Error() string {
	return strings.Join(e.Fields, ", ") + ": set in the Caddyfile, which wins; change it there and reload, or remove it there to set it here"
}

// InvalidError is a value out of range.
type InvalidError struct {
	Field   string // such as "retry.wait"
	Message string // what is allowed: "must be …"
}

// Error names the field and what it may be.
func (e *InvalidError) Error() string { return e.Field + " " + e.Message }
