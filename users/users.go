// SPDX-License-Identifier: Apache-2.0

// Package users is about user keys: the secrets that clients present, what each
// may do, and how much of it.
//
// A [Registry] makes keys, keeps them in a store (only a hash of the secret) and
// authenticates. An [Account] is an authenticated key with its live counters; its
// Admit reserves what a request needs before it runs, and the [Admission]
// settles it afterwards, so limits hold exactly however many requests race.
//
//	users/key/<id>          record: Key and hash, JSON
//	users/new/<age>-<id>    index, newest first; empty value
//	users/day/<id>          "<day> <requests>", written behind, expires
//
// Counters of the minute and of requests in flight live in memory and survive
// a change of configuration with the Registry, not a restart; those of the day
// survive both.
package users

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
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

// ErrInvalid is in the chain of every error about a Spec that makes no sense or
// that this version cannot keep.
var ErrInvalid = errors.New("invalid user key")

// DefaultLimits fill what a new key does not set, unless it asks to be unlimited.
// Generous for a person or an application at work, and an end for one in a loop:
// ten requests a second on average, a medium Gemini tier's tokens, and a day's
// total that stops what runs all night. Concurrency is D3 of specs/gateways.md.
var DefaultLimits = Limits{RPM: 600, TPM: 4_000_000, RPD: 100_000, Concurrency: 50}

// Limits of a user key. In a Spec 0 means not set: a new key gets the default,
// or none if it is unlimited. In a stored [Key] 0 means none.
type Limits struct {
	RPM         int64   `json:"rpm,omitempty"`         // requests in any 60 seconds
	TPM         int64   `json:"tpm,omitempty"`         // input and output tokens per minute; see bucket
	RPD         int64   `json:"rpd,omitempty"`         // requests per calendar day
	Concurrency int64   `json:"concurrency,omitempty"` // requests in flight
	Budget      *Budget `json:"budget,omitempty"`      // refused by this version
}

// Budget is money in USD. It exists so that asking for one is answered with a
// clear refusal instead of being ignored. In JSON a bare number is the total.
type Budget struct {
	Day   float64 `json:"day,omitempty"`
	Month float64 `json:"month,omitempty"`
	Total float64 `json:"total,omitempty"`
}

// UnmarshalJSON reads a number or an object.
func (b *Budget) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &b.Total) == nil {
		return nil
	}
	type plain Budget
	return json.Unmarshal(data, (*plain)(b))
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
	fill(&l.Concurrency, d.Concurrency)
	return l
}

func (l Limits) validate() error {
	for _, f := range []struct {
		name  string
		value int64
	}{{"rpm", l.RPM}, {"tpm", l.TPM}, {"rpd", l.RPD}, {"concurrency", l.Concurrency}} {
		// Float arithmetic of the token bucket is exact up to here.
		if f.value < 0 || f.value > math.MaxInt32*1000 {
			return fmt.Errorf("%w: limits.%s is %d, want 1 to %d, or leave it out for the default",
				ErrInvalid, f.name, f.value, math.MaxInt32*1000)
		}
	}
	if b := l.Budget; b != nil && *b != (Budget{}) {
		return fmt.Errorf("%w: limits.budget: budgets need the price table, which this version does not have yet", ErrInvalid)
	}
	return nil
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
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero = never
	Explain   bool      `json:"explain,omitempty"`   // answers tell which Gemini key served: for operators' own keys
}

// Key is a user key without its secret. Its slices are shared: read only.
type Key struct {
	ID string `json:"id"` // public id, also the second part of the credential
	Spec
	Created time.Time `json:"created"`
	Enabled bool      `json:"enabled"`
}

// Allows reports whether the key may use and see a model.
func (k Key) Allows(model string) bool { return len(k.Models) == 0 || matchesAny(k.Models, model) }
