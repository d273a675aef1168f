// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Record is one finished request, refused ones included. Tokens come from
// usageMetadata; 0 where it said nothing. Texts that a client chose are cut by
// the [Log], not by the caller.
type Record struct {
	At        time.Time // when it ended; zero means now
	RequestID string
	Dialect   string // openai, anthropic, gemini
	Endpoint  string // which of the dialect's, as chat.completions or messages
	Asked     string // model that the client named
	Model     string // that answered, or that was asked for where none did
	Version   string // modelVersion of the answer, "" where it had none
	KeyID     string // Gemini key of the last attempt, "" for none
	Project   string // of that key
	UserID    string // user key, "" for anonymous
	IP        netip.Addr
	Agent     string // User-Agent

	Status   int    // HTTP status told to the client
	Outcome  string // one word: ok, canceled, rate_limited, …
	Code     string // Google's word for the error of the last attempt, as RESOURCE_EXHAUSTED; "" for none
	Error    string // what the client was told, redacted; ≤ 500 bytes are kept
	Attempts int
	Stream   bool

	Input    int64 // tokens of the prompt, cached ones included
	Cached   int64 // tokens of the prompt that came from a cache
	Output   int64 // tokens of the answer, without thoughts
	Thoughts int64 // tokens of thinking
	ToolUse  int64 // tokens that built-in tools brought into the prompt; not in Input

	Cost   int64  // what Google charges, in nano-USD; counts where Priced
	Priced bool   // false: nobody knows the price, which is not a price of 0
	Price  string // source and date of the price's row, as it was then

	Waited      time.Duration // for a key, before the first attempt and between them
	FirstOutput time.Duration // until the first output, 0 for none
	Duration    time.Duration // until the end
	Partial     bool          // the answer was cut short
	Estimated   bool          // tokens are a guess: Google did not say

	Tries []Try // the attempts in order; the Ledger keeps the slice, so leave it alone after Add

	// Bodies are what the client sent and got, where [Log.Bodies] asks for them.
	Bodies *Bodies
	bodied bool // they are in the store
}

// Try is one attempt of a request: one request to Google.
type Try struct {
	KeyID    string
	Project  string
	Status   int           // HTTP status of Google's answer, 0 for none
	Verdict  string        // balancer's word for how it ended, ok for success
	Reason   string        // what happened, one redacted line
	Started  time.Duration // since the request was accepted
	Duration time.Duration
	Charge   Charge // its part of the record's tokens and cost, where that is not all of them
}

// Charge is the part of a request's tokens and cost that one attempt has used. What the
// attempts leave of the record's belongs to its KeyID. The zero value is no part.
type Charge struct {
	Input, Cached, Output, Thoughts, ToolUse int64 // tokens, as in Record
	Cost                                     int64 // nano-USD
}

// Add adds another attempt's part.
func (c *Charge) Add(d Charge) {
	to, from := c.fields(), d.fields()
	for i := range to {
		*to[i] += *from[i]
	}
}

// chargeFields is how many numbers Charge has.
const chargeFields = 6

// fields are the numbers, in their order in the store.
func (c *Charge) fields() [chargeFields]*int64 {
	return [...]*int64{&c.Input, &c.Cached, &c.Output, &c.Thoughts, &c.ToolUse, &c.Cost}
}

// counts is the part as counts.
func (c *Charge) counts() Counts {
	return Counts{Input: c.Input, Cached: c.Cached, Output: c.Output, Thoughts: c.Thoughts, ToolUse: c.ToolUse, Cost: c.Cost}
}

// Class is how a request ended, for charts.
type Class uint8

// The classes. Each request is in exactly one.
const (
	OK          Class = iota // answered by the first attempt
	Retried                  // answered, after more than one attempt
	ClientError              // the client's fault, its limits' or its wish: 4xx that no attempt caused, and those who went away
	Failed                   // everything else that did not come to its end
	classCount
)

// classWords are the classes in JSON and filters.
var classWords = [classCount]string{"ok", "retried", "client_error", "failed"}

// String returns the word of the class.
func (c Class) String() string {
	if c < classCount {
		return classWords[c]
	}
	return "unknown"
}

// ParseClass finds the class of a word.
func ParseClass(word string) (c Class, known bool) {
	for i, w := range classWords {
		if w == word {
			return Class(i), true
		}
	}
	return 0, false
}

// poolFaults are outcomes below 500 that no client can mend by asking otherwise.
var poolFaults = map[string]bool{"rate_limited": true, "quota_exhausted": true, "no_keys": true, "location": true, "timeout": true}

