// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// hedge makes the attempts of a request that may be asked of a second project when
// the first is slow: once, after the time that 19 of 20 requests for the model took
// at most. Whose output is there first wins; the other is cancelled, and nobody is
// blamed for it or charged with it.
//
// Only the reading of answers up to their first output runs side by side. All else,
// the conversion above all, is the exchange's goroutine alone.
// Source: specs/gateways.md §7.
type hedge struct {
	x       *exchange
	want    balancer.Want
	share   float64 // of all requests that may be asked of a second project
	used    bool    // a second project was asked
	guessed bool    // an attempt that told nothing is on the bill: of two, the user pays one
	running []*runner
	arrived chan *runner
}

// harmless are the tools that a request may declare and be asked twice all the
// same: what they do at Google's has no effect elsewhere. Those that are not here
// run code, fetch from strangers or call them, or are not known yet. Names are
// without case and underscores, because Google takes both spellings.
// Source: specs/native-anthropic.md A, Tool.
var harmless = map[string]bool{
	"functiondeclarations":  true, // the client runs them
	"computeruse":           true, // likewise
	"googlesearch":          true, // reads Google's own
	"googlesearchretrieval": true,
	"googlemaps":            true,
}

// maxHedged is the largest body that is sent twice, in bytes.
const maxHedged = 1 << 20

// hedgeable reports what is known of that without a look at the request's body:
// texts that any project can write, not media, which take their time and cost
// much. Batches have no need of it: their calls run side by side already.
func (x *exchange) hedgeable(w *balancer.Want) bool {
	if x.rt.op == opImages || x.rt.op == opImageEdits || x.rt.op == opSpeech {
		return false
	}
	return x.call.Generate && !w.Unmetered && w.Bound == nil && w.Only == "" && x.siblings == nil &&
		!strings.Contains(x.call.Model, "-image") && !strings.Contains(x.call.Model, "-tts")
}

// repeatable reports whether the body asks for nothing that must not be done
// twice. What cannot be read is not repeated.
func repeatable(call *translate.Call) bool {
	if call.Length() > maxHedged {
		return false
	}
	body, err := rawjson.Parse(call.Whole())
	if err != nil {
		return false
	}
	for k, v := range body.Members() {
		switch spelled(k) {
		case "tools":
			for _, tool := range v.Elems() {
				for name, options := range tool.Members() {
					if !options.IsNull() && !harmless[spelled(name)] {
						return false
					}
				}
			}
		case "cachedcontent": // one project's, and it may have tools
			if !v.IsNull() {
				return false
			}
		case "generationconfig":
			for k, v := range v.Members() {
				for _, kind := range v.Elems() {
					if spelled(k) == "responsemodalities" && !kind.Is("TEXT") {
						return false
					}
				}
			}
		}
	}
	return true
}

// spelled is a name without what its spellings differ in.
func spelled(name rawjson.Value) string {
	return strings.ReplaceAll(strings.ToLower(name.Text()), "_", "")
}

// attempt is exchange.attempt with a second one beside it, if need be.
func (h *hedge) attempt(lease *balancer.Lease) result {
	h.arrived = make(chan *runner, 2)
	h.x.retained = true // by who is cancelled, until it hears of that
	defer h.cancel()
	h.start(lease)
	var late <-chan time.Time
	if after, known := h.x.g.pace.slow(h.pace()); known && !h.used {
		timer := time.NewTimer(after)
		defer timer.Stop()
		late = timer.C
	}
	for {
		select {
		case <-late:
			if second := h.second(lease); second != nil {
				h.used = true
				h.start(second)
			}
		case r := <-h.arrived:
			if r.output {
				h.won(r)
			}
			// Else the other one may do better, unless the request is at fault. That only
			// the first project is believed: the second may lack what the first has.
			if res := h.finish(r); res.failure == nil || h.x.out.committed() || len(h.running) == 0 || r.lease == lease && final(&res) {
				return res
			}
		}
	}
}

// final reports whether a failure is the request's, whoever is asked.
func final(res *result) bool {
	return res.outcome.Retry == balancer.RetryNever || res.outcome.Retry == balancer.RetrySame
}

func (h *hedge) pace() paced {
	return paced{h.x.call.Model, h.x.call.Stream != translate.Unary}
}

// patience is how long the first attempt's answer may have to wait for the lease of
// a second: not at all but for a pool that looks at new keys.
const patience = 5 * time.Millisecond

// unused is the end of a lease that nothing was sent with. The pool takes it for a
// request that Google refuses at the door: neither counted nor blamed.
var unused = balancer.Outcome{Verdict: balancer.BadRequest, Reason: "not needed"}

// second leases a key of another project, if the request and the budget allow it
// and one is free right now.
func (h *hedge) second(first *balancer.Lease) *balancer.Lease {
	g := h.x.g
	if !repeatable(h.x.call) || !g.budget.hedge(h.share) {
		return nil
	}
	want := h.want
	want.Wait = 0
	want.Affinity = 0 // the conversation stays where it is
	ctx, cancel := context.WithTimeout(h.x.ctx, patience)
	defer cancel()
	lease, err := g.Pool.Lease(ctx, want)
	if err == nil && lease.Project() != first.Project() {
		return lease
	}
	if err == nil {
		lease.Done(unused)
	}
	g.budget.unhedge()
	return nil
}

