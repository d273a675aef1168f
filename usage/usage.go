// SPDX-License-Identifier: Apache-2.0

// Package usage counts what was used: requests, their outcomes and tokens, in
// all and by model, Gemini key and user key. It knows what Google charges for it,
// too: see [Prices].
//
// A [Ledger] takes one [Record] per finished request and adds it up in memory:
// by minute for an hour, by hour for a day, and since the beginning. What it
// keeps in the store (JSON):
//
//	usage/minute/<minute>  the sums of one minute; Unix minutes, 10 digits
//	usage/all              the sums of all minutes up to "through"
//
// The minute that runs is written every 100 ms, so a crash loses no more. When it
// is over, it is added to the sum of all in the same batch that gives it its
// time to live; so at any moment the store has each request exactly once.
package usage

import "time"

// Other stands for all names beyond the bound of a map.
const Other = "other"

// Totals are the sums since a moment. The maps belong to the caller; each adds up
// to Counts, less the records that had no such name.
type Totals struct {
	Since     time.Time         `json:"since,omitzero"` // what the sums really begin with; zero = the beginning
	Counts                      // of all
	ByOutcome map[string]Counts `json:"by_outcome"`
	ByModel   map[string]Counts `json:"by_model"`
	ByKey     map[string]Counts `json:"by_key"`
	ByUser    map[string]Counts `json:"by_user"`
	// Dropped is how many records this process lost because they came faster than
	// they could be added up. They are in no sum.
	Dropped int64 `json:"dropped"`
}

// Minute is the sum of one minute, for charts.
type Minute struct {
	Start time.Time `json:"start"`
	Counts
}
