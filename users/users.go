// SPDX-License-Identifier: Apache-2.0

// Package users is about user keys: the secrets that clients present, what each
// may do, and how much of it.
//
// A [Registry] makes keys, keeps them in a store (only hashes of secrets) and
// authenticates. An [Account] is an authenticated key with its live counters; its
// Admit reserves what a request needs before it runs, and the [Admission]
// settles it afterwards, so limits hold exactly however many requests race.
//
//	users/key/<id>            record: Key and hashes, JSON
//	users/gone/<when>-<id>    index of what was deleted, oldest first; empty value
//	users/sum/<id>            counters and last use, written behind; see sums
//	users/sumlog/<number>     … of many keys, newer than those; see sumLog
//	users/day/<id>            the day's requests as older versions wrote them; read only
//
// # Bounds
//
// What each limit promises, with N its value:
//
//   - rpm: at most N requests at any one moment, and at most N + N·t/60 within any
//     t seconds, so 2N in a minute that begins with a rested key. A sliding window
//     would allow N, for memory of the size of N. Source: specs/gateways.md §3.2.
//   - tpm: the same bound for what is reserved. What a request uses beyond its
//     reservation is taken when it is known and paid off, up to one more N, before
//     another request is admitted.
//   - rpd, concurrency: N exactly.
//   - tpd, monthly_tokens, budgets: N plus, for each request that was in flight when
//     N was reached, what it used beyond its reservation. A reservation is the
//     estimate of the request, but never more than the smallest limit that it is
//     checked against, so that no request is refused for ever.
//
// # After a crash
//
// Calendar counters and money are at most 100 ms behind in the store. What was
// reserved by requests in flight counts as used after a crash: Google may have
// billed it, and who would know is gone. What was settled is never counted twice,
// since the store has sums and not changes. Rates and concurrency live in memory:
// they survive a change of configuration with the Registry, not a restart.
//
// # The seam to a cluster
//
// [counters.take] checks and takes all limits of a request in one step, all or
// nothing, and [counters.settle] corrects them. Their arguments are numbers alone
// (the time, and a list of limit, maximum, amount and period) and so are their
// results (which limit failed, how long to wait): what one script in a shared store
// takes and returns (specs/gateways.md §3.3). Nothing else in the package decides
// whether a request fits. A [sum] is two totals that only grow, of one node: the sum
// over nodes is what is used, writing one again changes nothing, and of two values
// for one node the larger is right (§3.5).
package users

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Errors of authentication and administration, to be told apart with errors.Is.
// Any other error comes from the store and says nothing about the key.
var (
	ErrUnknownKey = errors.New("user key is not known: check it for typing errors, or ask the operator for a new one")
	ErrDisabled   = errors.New("user key is disabled: ask the operator to enable it")
	ErrExpired    = errors.New("user key has expired: ask the operator for a new one")
	ErrNotFound   = errors.New("no user key with this id")
)

// ErrInvalid is in the chain of every error about a Spec that makes no sense.
var ErrInvalid = errors.New("invalid user key")

// FieldError says what makes no sense of one field of a Spec; ErrInvalid is in its chain.
type FieldError struct {
	Field string // as in its JSON, such as limits.rpm or labels[3]
	Fault string // what follows the name in a sentence
}

// Error makes a FieldError an error.
func (e *FieldError) Error() string { return fmt.Sprintf("%v: %s %s", ErrInvalid, e.Field, e.Fault) }

// Unwrap puts ErrInvalid into the chain.
func (e *FieldError) Unwrap() error { return ErrInvalid }

func wrong(field, fault string, args ...any) error {
	return &FieldError{field, fmt.Sprintf(fault, args...)}
}

// DefaultLimits fill what a new key does not set, unless it asks to be unlimited.
// Generous for a person or an application at work, and an end for one in a loop:
// ten requests a second on average, a medium Gemini tier's tokens, and a day's
// total that stops what runs all night. Concurrency is D3 of specs/gateways.md.
// No budget: a key with one cannot use models whose price is not known.
var DefaultLimits = Limits{RPM: 600, TPM: 4_000_000, RPD: 100_000, Concurrency: 50}