// runner is one of the attempts that run side by side.
type runner struct {
	lease   *balancer.Lease
	number  int // of the request's attempts
	second  bool
	started time.Time
	dog     *watchdog

	// Written before the runner arrives, and by nobody after it.
	answer   *http.Response // what was read of its body stands before the rest again
	err      error
	output   bool // answer has some
	panicked any
}

func (h *hedge) start(lease *balancer.Lease) {
	x := h.x
	x.record.Attempts++
	r := &runner{lease: lease, number: x.record.Attempts, second: len(h.running) > 0, started: time.Now()}
	r.dog = newWatchdog(x.ctx, x.firstOutput(), r.started)
	h.running = append(h.running, r)
	request, stream := x.request(lease), x.call.Stream
	arrived := h.arrived
	go func() {
		defer func() {
			r.panicked = recover() // net/http looks after the exchange's goroutine only
			arrived <- r
		}()
		r.run(x.g.Upstream, &request, stream)
	}()
}

// errLost is why an attempt was cancelled that another one was faster than.
var errLost = &ending{"another project answered first", context.Canceled}

// run asks Google and reads the answer up to its first output, or to the end of an
// error. It touches nothing of the exchange.
func (r *runner) run(google *upstream.Client, request *upstream.Request, stream translate.Stream) {
	if r.answer, r.err = google.Do(r.dog, request); r.err != nil { //nolint:bodyclose // by who takes the answer, or below
		return
	}
	var seen bytes.Buffer
	body := r.answer.Body
	switch {
	case r.answer.StatusCode != http.StatusOK:
		_, _ = io.CopyN(&seen, body, maxErrorBody)
	case stream == translate.Unary:
		n, _ := io.CopyN(&seen, body, 1)
		r.output = n > 0
	default:
		frames := newFrames(stream, io.TeeReader(body, &seen))
		r.output = hasOutput(frames)
		frames.Release()
	}
	// An error of the body is met again by whoever reads on.
	r.answer.Body = resumed{io.MultiReader(&seen, body), body}
	if r.dog.cause() == errLost { //nolint:errorlint // the very value
		_ = body.Close() // nobody else will
	}
}

// resumed is a body, some of which was read before.
type resumed struct {
	io.Reader
	io.Closer
}

// hasOutput reads a stream up to its first output. Events without any do not win;
// what is no answer at all ends the reading, for others to judge.
func hasOutput(frames sse.Frames) bool {
	var answer gemini.Response
	for {
		_, data, err := frames.Next()
		switch {
		case err != nil:
			return false
		case len(data) == 0:
			continue
		case answer.Decode(data) != nil || answer.Error != nil:
			return false
		case answer.BlockReason != nil:
			return true
		}
		for i := range answer.Candidates {
			c := &answer.Candidates[i]
			said := func(p gemini.Part) bool { return !p.Text.IsEmptyString() }
			if c.FinishReason != nil || slices.ContainsFunc(c.Parts, said) {
				return true
			}
		}
	}
}

// won ends the attempts that r was faster than.
func (h *hedge) won(r *runner) {
	pace := &h.x.g.pace
	pace.add(h.pace(), time.Since(r.started))
	for _, other := range h.running {
		if other != r && other.number < r.number {
			pace.add(h.pace(), time.Since(other.started)) // slow it was, however much longer it had taken
		}
	}
	h.running = slices.DeleteFunc(h.running, func(other *runner) bool {
		if other == r {
			return false
		}
		h.end(other, lost)
		return true
	})
}

// lost is the end of an attempt that is not needed any more.
var lost = balancer.Outcome{Verdict: balancer.Canceled, Reason: "another attempt of the request ended first"}

// finish converts what a runner brought, as any other attempt's answer.
func (h *hedge) finish(r *runner) (res result) {
	res.outcome = balancer.Outcome{Verdict: balancer.Unusable, Reason: "the gateway failed"}
	h.running = slices.DeleteFunc(h.running, func(other *runner) bool { return other == r })
	defer func() { h.end(r, res.outcome) }()
	if r.panicked != nil {
		panic(r.panicked)
	}
	return h.x.receive(r.answer, r.err, r.dog, r.lease)
}

// cancel ends the attempts that are left.
func (h *hedge) cancel() {
	for _, r := range h.running {
		h.end(r, lost)
	}
	h.running = nil
	select {
	case r := <-h.arrived: // at the same time as another
		if r.answer != nil {
			_ = r.answer.Body.Close()
		}
	default:
	}
}

// end stops an attempt, reports it and gives its lease back.
func (h *hedge) end(r *runner, o balancer.Outcome) {
	r.dog.end(errLost)
	h.x.attempted(r.number, r.lease, o, r.started, r.second)
	if o.Reason != lost.Reason && !h.guessed {
		h.guessed = h.x.ended(&o)
	}
	r.lease.Done(o)
}
