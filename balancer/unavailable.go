// SPDX-License-Identifier: Apache-2.0

package balancer

import "time"

// UnavailableReason tells why no key can be leased.
type UnavailableReason string

// The reasons, with the status a client should see.
const (
	NoKeys           UnavailableReason = "no_keys"           // none matches what the request wants: 503
	AllDead          UnavailableReason = "all_dead"          // none is untested or active: 503
	AllResting       UnavailableReason = "all_resting"       // at least one cools down: 429
	AllExhausted     UnavailableReason = "all_exhausted"     // all used up their day: 429
	ModelUnavailable UnavailableReason = "model_unavailable" // no project may use the model: 404
	AllTried         UnavailableReason = "all_tried"         // this request used every ready key: LastOutcome counts
	TooLarge         UnavailableReason = "too_large"         // more input tokens than a project may use in a minute: 400
)

// Unavailable is the error of [Pool.Lease] when no key can be leased in time.
type Unavailable struct {
	Reason UnavailableReason
	// RetryAfter is the time until the first key is back; 0 where none will be by
	// itself, or where one is ready but was tried by this request.
	RetryAfter  time.Duration
	Message     string   // for people: one sentence that ends with a full stop, without secrets and key ids
	LastOutcome *Outcome // of the request's last attempt that was Done; nil for none
	Crowded     bool     // keys may be back in time, but too many requests wait for them already
	// Verdict is what makes the key rest that is back first; OK where none rests.
	Verdict Verdict
}

// Error implements error.
func (u *Unavailable) Error() string { return u.Message }
