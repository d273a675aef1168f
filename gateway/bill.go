// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// bill is what Google charges for a request, all of its attempts together: one that
// broke off or was of no use after Google had reported what it used is charged with
// the request that it was made for. Errors are free, as Google says. Of two attempts that
// run side by side for the operator's sake, one at most is on it: what the other one cost
// is the operator's, and counts against what its project may spend, see
// [balancer.Outcome]. Source: specs/gateways.md §4.1. The zero value is a bill of nothing.
type bill struct {
	used      gemini.Usage // tokens; Reported where anything was charged
	cost      int64        // nano-USD of what has a price
	row       string       // label of the row that the cost is by, of several the last
	unpriced  bool         // something has no known price
	estimated bool         // some of it is a guess
	parts     bool         // the calls of the request were charged one by one
	pending   bool         // what was used is told later, to another request
}

// add charges usage at the prices of a model, see [usage.Prices.Charged]. extra is what
// usage does not tell.
func (b *bill) add(prices *usage.Prices, model string, u gemini.Usage, extra usage.Used) (part usage.Charge) {
	row := prices.Charged(u.Version, model, time.Now())
	charged := used(u)
	charged.Seconds, charged.Resolution = extra.Seconds, extra.Resolution
	nano, known := int64(0), false
	if row != nil {
		nano, known = row.Cost(charged)
	}
	if b.cost += nano; known {
		b.row = row.Label
	} else {
		b.unpriced = true
	}
	part = usage.Charge{
		Input: u.Prompt, Cached: u.Cached, Output: charged.Output, Thoughts: u.Thoughts, ToolUse: u.ToolUse, Cost: nano,
	}
	version := cmp.Or(u.Version, b.used.Version)
	if u.Reported = true; b.used.Reported {
		u = b.used.Plus(u)
	}
	b.used, b.used.Version = u, version
	return part
}

// chargeTo notes which key's attempt has used a part of the bill, if it may be another
// than the record's.
func (x *exchange) chargeTo(keyID string, part usage.Charge) {
	for i := len(x.record.Tries) - 1; i >= 0; i-- {
		if t := &x.record.Tries[i]; t.KeyID == keyID {
			t.Charge.Add(part)
			return
		}
	}
}

// join takes over what is on another bill.
func (b *bill) join(o *bill) {
	b.cost += o.cost
	b.unpriced, b.estimated = b.unpriced || o.unpriced, b.estimated || o.estimated
	b.row = cmp.Or(o.row, b.row)
	if o.used.Reported && b.used.Reported {
		b.used = b.used.Plus(o.used)
	} else if o.used.Reported {
		b.used = o.used
	}
}

// carry charges the usage that the converter has before it forgets it for another
// attempt, whose key may be another one.
func (x *exchange) carry() {
	if part := x.chargeAnswer(); part != (usage.Charge{}) {
		x.chargeTo(x.record.KeyID, part)
	}
}

// chargeAnswer charges the usage that the converter has.
func (x *exchange) chargeAnswer() (part usage.Charge) {
	if x.conv == nil || x.bill.parts || !x.charges() && !x.booking.here {
		return part
	}
	u := x.conv.Usage()
	switch {
	case u.Reported, u.Images > 0:
	case u.Prompt > 0: // what is told to the client, counted by ourselves
		x.bill.estimated = true
	default:
		return part
	}
	return x.bill.add(x.site().prices, x.priceModel(), u, usage.Used{})
}

// priceModel is the model whose prices hold where the answer does not name one.
func (x *exchange) priceModel() string {
	if x.call != nil && x.call.Model != "" {
		return x.call.Model
	}
	return x.record.Model
}

// ended charges an attempt that Google may have worked for and told nothing of: its
// client left, or it took too long. It is taken for what was foretold. charged is false
// where there is nothing to charge.
func (x *exchange) ended(o *balancer.Outcome) (charged bool) {
	ours := o.Verdict == balancer.Canceled || o.Verdict == balancer.UpstreamTimeout && o.Status == 0
	if !ours || x.conv == nil || x.call == nil || !x.charges() || x.conv.Usage().Reported {
		return false
	}
	x.chargeTo(x.record.KeyID, x.guess())
	return true
}

// guess charges what an answer is taken for of which nothing is known.
func (x *exchange) guess() (part usage.Charge) {
	x.bill.estimated = true
	u, known := x.foretold()
	if !known {
		x.bill.unpriced, x.bill.used.Reported = true, true
		return part
	}
	return x.bill.add(x.site().prices, x.call.Model, gemini.Usage{
		Prompt: u.Prompt, Candidates: u.Output, CandidatesImage: u.OutputImage, Images: u.Images, Tier: tierOf(u.Tier),
	}, u)
}

// each charges the calls of a request one by one, where their answers tell what they
// used: prices depend on the length of each, not of all.
func (x *exchange) each(parts []*batchPart) {
	for _, p := range parts {
		var answer gemini.Response
		if p.answer == nil || answer.Decode(p.answer) != nil || !answer.Usage.Reported {
			continue
		}
		x.bill.parts = true
		x.chargeTo(p.record.KeyID, x.bill.add(x.site().prices, p.call.Model, answer.Usage, usage.Used{}))
	}
}

// total completes the bill when the request is over.
func (x *exchange) total() {
	x.chargeAnswer()
	switch {
	case x.call == nil || x.record.Attempts == 0 || !x.charges():
	case x.booking.elsewhere || x.makesBatch() && x.record.Outcome == "ok":
		x.bill.pending = true
	case x.bill.used.Reported:
	case x.rt.op == opLive:
		// Music never tells what it used; where nobody has spoken there was nothing.
		l, session := x.conv.(*liveSession)
		x.bill.unpriced = strings.HasSuffix(x.call.Path, liveMusic) || session && l.watch.usage.over
	case x.record.Outcome == "ok":
		x.guess()
	}
}

// spent is what the request used, all of its attempts together, and what that costs;
// -1 for what is not known. What costs nothing is known to be 0.
func (x *exchange) spent() (tokens, nano int64) {
	b := &x.bill
	switch {
	case b.pending:
		return -1, -1
	case b.unpriced || x.unknownCost():
		nano = -1
	default:
		nano = b.cost
	}
	if tokens = b.used.Input() + b.used.Output(); tokens == 0 && b.unpriced {
		tokens = -1
	}
	return tokens, nano
}

// charges reports whether Google charges for what the request asks, now or when it is
// done. Counting, lists, files and polling are free.
func (x *exchange) charges() bool {
	switch x.rt.op {
	case opChat, opCompletions, opResponses, opEmbeddings, opImages, opImageEdits, opSpeech, opTranscriptions, opTranslations,
		opMessages, opInteract, opLive, opMake:
		return true
	case opNative:
		return !x.counts()
	default:
		return false
	}
}

// unknownCost reports whether the request made something whose price nobody tells:
// a cache is paid by the hour, and indexing by the tokens that Google finds.
// Source: specs/gateways.md §1E.
func (x *exchange) unknownCost() bool {
	if x.record.Outcome != "ok" || x.record.Attempts == 0 || x.r.Method == "GET" || x.r.Method == "DELETE" {
		return false
	}
	switch kind, _, _ := strings.Cut(x.rt.name, "/"); x.rt.op {
	case opCollection, opResource:
		return kind == "cachedContents" || x.rt.verb == "importFile"
	case opUpload:
		return strings.HasSuffix(x.rt.name, "uploadToFileSearchStore") || x.rt.verb == "uploadToFileSearchStore"
	default:
		return false
	}
}
