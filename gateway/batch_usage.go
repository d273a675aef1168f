// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"cmp"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// What a batch has used stands with its results: in the operation, or in a file, line
// by line. Whoever sees them first is charged, once.
// Source: specs/native-anthropic.md A.8.

// makesBatch reports whether the request begins a batch, whose results tell what they
// used; see collectBatch.
func (x *exchange) makesBatch() bool {
	return x.rt.op == opMake && (x.rt.verb == "batchGenerateContent" || x.rt.verb == "asyncBatchEmbedContent")
}

// collectBatch charges the results of a batch that has ended. Where they are in a file,
// its download does. One that failed or expired has cost nothing; one that was cancelled
// may have, which nobody tells: it stays at what was foretold.
func (x *exchange) collectBatch(operation rawjson.Value) {
	response := operation.Get("response")
	results := response.Get("inlinedResponses").Get("inlinedResponses")
	file := googleFile.FindStringSubmatch(cmp.Or(response.Get("responsesFile").Text(), operation.Get("metadata").Get("output").Get("responsesFile").Text()))
	code, failed := operation.Get("error").Get("code").Int()
	failed = failed && code != canceledCode && operation.Get("done").IsTrue()
	if results.Len() == 0 && file == nil && !failed {
		return
	}
	before, first := x.claim(x.rt.name)
	if !first {
		return
	}
	model := strings.TrimPrefix(operation.Get("metadata").Get("model").Text(), "models/")
	if !gemini.ValidModelID(model) {
		model = ""
	}
	if file != nil && results.Len() == 0 {
		res := x.newResource(file[1], endOf(operation))
		res.Charged, res.ChargedCost, res.ChargedAt, res.Model = &before.Tokens, before.Cost, before.At, model
		_ = x.put(res) // where that fails it is recorded without, by exchange.results
		return
	}
	x.booking.here, x.booking.before = true, before
	x.record.Model = cmp.Or(x.record.Model, model)
	x.bill.parts = true
	for _, one := range results.Elems() {
		x.bill.result(x.site().prices, model, one.Get("response"))
	}
}

// canceledCode is Google's for an operation that somebody cancelled.
const canceledCode = 1

// result charges one result of a batch; one that failed has no response.
func (b *bill) result(prices *usage.Prices, model string, response rawjson.Value) {
	var answer gemini.Response
	if answer.DecodeValue(response); answer.Usage.Reported {
		answer.Usage.Tier = gemini.BatchTier
		b.add(prices, model, answer.Usage, usage.Used{})
	}
}

// maxResult is how long a line of a file of results may be that is looked at. Longer
// ones have images; what they cost is not known then.
const maxResult = 8 << 20

// batchLines reads along with a download of results.
type batchLines struct {
	res    resource
	prices *usage.Prices
	line   []byte // the one that has begun
	long   bool   // it is too long
	bill   bill
}

// write takes the next bytes.
func (l *batchLines) write(p []byte) {
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n')
		rest := p[len(p):]
		if n >= 0 {
			p, rest = p[:n], p[n+1:]
		}
		if l.long = l.long || len(l.line)+len(p) > maxResult; !l.long {
			l.line = append(l.line, p...)
		}
		if n >= 0 {
			l.end()
		}
		p = rest
	}
}

// end ends a line.
func (l *batchLines) end() {
	if l.long {
		l.bill.unpriced = true
	} else if doc, err := rawjson.Parse(l.line); err == nil {
		l.bill.result(l.prices, l.res.Model, doc.Get("response"))
	}
	l.line, l.long = l.line[:0], false
}

// collectLines charges a file of results that has gone out whole.
func (x *exchange) collectLines() {
	l := x.lines
	if l.end(); x.out.err != nil {
		return
	}
	before, first := x.claim(l.res.Name)
	if !first {
		return
	}
	if x.taken != nil { // who made the batch has been charged with a part of it already
		x.taken.Cancel()
		x.taken = nil
	}
	x.booking.here, x.booking.before = true, before
	x.record.Model = cmp.Or(x.record.Model, l.res.Model)
	x.bill.parts = true
	x.bill.join(&l.bill)
}
