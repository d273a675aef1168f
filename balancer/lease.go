// SPDX-License-Identifier: Apache-2.0

package balancer

import "time"

// Want is what a request needs of a key. The zero value takes any key at once.
type Want struct {
	Model    string   // Gemini model id without "models/"; "" where no model is involved
	Tags     []string // the key must carry at least one of these; nil for any key
	PaidOnly bool
	Tried    *Tried        // what this request has used; nil for a request that asks once
	Tokens   int64         // estimate of input + output tokens; for strategies that look ahead
	Wait     time.Duration // how long to wait for a recovery; 0 not at all
}

// Tried is what one request has used. Its zero value is ready.
type Tried struct{}

// Lease is the right to one attempt with one key.
type Lease struct{}

// Secret returns the Gemini key. It is the only way to it.
func (l *Lease) Secret() string { return "" }

// KeyID returns the key's public handle.
func (l *Lease) KeyID() string { return "" }

// Project returns the key's project; for a key with a project of its own, the
// key's id.
func (l *Lease) Project() string { return "" }

// Proxy returns the URL of the key's egress route, "" for the default one.
func (l *Lease) Proxy() string { return "" }

// Done ends the lease and applies the attempt's outcome to the pool. Exactly
// the first call counts.
func (l *Lease) Done(o Outcome) {}