// Limits of a user key. In a Spec 0 means not set: a new key gets the default,
// or none if it is unlimited. In a stored [Key] 0 means none. The package comment
// says what each promises.
type Limits struct {
	RPM           int64   `json:"rpm,omitempty"`            // requests per minute
	TPM           int64   `json:"tpm,omitempty"`            // input and output tokens per minute
	RPD           int64   `json:"rpd,omitempty"`            // requests per calendar day
	TPD           int64   `json:"tpd,omitempty"`            // input and output tokens per calendar day
	MonthlyTokens int64   `json:"monthly_tokens,omitempty"` // input and output tokens per calendar month
	Concurrency   int64   `json:"concurrency,omitempty"`    // requests in flight
	Budget        *Budget `json:"budget,omitempty"`         // money; nil means none
}

// withDefaults fills what is not set.
func (l Limits) withDefaults(d Limits) Limits {
	fill := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	fill(&l.RPM, d.RPM)
	fill(&l.TPM, d.TPM)
	fill(&l.RPD, d.RPD)
	fill(&l.TPD, d.TPD)
	fill(&l.MonthlyTokens, d.MonthlyTokens)
	fill(&l.Concurrency, d.Concurrency)
	if l.Budget == nil {
		l.Budget = d.Budget
	}
	return l
}

// maxCount bounds the limits that count: beyond it nothing is limited.
const maxCount = math.MaxInt32 * 1000

func (l Limits) validate() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"rpm", l.RPM}, {"tpm", l.TPM}, {"rpd", l.RPD}, {"tpd", l.TPD}, {"monthly_tokens", l.MonthlyTokens}, {"concurrency", l.Concurrency},
	} {
		if f.value < 0 || f.value > maxCount {
			return wrong("limits."+f.name, "is %d, want 1 to %d, or leave it out for the default", f.value, int64(maxCount))
		}
	}
	return l.Budget.validate()
}

// Spec is what an operator says about a user key. Empty lists allow everything.
type Spec struct {
	Name      string    `json:"name"`
	Limits    Limits    `json:"limits"`
	Unlimited bool      `json:"unlimited,omitempty"` // limits that are not set are none, instead of the default
	Models    []string  `json:"models,omitempty"`    // globs: * any text, ? one character
	Dialects  []string  `json:"dialects,omitempty"`  // openai, anthropic, gemini
	CIDRs     []string  `json:"cidrs,omitempty"`     // networks or addresses of clients
	Tags      []string  `json:"tags,omitempty"`      // only Gemini keys with one of these
	PaidOnly  bool      `json:"paid_only,omitempty"` // only projects with billing
	Unpriced  bool      `json:"unpriced,omitempty"`  // may use models without a price in spite of a budget
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero = never
	Explain   bool      `json:"explain,omitempty"`   // answers tell which Gemini key served: for operators' own keys
	Labels    []string  `json:"labels,omitempty"`    // operator's words, to find keys by; they change nothing
	Note      string    `json:"note,omitempty"`      // operator's own
}

// Key is a user key without its secret. Its slices and its budget are shared: read
// only.
type Key struct {
	ID string `json:"id"` // public id, also the second part of the credential
	Spec
	Created time.Time `json:"created"`
	Enabled bool      `json:"enabled"`
	// Tail is the last four characters of the secret, to tell secrets apart by; ""
	// for keys that older versions made. They are part of its checksum.
	Tail string `json:"tail,omitempty"`
	// OldUntil is until when the secret from before the last rotation works; zero if
	// it does not.
	OldUntil time.Time `json:"old_until,omitzero"`
	// Deleted is when the key was deleted; zero if it was not.
	Deleted time.Time `json:"deleted,omitzero"`
}

// Hint is what may be shown of the secret, as in gb-ab12…x7Qp.
func (k Key) Hint() string {
	return credentialPrefix + k.ID[:min(4, len(k.ID))] + "…" + k.Tail
}

// Allows reports whether the key may use and see a model.
func (k Key) Allows(model string) bool { return len(k.Models) == 0 || matchesAny(k.Models, model) }

// clone returns a key that shares nothing that an edit may change in place.
func (k Key) clone() Key {
	for _, list := range []*[]string{&k.Models, &k.Dialects, &k.CIDRs, &k.Tags, &k.Labels} {
		*list = slices.Clone(*list)
	}
	if k.Limits.Budget != nil {
		b := *k.Limits.Budget
		k.Limits.Budget = &b
	}
	return k
}
