// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// Why the gateway ended an attempt itself.
var (
	errTotal       = errors.New("the request took longer than timeouts.total")
	errFirstOutput = errors.New("no output within timeouts.first_output")
	errIdle        = errors.New("the stream was silent for longer than timeouts.idle")
)

const (
	// window bounds how long a request may move from refusing key to refusing
	// key. Each such move takes a key out of the pool, so it ends by itself; this
	// only keeps a client from waiting for a thousand dead keys.
	window = 60 * time.Second
	// maxErrorBody is how much of an error answer is read.
	maxErrorBody = 64 << 10
	// maxAnswer bounds a whole answer that is held in memory.
	maxAnswer = 256 << 20
	// maxPending is how much output may be joined before it is written.
	maxPending = 64 << 10
)

// result is how an attempt ended.
type result struct {
	outcome balancer.Outcome
	failure *translate.Failure // nil after success
}

// serve answers from the first target of the model's alias that can.
func (x *exchange) serve() *translate.Failure {
	defer x.out.stop()
	if x.call.Stream != translate.Unary {
		x.out.heartbeat(x.g.Heartbeat, x.conv.Heartbeat(), x.conv.ContentType())
	}
	x.g.budget.request()
	for {
		f := x.ask()
		if f == nil || x.out.committed() || !x.fallBack(f) {
			return f
		}
	}
}

// ask gets the answer in as many calls as it takes.
func (x *exchange) ask() *translate.Failure {
	if b, ok := x.conv.(translate.Batch); ok && len(b.Calls()) > 1 {
		return x.batch(b)
	}
	return x.attempts()
}

// fallBack turns to the next target of the model's alias, where the failure is
// one that another model may not have: this one is missing, not in the keys'
// tiers, overloaded, or has no quota left.
func (x *exchange) fallBack(f *translate.Failure) bool {
	switch f.Kind {
	case translate.ModelNotFound, translate.Overloaded, translate.RateLimited, translate.QuotaExhausted:
	default:
		return false
	}
	for targets := x.g.aliases[x.call.Asked]; x.target+1 < len(targets); {
		x.target++
		if x.convert() == nil {
			return true
		} // else this model cannot take the request; the next may
	}
	return false
}

// attempts leases keys until one answers or nothing is left to try. The failure
// it returns has not been told to the client yet.
func (x *exchange) attempts() *translate.Failure {
	retry := x.g.Settings.Current().Retry
	want := balancer.Want{Model: x.call.Model, Tried: new(balancer.Tried), Wait: retry.Wait}
	if x.account != nil {
		key := x.account.Key()
		want.Tags, want.PaidOnly = key.Tags, key.PaidOnly
	}
	var last *translate.Failure
	for moves := (retries{limit: retry.Attempts}); ; {
		lease, err := x.lease(want, &moves)
		if err != nil {
			return x.unavailable(err, last)
		}
		res := x.attempt(lease)
		lease.Done(res.outcome)
		if last = res.failure; last == nil || x.out.committed() || !x.again(&moves, res.outcome, retry) {
			return last
		}
		want.Wait = max(0, retry.Wait-time.Since(x.accepted))
	}
}

// lease gets the right to one attempt. Once every key was tried, it starts
// another round: those that were to blame rest now and are worth waiting for, the
// others may be asked again.
func (x *exchange) lease(want balancer.Want, moves *retries) (*balancer.Lease, error) {
	lease, err := x.g.Pool.Lease(x.ctx, want)
	if u, ok := errors.AsType[*balancer.Unavailable](err); ok && u.Reason == balancer.AllTried && moves.rounds < moves.limit {
		moves.rounds++
		*want.Tried = balancer.Tried{}
		return x.g.Pool.Lease(x.ctx, want)
	}
	return lease, err
}

// retries counts what a request has already tried.
type retries struct {
	limit    int // attempts whose failure was not a key's own verdict
	counted  int
	unsigned bool
	rounds   int // times that every key was tried
}

