// SPDX-License-Identifier: Apache-2.0

package balancer

import "time"

// Verdict is the class of an attempt's end.
type Verdict uint8

// The verdicts. The comment says whose fault it is.
const (
	OK                Verdict = iota
	Canceled                  // the client went away or we gave up; nobody's
	BadRequest                // the client's request
	BadSignature              // thought signatures in the request; the client's, mendable
	Blocked                   // content policy; the client's
	InvalidKey                // the key does not exist or has expired; the key's
	LeakedKey                 // reported as leaked; the key's
	SuspendedKey              // consumer suspended; the key's and its project's
	MisconfiguredKey          // API off, referrer or address restriction, old key type; the operator can mend it
	UnfundedProject           // billing off or credits used up; the project's
	Location                  // egress region refused; the route's and unpaid projects'
	ForeignResource           // file, cache or tuned model of another project; the request's
	ModelForbidden            // this project may not use this model
	ModelMissing              // the model does not exist, or not for this project
	RateLimited               // minute window of (project, model)
	Exhausted                 // day window of (project, model)
	SpendLimited              // what the project may spend within ten minutes, whatever the model
	NoQuota                   // limit 0: the model is not in the project's tier
	Throttled                 // 429 without reason: shared capacity
	CapacityExhausted         // Google has no capacity for the model
	Overloaded                // 503; Google's
	ServerError               // 500, 502; Google's or the request's
	UpstreamTimeout           // 504 or no answer in time
	Network                   // connect, TLS, reset, DNS; the route's
	RouteBlocked              // HTML "automated queries" page; the route's
	Unusable                  // 200 with an empty, malformed or cut answer
	Unclassified              // nothing we know
)

// Scope is what an outcome makes rest.
type Scope uint8

// The scopes, from nothing at all to a whole key.
const (
	ScopeNone         Scope = iota
	ScopeProjectModel       // one model for one project
	ScopeProject            // all models of a project
	ScopeKey                // one key
	ScopeModel              // one model for all keys, briefly
	ScopeRoute              // one egress route
)

// Retry is what an outcome means for the request that met it.
type Retry uint8

// Whether and where the same request may be tried again before commit.
const (
	RetryNever   Retry = iota
	RetryOther         // at once with another project's key; the refusing one rests, so this ends
	RetryOnce          // one more attempt, another project preferred
	RetryBackoff       // after a pause, within the retry budget
	RetrySame          // same key, after Exchange.Unsign
)

// Limit is one quota that a 429 revealed.
type Limit struct {
	ID     string // quotaId
	Metric string // quotaMetric
	Model  string // quotaDimensions.model, "" when not given
	Value  int64  // quotaValue; -1 when not given
}

// Outcome is the classified end of an attempt. upstream.Classify makes it from
// an answer; [Lease.Done] applies it to the pool. The zero value is success.
type Outcome struct {
	Verdict       Verdict
	Blame         Scope
	Retry         Retry
	State         State         // of the key, where Blame is ScopeKey or ScopeProject; "" leaves it
	Rest          time.Duration // how long Blame rests; 0 where State says it all
	UntilMidnight bool          // rest until the next Pacific midnight instead of Rest
	Escalate      bool          // double Rest on each repetition, up to 24 hours for ScopeProject, 5 minutes else, and 10 minutes for SpendLimited
	Status        int           // HTTP status Google answered with, 0 for none
	Reason        string        // what happened, for operators: one redacted line
	RetryAfter    time.Duration // what Google announced; 0 for nothing
	Consumer      string        // project number that the error revealed, "" for none
	Limits        []Limit       // quotas that the error revealed
	Tokens        int64         // input + output tokens of a success
	Input         int64         // input tokens of a success
	Untimed       bool          // the attempt lasted as long as its client wanted, which says nothing of the project's pace: a Live session
	Cost          int64         // what Google charges for it in nano-USD; 0 for unknown, then [Want.Cost] counts
}

// State is the state of a Gemini key. A key in any state but StateActive and
// StateUntested is not leased.
type State string

// The states of a key. Source: DESIGN §4; misconfigured is what an operator can
// mend without a new key.
const (
	StateUntested      State = "untested"
	StateActive        State = "active"
	StateInvalid       State = "invalid"
	StateLeaked        State = "leaked"
	StateSuspended     State = "suspended"
	StateMisconfigured State = "misconfigured"
	StateDisabled      State = "disabled" // by an operator
)
