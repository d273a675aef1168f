// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// Why the gateway ended an attempt itself.
var (
	errTotal       = &ending{"the request took longer than timeouts.total", context.DeadlineExceeded}
	errFirstOutput = &ending{"no output within timeouts.first_output", context.Canceled}
	errIdle        = &ending{"the stream was silent for longer than timeouts.idle", context.Canceled}
)

const (
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

// attempt asks Google once with the leased key.
func (x *exchange) attempt(lease *balancer.Lease) (res result) {
	started := time.Now()
	x.record.Attempts++
	dog := newWatchdog(x.ctx, x.firstOutput(), started)
	defer dog.end(context.Canceled)

	defer func() { x.observe(lease, res.outcome, started) }()
	request := x.request(lease)
	answer, err := x.g.Upstream.Do(dog, &request)
	x.retained = x.retained || request.Retained
	return x.receive(answer, err, dog, lease)
}

// request is what an attempt sends.
func (x *exchange) request(lease *balancer.Lease) upstream.Request {
	return upstream.Request{
		Method: x.call.Method, Path: x.call.Path, Query: x.call.Query, Type: x.call.Type,
		Header: x.forwarded(), Body: x.call.Body, Pieces: x.call.Pieces, Secret: lease.Secret(), Proxy: lease.Proxy(),
	}
}

// receive takes the answer of an attempt, or the error that came instead.
func (x *exchange) receive(answer *http.Response, err error, dog *watchdog, lease *balancer.Lease) result {
	x.carry()
	x.leased(lease)
	x.bound = lease.Binding()
	x.conv.Begin()
	if err != nil {
		return x.broken(dog, err, false)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		lease.Accepted()
	}
	switch {
	case answer.StatusCode != http.StatusOK:
		body, _ := io.ReadAll(io.LimitReader(answer.Body, maxErrorBody))
		return x.refused(answer.StatusCode, answer.Header, body, lease.Secret())
	case x.call.Stream == translate.Unary:
		return x.priced(x.whole(answer, dog, lease.Secret()))
	default:
		return x.priced(x.stream(answer, dog, lease.Secret()))
	}
}

// observe reports a finished attempt.
func (x *exchange) observe(lease *balancer.Lease, o balancer.Outcome, started time.Time) {
	x.attempted(x.record.Attempts, lease, o, started, false)
	x.ended(&o)
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
func (x *exchange) whole(answer *http.Response, dog *watchdog, secret string) result {
	x.room = answerRoom{gate: x.g.Gate, dog: dog, idle: x.site().timeouts.Idle}
	defer x.room.Leave()
	body, err := x.readAll(answer, dog)
	if err != nil {
		return x.broken(dog, err, true)
	}
	if err := x.g.Gate.await(dog, len(body)); err != nil {
		return x.broken(dog, err, true)
	}
	scratch := takeScratch(len(body) + 512)
	defer scratch.giveBack(nil)
	out, err := x.converted(scratch.b[:0], body)
	if err != nil {
		return x.unusable(err, secret)
	}
	if x.aboutModels() {
		x.g.lists.keep(x.call, body)
		x.g.Catalog.Learn(body, time.Now())
	}
	x.record.FirstOutput = time.Since(x.accepted)
	x.release()
	if err := x.out.answer(translate.Answer{Status: http.StatusOK, ContentType: x.conv.ContentType(), Body: out}); err != nil {
		return x.gone()
	}
	return result{outcome: x.success()}
}

// converted appends what the client gets for a whole answer, whose turn it is.
func (x *exchange) converted(dst, body []byte) ([]byte, error) {
	defer x.g.Gate.over(len(body))
	return x.conv.Response(dst, body)
}

// stream converts event after event. Events that arrived together leave in one
// write; none waits for another that has not come.
func (x *exchange) stream(answer *http.Response, dog *watchdog, secret string) result {
	frames := newFrames(x.call.Stream, answer.Body)
	defer frames.Release()
	x.room = answerRoom{gate: x.g.Gate, dog: dog, idle: x.site().timeouts.Idle}
	defer x.room.Leave()
	frames.Within(&x.room)
	scratch := takeScratch(0)
	pending := scratch.b[:0]
	defer func() { scratch.giveBack(pending) }()
	for {
		raw, data, err := frames.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			// A reset after the finishing event loses nothing: the converter knows.
			if whole, endErr := x.conv.End(pending); dog.Err() == nil && endErr == nil {
				return x.finish(whole)
			}
			if x.out.committed() {
				_ = x.flush(pending)
			}
			return x.broken(dog, err, true)
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
		if frames.Ready() && len(pending) < maxPending {
			continue
		}
		now := time.Now()
		dog.feed(x.site().timeouts.Idle, now)
		if err := x.flushAt(now, pending); err != nil {
			return x.gone()
		}
		if pending = pending[:0]; cap(pending) > maxPending { // of a large event
			pending = scratch.b[:0]
		}
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
func (x *exchange) flush(pending []byte) error { return x.flushAt(time.Now(), pending) }

// flushAt is flush for those who know what time it is.
func (x *exchange) flushAt(now time.Time, pending []byte) error {
	if len(pending) == 0 {
		return nil
	}
	if x.record.FirstOutput == 0 {
		x.record.FirstOutput = now.Sub(x.accepted)
		x.release()
	}
	return x.out.output(pending, x.conv.ContentType(), now)
}

// releasable is from how many bytes on it is worth to let go of a body.
const releasable = 256 << 10

// release lets go of a large request when the answer begins: no other attempt
// follows, but the answer may take minutes.
func (x *exchange) release() {
	conv, ok := x.conv.(translate.Released)
	if !ok || len(x.body) < releasable && x.media == nil {
		return
	}
	conv.Release()
	x.body, x.media = nil, nil
	if x.call.Stream != translate.Unary {
		x.lent = nil // the collector has it sooner than the end of the stream
	}
	if x.lent != nil { // held until it is given back, however slowly the client reads
		return
	}
	x.unhold()
}

func (x *exchange) success() balancer.Outcome {
	u := x.conv.Usage()
	return balancer.Outcome{Verdict: balancer.OK, Status: http.StatusOK, Input: u.Input(), Tokens: u.Input() + u.Output()}
}

// refused is the end of an attempt that Google answered with an error status.
func (x *exchange) refused(status int, header http.Header, body []byte, secret string) result {
	o := upstream.Classify(upstream.Answer{
		Status: status, Header: header, Body: body, Model: x.call.Model, Now: time.Now(), Secret: secret,
	})
	x.schemaRefused = upstream.RefusesSchema(o, body)
	x.record.Code = googleWord(status, body)
	f := upstream.Failure(o, body)
	// What looks like a key is gone already; this one may look like anything.
	f.Message = upstream.Redact(f.Message, secret)
	switch {
	case x.rt.dialect == Gemini && versionLacks(f):
		// It says nothing of the project, whatever it looks like.
		o = balancer.Outcome{Verdict: balancer.BadRequest, Status: o.Status, Reason: o.Reason}
	case o.Verdict == balancer.ForeignResource:
		x.missing(f)
	}
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
	case x.stopped.Load():
		return stopping()
	case errors.Is(cause, errTotal) || errors.Is(cause, errFirstOutput) || errors.Is(cause, errIdle):
		o := balancer.Outcome{Verdict: balancer.UpstreamTimeout, Reason: cause.Error()}
		if !errors.Is(cause, errTotal) {
			o.Retry = balancer.RetryOnce
		}
		return result{o, &translate.Failure{Kind: translate.Timeout, Message: "Gemini did not answer in time: " + cause.Error() + "."}}
	}
	o := upstream.ClassifyError(err)
	f := upstream.Failure(o, nil)
	switch {
	case errors.Is(err, sse.ErrTooLarge):
		f.Kind, f.Message = translate.MalformedAnswer, "Gemini sent a piece of its answer that is too large to pass on."
		o = balancer.Outcome{Verdict: balancer.Unusable, Status: http.StatusOK, Reason: err.Error()}
	case answered:
		f.Kind, f.Message = translate.Truncated, "The connection to Gemini broke before the answer was complete."
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

// newFrames reads an answer in the framing that was asked for.
func newFrames(s translate.Stream, body io.Reader) sse.Frames {
	if s == translate.JSONArray {
		return sse.NewArrayReader(body)
	}
	return sse.NewReader(body)
}

// readAll reads a whole answer, in one piece where its length is known, and waits for
// room where it is large.
func (x *exchange) readAll(answer *http.Response, dog *watchdog) ([]byte, error) {
	size := answer.ContentLength
	if size > maxAnswer {
		return nil, fmt.Errorf("an answer of %d bytes is larger than %d", size, maxAnswer)
	}
	if size < 0 { // unknown
		size = 4095
	}
	if err := x.room.Take(size); err != nil {
		return nil, err
	}
	buf := make([]byte, 0, size+1) // one more, so that the end is seen without growing
	for {
		n, err := answer.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		dog.feed(x.room.idle, time.Now())
		if err != nil {
			return nil, err
		}
		if len(buf) > maxAnswer {
			return nil, fmt.Errorf("an answer is larger than %d bytes", maxAnswer)
		}
		if len(buf) == cap(buf) {
			if err := x.room.Take(2 * int64(len(buf))); err != nil {
				return nil, err
			}
			buf = slices.Grow(buf, len(buf))
		}
	}
}