// again reports whether the request may be tried once more, and waits where it
// must. Retries after a key's own verdict (dead, out of quota) are free: the key
// is out of the pool now. All others count against the attempts and the budget,
// because they add load to a Google in trouble.
func (x *exchange) again(moves *retries, o balancer.Outcome, retry settings.Retry) bool {
	if x.ctx.Err() != nil || time.Since(x.accepted) > max(window, retry.Wait) {
		return false
	}
	switch o.Retry {
	case balancer.RetryOther:
		return true
	case balancer.RetrySame:
		if moves.unsigned || !x.conv.Unsign() {
			return false
		}
		moves.unsigned, x.call = true, x.conv.Call()
		return true
	case balancer.RetryOnce, balancer.RetryBackoff:
		moves.counted++
		if moves.counted >= moves.limit || o.Retry == balancer.RetryOnce && moves.counted > 1 || !x.g.budget.take(retry.Budget) {
			return false
		}
		if o.Retry == balancer.RetryBackoff {
			return pause(x.ctx, moves.counted)
		}
		return true
	default:
		return false
	}
}

// pause waits before the n-th repetition: 250 ms · 2ⁿ⁻¹ with full jitter, 4 s at
// most. It reports false if the request ended meanwhile.
func pause(ctx context.Context, n int) bool {
	d := rand.N(min(250*time.Millisecond<<min(n-1, 8), 4*time.Second))
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt asks Google once with the leased key.
func (x *exchange) attempt(lease *balancer.Lease) (res result) {
	started := time.Now()
	x.record.Attempts++
	x.record.KeyID = lease.KeyID()
	x.conv.Begin()
	ctx, cancel := context.WithCancelCause(x.ctx)
	defer cancel(nil)
	dog := newWatchdog(x.g.Timeouts.FirstOutput, cancel)
	defer dog.stop()

	defer func() { x.observe(res.outcome, time.Since(started)) }()
	answer, err := x.g.Upstream.Do(ctx, &upstream.Request{
		Method: x.call.Method, Path: x.call.Path, Query: x.call.Query, Type: x.call.Type,
		Header: x.forwarded(), Body: x.call.Body, Secret: lease.Secret(), Proxy: lease.Proxy(),
	})
	if err != nil {
		return x.broken(ctx, err, false)
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode != http.StatusOK:
		body, _ := io.ReadAll(io.LimitReader(answer.Body, maxErrorBody))
		return x.refused(answer.StatusCode, answer.Header, body, lease.Secret())
	case x.call.Stream == translate.Unary:
		return x.whole(ctx, answer, lease.Secret())
	default:
		return x.stream(ctx, answer, dog, lease.Secret())
	}
}

// observe reports a finished attempt.
func (x *exchange) observe(o balancer.Outcome, took time.Duration) {
	if x.g.Observer == nil {
		return
	}
	if x.siblings != nil { // observers expect one goroutine per request
		x.siblings.Lock()
		defer x.siblings.Unlock()
	}
	x.g.Observer.Attempted(x.r.Context(), Attempt{
		RequestID: x.record.RequestID, Number: x.record.Attempts, KeyID: x.record.KeyID,
		Model: x.call.Model, Outcome: o, Duration: took,
	})
}

// forwarded are the client's headers that may go upstream on native routes.
// Source: specs/native-anthropic.md A.4; everything else stays here.
func (x *exchange) forwarded() http.Header {
	if x.rt.dialect != Gemini {
		return nil
	}
	h := http.Header{}
	for _, name := range []string{"X-Goog-Api-Client", "X-Server-Timeout"} {
		if v := x.r.Header[name]; len(v) > 0 {
			h[name] = v[:1]
		}
	}
	return h
}

// whole handles an answer that comes in one piece.
func (x *exchange) whole(ctx context.Context, answer *http.Response, secret string) result {
	body, err := readAll(answer)
	if err != nil {
		return x.broken(ctx, err, true)
	}
	out, err := x.conv.Response(make([]byte, 0, len(body)+512), body)
	if err != nil {
		return x.unusable(err, secret)
	}
	x.record.FirstOutput = time.Since(x.accepted)
	if err := x.out.answer(translate.Answer{Status: http.StatusOK, ContentType: x.conv.ContentType(), Body: out}); err != nil {
		return x.gone()
	}
	return result{outcome: x.success()}
}

// stream converts event after event. Events that arrived together leave in one
// write; none waits for another that has not come.
func (x *exchange) stream(ctx context.Context, answer *http.Response, dog *watchdog, secret string) result {
	frames := newFrames(x.call.Stream, answer.Body)
	defer frames.Release()
	var pending []byte
	for {
		raw, data, err := frames.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			// A reset after the finishing event loses nothing: the converter knows.
			if whole, endErr := x.conv.End(pending); ctx.Err() == nil && endErr == nil {
				return x.finish(whole)
			}
			if x.out.committed() {
				_ = x.flush(pending)
			}
			return x.broken(ctx, err, true)
		}
		pending, err = x.conv.Event(pending, translate.Frame{Raw: raw, Data: data})
		if err != nil {
			// What was converted but not written yet is forgotten, unless the client
			// already has the text before it.
			if x.out.committed() {
				_ = x.flush(pending)
			}
			return x.unusable(err, secret)
		}
		if len(pending) == 0 {
			continue
		}
		dog.feed(x.g.Timeouts.Idle)
		if frames.Ready() && len(pending) < maxPending {
			continue
		}
		if err := x.flush(pending); err != nil {
			return x.gone()
		}
		pending = pending[:0]
	}
	pending, err := x.conv.End(pending)
	if err != nil {
		if x.out.committed() {
			_ = x.flush(pending)
		}
		return x.unusable(err, secret)
	}
	return x.finish(pending)
}

