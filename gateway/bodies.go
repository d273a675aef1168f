// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// What clients send and get is kept in the request log only where its operator has
// switched that on. Until then nothing here allocates: a request asks once.
// Source: specs/gateways.md P1.

// keepBodies begins to collect what the client gets, if that is wanted.
func (x *exchange) keepBodies() {
	switch x.g.Usage.Log().Bodies() {
	case usage.BodiesErrors, usage.BodiesAll:
		x.out.kept = new(usage.Bodies)
	default: // off
	}
}

// keepRequest keeps the beginning of the request's body, which may be let go of before
// the request is over.
func (x *exchange) keepRequest() {
	if b := x.out.kept; b != nil {
		b.Request, b.Cut = bytes.Clone(x.body[:min(len(x.body), usage.MaxBody)]), len(x.body) > usage.MaxBody
	}
}

// kept returns what was collected, if it is to be kept now that the record is whole.
func (x *exchange) kept() *usage.Bodies {
	b := x.out.kept
	if b == nil || len(b.Request)+len(b.Response) == 0 {
		return nil
	}
	mode := x.g.Usage.Log().Bodies() // it may have been switched off meanwhile
	failed := x.record.Class() == usage.Failed || x.record.Class() == usage.ClientError
	if mode == usage.BodiesAll || mode == usage.BodiesErrors && failed {
		return b
	}
	return nil
}

// keep collects a piece of what the client gets. c.mu is held.
func (c *clientWriter) keep(p []byte) {
	if c.kept == nil {
		return
	}
	room := usage.MaxBody - len(c.kept.Response)
	c.kept.Response = append(c.kept.Response, p[:min(len(p), room)]...)
	c.kept.Cut = c.kept.Cut || len(p) > room
}
