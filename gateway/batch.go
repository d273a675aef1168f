// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"slices"
	"sync"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// batchWidth is how many calls of one request run side by side.
const batchWidth = 4

// batch makes the calls of one request, each with keys and attempts of its own,
// and answers with all answers joined. One call that fails for good fails the
// request, unless the dialect can do with less.
func (x *exchange) batch(b translate.Batch) *translate.Failure {
	x.retained = true // by parts, which know it of themselves
	calls := b.Calls()
	parts := make([]*batchPart, len(calls))
	var wg sync.WaitGroup
	var reporting sync.Mutex
	slots := make(chan struct{}, batchWidth)
	for i, call := range calls {
		parts[i] = &batchPart{Exchange: b, batch: b, index: i, call: call}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			defer func() { parts[i].panicked = recover() }() // net/http looks after our own goroutine only
			parts[i].run(x, &reporting)
		})
	}
	wg.Wait()

	answers := make([][]byte, len(parts))
	var failed *translate.Failure
	good := 0
	for i, p := range parts {
		if p.panicked != nil {
			panic(p.panicked)
		}
		x.adopt(&p.record)
		x.bill.join(&p.bill)
		if p.failure == nil {
			answers[i] = p.answer
			good++
		} else if failed == nil {
			failed, x.short = p.failure, p.short
		}
	}
	if failed != nil && (good == 0 || !b.Partial()) {
		refused := slices.ContainsFunc(parts, func(p *batchPart) bool { return p.schemaRefused })
		x.each(parts)
		if refused && x.ctx.Err() == nil && x.relax() {
			return x.batch(b)
		}
		return failed
	}
	x.each(parts)
	body, err := b.Join(nil, answers)
	if err != nil {
		return failure(err)
	}
	if err := x.out.answer(translate.Answer{Status: http.StatusOK, ContentType: b.ContentType(), Body: body}); err != nil {
		return x.gone().failure
	}
	return nil
}

// batchPart is one call of a batch, in the shape of an exchange whose answer is
// kept instead of sent. It implements translate.Exchange.
type batchPart struct {
	translate.Exchange // words errors for all parts
	batch              translate.Batch
	index              int
	call               *translate.Call
	answer             []byte
	failure            *translate.Failure
	record             usage.Record // what its attempts came to
	bill               bill
	schemaRefused      bool
	short              balancer.UnavailableReason
	panicked           any
}

// run makes the call. Its exchange shares nothing that is written with x.
func (p *batchPart) run(x *exchange, reporting *sync.Mutex) {
	part := &exchange{
		g: x.g, r: x.r, rt: x.rt, accepted: x.accepted, ctx: x.ctx, account: x.account,
		conv: p, call: p.call, record: x.record, siblings: reporting, refs: x.refs,
		out: newClientWriter(discard{}),
	}
	part.record.Attempts, part.record.Tries = 0, nil
	p.failure = part.attempts()
	p.schemaRefused, p.short = part.schemaRefused, part.short
	p.record, p.bill = part.record, part.bill
}

// Call implements translate.Exchange.
func (p *batchPart) Call() *translate.Call { return p.call }

// Begin implements translate.Exchange; a part keeps no state between attempts.
func (p *batchPart) Begin() {}

// Unsign implements translate.Exchange: parts are not mended.
func (p *batchPart) Unsign() bool { return false }

// Usage implements translate.Exchange; the batch knows it after Join.
func (p *batchPart) Usage() gemini.Usage { return gemini.Usage{} }

// Summary implements translate.Summarized. The answer is read for it, so it costs those
// alone who ask.
func (p *batchPart) Summary() *gemini.Summary {
	var answer gemini.Response
	_ = answer.Decode(p.answer) // what was checked, or nothing
	return &answer.Summary
}

// Response implements translate.Exchange: the answer is kept as it came.
func (p *batchPart) Response(dst, body []byte) ([]byte, error) {
	if err := p.batch.Check(p.index, body); err != nil {
		return dst, err
	}
	p.answer = body
	return dst, nil
}

// discard is the client of a part.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}
