// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// Observer hears of what happened, once it is over. Its methods are called by one
// goroutine of a request at a time and must not block.
type Observer interface {
	// Waited reports that a request waited for a Gemini key, in vain or not. It is not
	// called for those that got one at once.
	Waited(ctx context.Context, w Wait)
	// Attempted reports one finished attempt.
	Attempted(ctx context.Context, a Attempt)
	// Refused reports that a request was turned away without an answer of Google's: by
	// its user key's limits, or for want of a Gemini key. Served follows.
	Refused(ctx context.Context, r Refusal)
	// Served reports a finished request, refused ones included. The record does not change
	// any more, and nobody may change it.
	Served(ctx context.Context, r *usage.Record)
}

// Wait is the time that a request waited for a Gemini key.
type Wait struct {
	RequestID string
	Model     string
	Started   time.Time
	Duration  time.Duration
	Failed    bool // no key came
}

// waitsFrom is from how long on the time until a lease is a wait.
const waitsFrom = time.Millisecond

// Refusal is why a request was turned away.
type Refusal struct {
	UserID, UserName string // of the user key; "" for anonymous
	Model            string // that was asked, "" for none
	// Reason is the limit of the user key, as rpm, budget.day or models, or what there
	// is with the pool, as all_resting.
	Reason     string
	Pool       bool          // the latter
	Budget     bool          // a budget of the user key is used up
	RetryAfter time.Duration // 0 where time does not help
}

// Open counts what is under way, of all sites together. The zero value is ready. Safe
// for concurrent use.
type Open struct {
	Streams  atomic.Int64 // answers that are streamed, those included that wait for their first output
	Sessions atomic.Int64 // Live sessions
}

// Attempt is one upstream request, for observers, who must not keep it.
type Attempt struct {
	RequestID string
	Number    int // from 1
	KeyID     string
	Model     string
	Outcome   balancer.Outcome
	Started   time.Time
	Duration  time.Duration
	Hedge     bool // it was made because another one was slow

	x       *exchange
	serving bool // what the exchange knows of an answer is of this attempt
}

// Lost reports whether another attempt of the request was faster.
func (a *Attempt) Lost() bool { return a.Outcome.Reason == lost.Reason }

// Dialect is that of the client.
func (a *Attempt) Dialect() Dialect { return a.x.rt.dialect }

// Endpoint is the word for the client's endpoint, as in [usage.Record].
func (a *Attempt) Endpoint() string { return a.x.endpointWord() }

// Stream reports whether a stream was asked for.
func (a *Attempt) Stream() bool { return a.x.record.Stream }

// FirstOutput is how long the first output took, from the start of the attempt; 0 for
// none.
func (a *Attempt) FirstOutput() time.Duration {
	if a.x.record.FirstOutput == 0 || !a.serving {
		return 0
	}
	return max(0, a.x.record.FirstOutput-a.Started.Sub(a.x.accepted))
}

// Usage is what Google reported to have used.
func (a *Attempt) Usage() (u gemini.Usage) {
	if a.serving && a.x.conv != nil {
		u = a.x.conv.Usage()
	}
	return u
}

// Summary is what Google said of its answer; its zero value where it said nothing.
func (a *Attempt) Summary() *gemini.Summary {
	if conv, ok := a.x.conv.(translate.Summarized); ok && a.serving {
		return conv.Summary()
	}
	return &gemini.Summary{}
}

// Parameters are what a request sets of how a model writes; nil where it does not.
type Parameters struct {
	MaxTokens, TopK, Seed, Candidates                    *int64
	Temperature, TopP, FrequencyPenalty, PresencePenalty *float64
	Stop                                                 []string
}

// maxParameters is up to how many bytes a request is read for its parameters.
const maxParameters = 64 << 10

// Parameters are those that Google was sent. They are read from the request, so ask
// for them only where somebody wants to know; large requests tell nothing.
func (a *Attempt) Parameters() (p Parameters) {
	call := a.x.call
	if call == nil || !call.Generate || call.Length() > maxParameters {
		return p
	}
	body, err := rawjson.Parse(call.Whole())
	if err != nil {
		return p
	}
	for k, v := range body.Members() {
		if spelled(k) == "generationconfig" {
			p.read(v)
		}
	}
	return p
}

func (p *Parameters) read(config rawjson.Value) {
	ints := map[string]**int64{"maxoutputtokens": &p.MaxTokens, "topk": &p.TopK, "seed": &p.Seed, "candidatecount": &p.Candidates}
	floats := map[string]**float64{
		"temperature": &p.Temperature, "topp": &p.TopP, "frequencypenalty": &p.FrequencyPenalty, "presencepenalty": &p.PresencePenalty,
	}
	for k, v := range config.Members() {
		name := spelled(k)
		if into := ints[name]; into != nil {
			if n, ok := v.Int(); ok {
				*into = &n
			}
		} else if into := floats[name]; into != nil {
			if n, ok := v.Float(); ok {
				*into = &n
			}
		} else if name == "stopsequences" {
			for _, s := range v.Elems() {
				p.Stop = append(p.Stop, s.Text())
			}
		}
	}
}

// report lets the observer hear of something, if there is one. The calls of a batch
// take turns.
func (x *exchange) report(tell func(Observer)) {
	if x.g.Observer == nil {
		return
	}
	if x.siblings != nil {
		x.siblings.Lock()
		defer x.siblings.Unlock()
	}
	tell(x.g.Observer)
}

// attempted reports the end of an attempt.
func (x *exchange) attempted(number int, lease *balancer.Lease, o balancer.Outcome, started time.Time, hedged bool) {
	x.tried(lease, &o, started)
	x.report(func(to Observer) {
		a := Attempt{
			RequestID: x.record.RequestID, Number: number, KeyID: lease.KeyID(), Model: x.call.Model, Outcome: o,
			Started: started, Duration: time.Since(started), Hedge: hedged, x: x,
		}
		a.serving = !a.Lost()
		to.Attempted(x.r.Context(), a)
	})
}

// waited books the time until a lease came, or did not.
func (x *exchange) waited(since time.Time, failed bool) {
	took := time.Since(since)
	x.record.Waited += took
	if took >= waitsFrom {
		x.report(func(to Observer) {
			to.Waited(x.r.Context(), Wait{RequestID: x.record.RequestID, Model: x.call.Model, Started: since, Duration: took, Failed: failed})
		})
	}
}

// turnedAway reports that the request is refused without an answer of Google's, if it
// is.
func (x *exchange) turnedAway(f *translate.Failure) {
	if f.Limit == "" && x.short == "" {
		return
	}
	r := Refusal{Reason: f.Limit, RetryAfter: f.RetryAfter, UserID: x.record.UserID, Model: x.record.Model, Budget: f.Kind == translate.BudgetSpent}
	if f.Limit == "" {
		r.Reason, r.Pool = string(x.short), true
	}
	if x.account != nil {
		r.UserName = x.account.Key().Name
	}
	x.report(func(to Observer) { to.Refused(x.r.Context(), r) })
}
