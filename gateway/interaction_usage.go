// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// An interaction's usage is told by each answer that shows it after its end, and by
// none before: one in the background, or whose client left, outlives its request. The
// first answer that tells it is charged for it, and the record says so.
// Source: specs/native-anthropic.md A.11.

// booking is what becomes of the usage that an answer tells. The zero value is as
// usual: requests that ask a model are charged for it, those that show something are
// not.
type booking struct {
	name      string        // of the interaction, once it is recorded
	here      bool          // this request is charged for it
	elsewhere bool          // another is, or will be
	before    users.Prepaid // what is taken for it already
}

// Usage implements [translate.Exchange]: what this request is charged for.
func (w *watched) Usage() gemini.Usage {
	b := &w.x.booking
	if b.elsewhere || w.x.rt.op == opResource && !b.here {
		return gemini.Usage{}
	}
	return w.Exchange.Usage()
}

// ran records an interaction, and finds out who is charged for it.
func (x *exchange) ran(doc rawjson.Value) *translate.Failure {
	name := x.booking.name
	if id := doc.Get("id").Text(); id != "" {
		name = "interactions/" + id
	}
	if name == "" {
		return nil
	}
	known, err := x.g.Resources.get(x.record.UserID, name)
	switch {
	case err != nil:
		return x.began(name, doc)
	case known.Bound != x.bound:
		err = x.g.Resources.update(x.record.UserID, name, func(res *resource) bool {
			res.Bound = x.bound
			return true
		})
		if err != nil {
			return storeFailed("What was made was not kept")
		}
	}
	x.booking.name = name
	// One that failed and tells no usage has cost nothing.
	failed := x.rt.op == opResource && doc.Get("status").Is("failed")
	if known.Charged != nil && (failed || told(doc)) {
		x.collect(name, doc)
	}
	return nil
}

// began records an interaction that was not known.
func (x *exchange) began(name string, doc rawjson.Value) *translate.Failure {
	res := x.newResource(name, time.Time{})
	here := told(doc)
	if x.rt.op == opInteract && !here {
		x.reserved(&res)
	}
	if f := x.put(res); f != nil {
		return f
	}
	if x.rt.op == opInteract {
		x.booking = booking{name: name, here: here, elsewhere: !here}
	}
	return nil
}

// reserved keeps with a resource what this request is charged for what will be used
// later.
func (x *exchange) reserved(res *resource) {
	var taken users.Used
	if x.taken != nil {
		taken = x.taken.Charged()
	}
	res.Charged, res.ChargedCost, res.ChargedAt = &taken.Tokens, taken.Cost, x.accepted
}

// collect has this request charged, unless another was faster. Where the store
// fails, a later one is.
func (x *exchange) collect(name string, doc rawjson.Value) {
	before, first := x.claim(name)
	if !first {
		return
	}
	x.booking = booking{name: name, here: true, before: before}
	if model := strings.TrimPrefix(doc.Get("model").Text(), "models/"); gemini.ValidModelID(model) {
		x.record.Model = cmp.Or(x.record.Model, model)
	}
}

// claim has this request charged for what was told to be used by something that was
// made before, and returns what is taken for it already; first is false where another
// was faster.
func (x *exchange) claim(name string) (before users.Prepaid, first bool) {
	err := x.g.Resources.update(x.record.UserID, name, func(res *resource) bool {
		if first = res.Charged != nil; first {
			before.Used, before.At = users.Used{Tokens: *res.Charged, Cost: res.ChargedCost}, res.ChargedAt
			res.Charged, res.ChargedCost, res.ChargedAt = nil, 0, time.Time{}
		}
		return first
	})
	return before, first && err == nil
}

// told reports whether an interaction has ended, and its usage is known.
func told(doc rawjson.Value) bool {
	status := doc.Get("status").Text()
	return status != "in_progress" && status != "queued" && doc.Get("usage").Kind() == rawjson.Object
}

// chargeLate takes from the user what a request that takes nothing itself has found
// to be used, and gives back what was charged too much for it.
func (x *exchange) chargeLate(u users.Used) {
	if x.account != nil && x.booking.here {
		x.account.Charge(u, x.booking.before)
	}
}
