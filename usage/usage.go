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

// Record is one finished request. Tokens come from usageMetadata; 0 where it
// said nothing.
type Record struct {
	At          time.Time // when it ended; zero means now
	RequestID   string
	Dialect     string // openai, anthropic, gemini
	Model       string // that answered, or that was asked for where none did
	KeyID       string // Gemini key of the last attempt, "" for none
	UserID      string // user key, "" for anonymous
	Status      int    // HTTP status told to the client
	Outcome     string // one word: ok, canceled, rate_limited, …
	Attempts    int
	Stream      bool
	Input       int64         // tokens of the prompt, cached ones included
	Cached      int64         // tokens of the prompt that came from a cache
	Output      int64         // tokens of the answer, without thoughts
	Thoughts    int64         // tokens of thinking
	FirstOutput time.Duration // until the first output, 0 for none
	Duration    time.Duration // until the end
	Partial     bool          // the answer was cut short
}

// Counts are sums over requests.
type Counts struct {
	Requests int64 `json:"requests"`
	Failed   int64 `json:"failed,omitempty"` // told to the client with a status of 400 or more
	Attempts int64 `json:"attempts,omitempty"`
	Input    int64 `json:"input,omitempty"` // tokens, as in Record
	Cached   int64 `json:"cached,omitempty"`
	Output   int64 `json:"output,omitempty"`
	Thoughts int64 `json:"thoughts,omitempty"`
}

func (c *Counts) add(d Counts) {
	c.Requests += d.Requests
	c.Failed += d.Failed
	c.Attempts += d.Attempts
	c.Input += d.Input
	c.Cached += d.Cached
	c.Output += d.Output
	c.Thoughts += d.Thoughts
}

func (r *Record) counts() Counts {
	c := Counts{Requests: 1, Attempts: int64(r.Attempts), Input: r.Input, Cached: r.Cached, Output: r.Output, Thoughts: r.Thoughts}
	if r.Status >= 400 {
		c.Failed = 1
	}
	return c
}

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