// Class tells how the request ended.
func (r *Record) Class() Class {
	switch {
	case r.Outcome == "ok" && r.Status < 400 && !r.Partial: // most, and in no need of the table
	case r.Outcome == "canceled", r.Status == 499:
		return ClientError
	case r.Status >= 500, r.Partial, poolFaults[r.Outcome]:
		return Failed
	case r.Status >= 400:
		return ClientError
	}
	if r.Attempts > 1 {
		return Retried
	}
	return OK
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
	ToolUse  int64 `json:"tool_use,omitempty"`
	Cost     int64 `json:"cost_nano,omitempty"` // nano-USD, of the requests whose price is known
	Unpriced int64 `json:"unpriced,omitempty"`  // requests whose price nobody knows
	Errors   int64 `json:"errors,omitempty"`    // attempts that failed
	// Requests by class; what is in none of the three is ok.
	Retried      int64 `json:"retried,omitempty"`
	ClientErrors int64 `json:"client_errors,omitempty"`
	Broken       int64 `json:"broken,omitempty"` // of class failed
}

// countFields is how many numbers Counts has.
const countFields = 14

// fields are the numbers, in their order in the store.
func (c *Counts) fields() [countFields]*int64 {
	return [...]*int64{
		&c.Requests, &c.Failed, &c.Attempts, &c.Input, &c.Cached, &c.Output, &c.Thoughts,
		&c.ToolUse, &c.Cost, &c.Unpriced, &c.Errors, &c.Retried, &c.ClientErrors, &c.Broken,
	}
}

// add is written out: each request is added to eight sums.
func (c *Counts) add(d *Counts) {
	c.Requests += d.Requests
	c.Failed += d.Failed
	c.Attempts += d.Attempts
	c.Input += d.Input
	c.Cached += d.Cached
	c.Output += d.Output
	c.Thoughts += d.Thoughts
	c.ToolUse += d.ToolUse
	c.Cost += d.Cost
	c.Unpriced += d.Unpriced
	c.Errors += d.Errors
	c.Retried += d.Retried
	c.ClientErrors += d.ClientErrors
	c.Broken += d.Broken
}

func (c *Counts) subtract(d *Counts) {
	to, from := c.fields(), d.fields()
	for i := range to {
		*to[i] -= *from[i]
	}
}

// append writes which numbers are not 0, and those.
func (c *Counts) append(out []byte) []byte {
	mask := uint64(0)
	for i, n := range c.fields() {
		if *n != 0 {
			mask |= 1 << i
		}
	}
	out = binary.AppendUvarint(out, mask)
	for _, n := range c.fields() {
		if *n != 0 {
			out = binary.AppendVarint(out, *n)
		}
	}
	return out
}

func readCounts(in *reader) (c Counts) {
	mask := in.uvarint()
	for i, n := range c.fields() {
		if mask&(1<<i) != 0 {
			*n = in.varint()
		}
	}
	return c
}

// Tokens are all that were used.
func (c *Counts) Tokens() int64 { return c.Input + c.ToolUse + c.Output + c.Thoughts }

// OK are the requests that the first attempt answered.
func (c *Counts) OK() int64 { return c.Requests - c.Retried - c.ClientErrors - c.Broken }

// Success is the share of the requests that were answered of those that their
// clients did not spoil. known is false where there were none.
func (c *Counts) Success() (share float64, known bool) {
	n := c.Requests - c.ClientErrors
	if n <= 0 {
		return 0, false
	}
	return float64(n-c.Broken) / float64(n), true
}

func (r *Record) counts() Counts {
	c := Counts{
		Requests: 1, Attempts: int64(r.Attempts),
		Input: r.Input, Cached: r.Cached, Output: r.Output, Thoughts: r.Thoughts, ToolUse: r.ToolUse,
	}
	if r.Status >= 400 {
		c.Failed = 1
	}
	for i := range r.Tries {
		if r.Tries[i].failed() {
			c.Errors++
		}
	}
	switch {
	case r.Priced:
		c.Cost = r.Cost
	case r.Attempts > 0:
		c.Unpriced = 1
	}
	switch r.Class() {
	case OK, classCount:
	case Retried:
		c.Retried = 1
	case ClientError:
		c.ClientErrors = 1
	case Failed:
		c.Broken = 1
	}
	return c
}

// Add adds other sums.
func (c *Counts) Add(d Counts) { c.add(&d) }