// finish writes what ends a whole stream.
func (x *exchange) finish(pending []byte) result {
	if err := x.flush(pending); err != nil {
		return x.gone()
	}
	return result{outcome: x.success()}
}

// flush writes output; the first commits the answer.
func (x *exchange) flush(pending []byte) error {
	if len(pending) == 0 {
		return nil
	}
	if x.record.FirstOutput == 0 {
		x.record.FirstOutput = time.Since(x.accepted)
	}
	return x.out.output(pending, x.conv.ContentType())
}

func (x *exchange) success() balancer.Outcome {
	u := x.conv.Usage()
	return balancer.Outcome{Verdict: balancer.OK, Status: http.StatusOK, Tokens: u.Input() + u.Output()}
}

// refused is the end of an attempt that Google answered with an error status.
func (x *exchange) refused(status int, header http.Header, body []byte, secret string) result {
	o := upstream.Classify(upstream.Answer{
		Status: status, Header: header, Body: body, Model: x.call.Model, Now: time.Now(), Secret: secret,
	})
	f := upstream.Failure(o, body)
	// What looks like a key is gone already; this one may look like anything.
	f.Message = upstream.Redact(f.Message, secret)
	if len(f.Details) > 0 {
		f.Details = bytes.ReplaceAll(f.Details, []byte(secret), []byte("[redacted]"))
	}
	return result{o, f}
}

// unusable is the end of an attempt whose 200 was none.
func (x *exchange) unusable(err error, secret string) result {
	if e, ok := errors.AsType[*translate.UpstreamError](err); ok {
		// Without a status of its own, Classify finds one in the body.
		return x.refused(cmp.Or(e.Status, http.StatusOK), nil, e.Body, secret)
	}
	f := failure(err)
	o := balancer.Outcome{Verdict: balancer.Unusable, Status: http.StatusOK, Reason: f.Message}
	switch {
	case f.Code == "missing_thought_signature":
		o.Retry = balancer.RetrySame
	case f.Retry:
		o.Retry = balancer.RetryOnce
	}
	return result{o, f}
}

// broken is the end of an attempt without a whole answer: the client left, time
// ran out, or the network failed.
func (x *exchange) broken(ctx context.Context, err error, answered bool) result {
	cause := context.Cause(ctx)
	switch {
	case x.r.Context().Err() != nil:
		return x.gone()
	case errors.Is(cause, errTotal) || errors.Is(cause, errFirstOutput) || errors.Is(cause, errIdle):
		o := balancer.Outcome{Verdict: balancer.UpstreamTimeout, Reason: cause.Error()}
		if errors.Is(cause, errFirstOutput) {
			o.Retry = balancer.RetryOnce
		}
		return result{o, &translate.Failure{Kind: translate.Timeout, Message: "Gemini did not answer in time: " + cause.Error() + "."}}
	}
	o := upstream.ClassifyError(err)
	f := upstream.Failure(o, nil)
	if answered {
		f.Kind = translate.Truncated
		f.Message = "The connection to Gemini broke before the answer was complete."
	}
	return result{o, f}
}

