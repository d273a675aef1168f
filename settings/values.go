// SPDX-License-Identifier: Apache-2.0

package settings

import "time"

// Values are the settings in force. A *Values from [Store.Current] is shared and
// must not be changed. Money is in nano-USD, sizes are in bytes.
type Values struct {
	Strategy       string // how the pool picks among keys that can serve: one of [Strategies]
	Affinity       string // AffinityPrefix or AffinityOff
	Retry          Retry
	Timeouts       Timeouts
	Heartbeat      time.Duration // silence after which a stream gets a comment; 0 = never
	Reasoning      string        // how thoughts are shown: ReasoningAuto, reasoning_content, thought_tags or off
	FetchImages    bool          // download media that requests name by URL
	QueryKey       bool          // take user keys from ?key= in URLs, too
	MaxRequestSize int64         // of a request's body
	Limits         Limits
	RequestLog     RequestLog
	Probe          Probe
	Session        Session
	Validation     Validation
	Models         Models
	Keys           Keys
}

// Retry says how hard a request is tried before its client sees an error.
type Retry struct {
	Attempts int           // upstream requests for one client request, the first included; 1 = no retry
	Budget   float64       // retries as a share of all requests, 0–1
	Wait     time.Duration // how long a request waits for a key when all rest; 0 = not at all
	Hedge    float64       // requests that may be asked of a second project when the first is slow, as a share of all, 0–1; 0 = none
}

// Timeouts bound the waiting for Google.
type Timeouts struct {
	Connect     time.Duration // until a connection is made; dial and TLS handshake each
	FirstOutput time.Duration // until the first useful output
	Idle        time.Duration // between two pieces of a stream
	Total       time.Duration // for the whole request, all attempts included
}

// Limits are what a new user key gets for what it does not ask for itself. Keys
// that exist keep theirs.
type Limits struct {
	RPM           int64
	TPM           int64
	RPD           int64
	TPD           int64 // 0 = none
	MonthlyTokens int64 // 0 = none
	Concurrency   int64
	Budget        Budget
}

// Budget is money in nano-USD; 0 = none.
type Budget struct{ Day, Month, Total int64 }

// RequestLog says how long requests are remembered, and how much of them.
type RequestLog struct {
	Retention time.Duration
	MaxSize   int64  // bytes of all rows together
	Bodies    string // of which requests what was asked and answered is kept, too: BodiesOff, BodiesErrors or BodiesAll
}

// Probe says whether Google is asked about Gemini keys before requests try them.
type Probe struct{ Enabled bool }

// Session bounds how long an operator stays signed in.
type Session struct {
	Idle     time.Duration // without real input
	Absolute time.Duration // in all
}

// Validation is how Gemini keys are tried when an operator asks for that.
type Validation struct {
	Model          string // asked for one token; "" = only the list of models, which costs no quota
	Concurrency    int    // keys at the same time
	DisableInvalid bool   // switch off what Google refuses
}

// Models says what becomes of names that nobody knows.
type Models struct{ Unknown string } // UnknownPass or UnknownRefuse

// Keys says what the admin API may do with Gemini keys.
type Keys struct{ Reveal bool } // show a whole key to who has signed in again

// The words of fields that choose.
const (
	AffinityPrefix = "prefix" // a conversation stays with one project, for Google's implicit caching
	AffinityOff    = "off"

	ReasoningAuto    = "auto" // as reasoning_content, to clients that ask for thoughts
	ReasoningContent = "reasoning_content"
	ReasoningTags    = "thought_tags"
	ReasoningOff     = "off"

	BodiesOff    = "off"
	BodiesErrors = "errors" // of requests that failed
	BodiesAll    = "all"

	UnknownPass   = "pass"   // Google is asked, who may know more than we do
	UnknownRefuse = "refuse" // 404 for what no Gemini key is known to have
)

// Strategies are the names that the field strategy may have.
func Strategies() []string { return []string{"adaptive", "least_used", "round_robin"} }

// Bounds of the settings.
// Our choice: more attempts or a longer wait outlast clients' own timeouts.
const (
	MaxAttempts = 20
	MaxWait     = 5 * time.Minute
)

// Defaults are the values where nobody said anything. Source: DESIGN §2.1,
// specs/gateways.md §7 and, for sessions, specs/ui.md §5.
func Defaults() Values {
	return Values{
		Strategy:       "adaptive",
		Affinity:       AffinityPrefix,
		Retry:          Retry{Attempts: 3, Budget: 0.2, Wait: 10 * time.Second},
		Timeouts:       Timeouts{Connect: 5 * time.Second, FirstOutput: 120 * time.Second, Idle: 300 * time.Second, Total: 30 * time.Minute},
		Heartbeat:      15 * time.Second,
		Reasoning:      ReasoningAuto,
		FetchImages:    true,
		QueryKey:       true,
		MaxRequestSize: 100_000_000,
		Limits:         Limits{RPM: 600, TPM: 4_000_000, RPD: 100_000, Concurrency: 50},
		RequestLog:     RequestLog{Retention: 7 * 24 * time.Hour, MaxSize: 1 << 30, Bodies: BodiesOff},
		Probe:          Probe{Enabled: true},
		Session:        Session{Idle: 30 * time.Minute, Absolute: 12 * time.Hour},
		Validation:     Validation{Concurrency: 16},
		Models:         Models{Unknown: UnknownPass},
		Keys:           Keys{Reveal: true},
	}
}