// gone is the end of an attempt whose client no longer listens.
func (x *exchange) gone() result {
	x.record.Partial = true
	return result{
		balancer.Outcome{Verdict: balancer.Canceled, Reason: "the client went away"},
		&translate.Failure{Kind: translate.Canceled, Message: "The client closed the request."},
	}
}

// unavailable is what a client is told when no key can be leased. A failure that
// an attempt met says more than "nothing left to try".
func (x *exchange) unavailable(err error, last *translate.Failure) *translate.Failure {
	u, ok := errors.AsType[*balancer.Unavailable](err)
	if !ok {
		if x.r.Context().Err() != nil {
			return x.gone().failure
		}
		return &translate.Failure{Kind: translate.Timeout, Message: "No Gemini key became free in time: " + fmt.Sprint(context.Cause(x.ctx)) + "."}
	}
	f := &translate.Failure{Message: u.Message, RetryAfter: u.RetryAfter}
	switch u.Reason {
	case balancer.AllTried:
		if last != nil {
			return last
		}
		f.Kind = translate.Upstream
	case balancer.AllResting:
		if f.Kind = translate.RateLimited; last != nil && last.Kind == translate.Overloaded {
			f.Kind, f.Message = last.Kind, last.Message // they rest for the route's sake, not for a quota's
		}
	case balancer.AllExhausted:
		f.Kind = translate.QuotaExhausted
	case balancer.ModelUnavailable:
		if last != nil && last.Kind == translate.ModelNotFound {
			return last
		}
		f.Kind, f.Param = translate.ModelNotFound, "model"
	default:
		f.Kind = translate.NoKeys
	}
	return f
}

// refuse tells the client of a failure: as an error answer, or in-band where a
// heartbeat or output has already sent the header.
func (x *exchange) refuse(f *translate.Failure) {
	x.record.Outcome = outcomeName(f.Kind)
	if x.out.started() {
		x.abort(f)
		return
	}
	var a translate.Answer
	switch {
	case f.Kind == translate.Canceled:
		a = translate.Answer{Status: 499} // nobody reads it; the access log does
	case x.conv != nil:
		a = x.conv.Error(f)
	default:
		a = dialectError(x.rt.dialect, f)
	}
	setRetryAfter(x.out.w.Header(), f)
	_ = x.out.answer(a)
}

// abort ends a stream that has begun, without a success marker.
func (x *exchange) abort(f *translate.Failure) {
	x.record.Outcome, x.record.Partial = outcomeName(f.Kind), true
	if f.Kind == translate.Canceled {
		return
	}
	_ = x.out.output(x.conv.Abort(nil, f), x.conv.ContentType())
}

// outcomeName is the word for a failure in logs, metrics and books.
func outcomeName(k translate.Kind) string {
	return [...]string{
		"internal", "invalid_request", "unauthenticated", "forbidden", "model_not_found", "not_found", "unknown_url",
		"method_not_allowed", "too_large", "unsupported_media", "user_rate_limited", "rate_limited", "quota_exhausted",
		"no_keys", "location", "overloaded", "timeout", "upstream", "empty_answer", "malformed_answer", "truncated", "canceled",
	}[k]
}

// newFrames reads an answer in the framing that was asked for.
func newFrames(s translate.Stream, body io.Reader) sse.Frames {
	if s == translate.JSONArray {
		return sse.NewArrayReader(body)
	}
	return sse.NewReader(body)
}

// readAll reads a whole answer, in one piece where its length is known.
func readAll(answer *http.Response) ([]byte, error) {
	size := answer.ContentLength
	if size > maxAnswer {
		return nil, fmt.Errorf("an answer of %d bytes is larger than %d", size, maxAnswer)
	}
	buf := make([]byte, 0, max(size+1, 4096))
	for {
		n, err := answer.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
		if len(buf) > maxAnswer {
			return nil, fmt.Errorf("an answer is larger than %d bytes", maxAnswer)
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

func setRetryAfter(h http.Header, f *translate.Failure) {
	if f.RetryAfter <= 0 {
		return
	}
	seconds := int64((f.RetryAfter + time.Second - 1) / time.Second)
	h.Set("Retry-After", fmt.Sprint(seconds))
	h.Set("Retry-After-Ms", fmt.Sprint(f.RetryAfter.Milliseconds()))
}
