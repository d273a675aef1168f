// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/anthropic"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// Clients count tokens by dozens at once, the same ones over and over, and take an
// error for the end of the conversation. So counts cost no limit of the user key, and
// are made few at a time: no limit of the user key would bound what it asks Google.
// Anthropic's clients ask for equal ones over and over, so those are asked for once, and
// what Google cannot be asked is estimated. Source: specs/native-anthropic.md C.9.

const (
	countWidth   = 4                // counts and lists that one user key asks Google for at once
	countWaiting = 256              // … and has waiting for that; more are estimated or refused
	countFresh   = 10 * time.Minute // how long a count holds: a name may come to mean another model
	maxCounts    = 4096             // that are kept
)

// countPatience is how long a count may take. A client has something to show then.
const countPatience = 20 * time.Second

// counting is a question for a count whose answer others may be waiting for, too.
type counting struct {
	*anthropic.CountTokens
	answer []byte // the client's, once there is one
}

// Response implements translate.Exchange.
func (c *counting) Response(dst, body []byte) ([]byte, error) {
	from := len(dst)
	dst, err := c.CountTokens.Response(dst, body)
	if err == nil {
		c.answer = bytes.Clone(dst[from:])
	}
	return dst, err
}

// uncharged stands for admitting what costs nothing: lists, counts, polling, deletions.
// It takes nothing of a limit, so one that is used up does not matter.
func (x *exchange) uncharged() *translate.Failure {
	if x.account == nil {
		return nil
	}
	if refusal := x.account.Permits(x.accepted, string(x.rt.dialect), x.address()); refusal != nil {
		return refusedByLimits(refusal)
	}
	if model := x.modelName(); model != "" {
		if !x.account.Allows(model) {
			return x.forbidden(model)
		}
		x.tellLimits()
	}
	return nil
}

// forbidden is the answer to whoever asks a model that is not one of the user key's.
func (x *exchange) forbidden(model string) *translate.Failure {
	key := x.account.Key()
	return &translate.Failure{
		Kind: translate.Forbidden, Param: "model",
		Message: fmt.Sprintf("user key %s may not use model %q, only %s", key.ID, model, strings.Join(key.Models, ", ")),
	}
}

// count answers with a count, that of another request for the same if there is one.
func (x *exchange) count(c *counting) *translate.Failure {
	ctx, cancel := context.WithTimeoutCause(x.ctx, countPatience, errTotal)
	defer cancel()
	x.ctx = ctx
	key := x.countKey()
	for {
		answer, f := x.g.counts.ask(ctx, key, x.asker(), func() ([]byte, *translate.Failure) {
			f := x.attempts()
			return c.answer, f
		})
		switch {
		case x.r.Context().Err() != nil:
			return x.gone().failure
		case x.out.started():
			return f
		case f == nil:
			return x.send(answer)
		case f.Kind == translate.Canceled: // the client of another request, which asked for both
		case estimable[f.Kind]:
			return x.send(c.Estimate(nil))
		default:
			return f
		}
	}
}

// estimable are the failures that are no fault of the request, or of its model.
var estimable = map[translate.Kind]bool{
	translate.RateLimited: true, translate.QuotaExhausted: true, translate.NoKeys: true, translate.Location: true,
	translate.Overloaded: true, translate.Timeout: true, translate.Upstream: true, translate.EmptyAnswer: true,
	translate.MalformedAnswer: true, translate.Truncated: true,
}

// countKey is what two questions share that have the same answer. Users are kept
// apart, so that none learns what another asks.
type countKey [sha256.Size]byte

func (x *exchange) countKey() (key countKey) {
	h := sha256.New()
	for _, s := range []string{x.record.UserID, x.call.Path} {
		h.Write(append([]byte(s), 0))
	}
	_, _ = io.Copy(h, gemini.NewReader(x.call.Body, x.call.Pieces, 0)) // of memory: it cannot fail
	h.Sum(key[:0])
	return key
}

// counts reports whether the request counts tokens, which is free.
func (x *exchange) counts() bool {
	return x.rt.op == opCountTokens || x.rt.op == opInputTokens || x.rt.op == opNative && x.rt.verb == "countTokens"
}

// asker is whose places what is free takes: those of the user key, or of the address that
// an anonymous request comes from.
func (x *exchange) asker() string {
	if x.account == nil {
		return x.g.ClientIP(x.r).String()
	}
	return x.record.UserID
}

// inPlace makes attempts for what is free, when the user key has a place for them.
func (x *exchange) inPlace(attempts func() *translate.Failure) *translate.Failure {
	leave, f := x.g.counts.place(x.ctx, x.asker())
	if f != nil {
		if x.r.Context().Err() != nil {
			return x.gone().failure
		}
		return f
	}
	defer leave()
	return attempts()
}

// counts keeps counts and has each asked for once. The zero value is ready; safe
// for concurrent use.
type counts struct {
	mu     sync.Mutex
	known  map[countKey]counted
	asked  map[countKey]*asking
	queues map[string]*queue // by asker
}

type counted struct {
	answer []byte
	at     time.Time
}

// asking is one count on its way.
type asking struct {
	done    chan struct{} // closed when the others are set
	answer  []byte
	failure *translate.Failure
}

// queue is the places of one user key.
type queue struct {
	places chan struct{}
	length int // of those who have a place or wait for one
}

// ask returns what is known, waits for who asks already, or asks by get.
func (c *counts) ask(ctx context.Context, key countKey, user string, get func() ([]byte, *translate.Failure)) ([]byte, *translate.Failure) {
	c.mu.Lock()
	if k, ok := c.known[key]; ok && time.Since(k.at) < countFresh {
		c.mu.Unlock()
		return k.answer, nil
	}
	if a := c.asked[key]; a != nil {
		c.mu.Unlock()
		select {
		case <-a.done:
			return a.answer, a.failure
		case <-ctx.Done():
			return nil, countTooSlow()
		}
	}
	a := &asking{done: make(chan struct{}), failure: &translate.Failure{Kind: translate.Internal, Message: "The gateway failed to count."}}
	if c.asked == nil {
		c.asked = map[countKey]*asking{}
	}
	c.asked[key] = a
	c.mu.Unlock()
	defer c.tell(key, a) // also if a bug panics
	leave, f := c.place(ctx, user)
	if f != nil {
		a.failure = f
		return nil, f
	}
	defer leave()
	a.answer, a.failure = get()
	return a.answer, a.failure
}

// place waits for a place of a user key's, which leave gives back.
func (c *counts) place(ctx context.Context, user string) (leave func(), f *translate.Failure) {
	c.mu.Lock()
	q := c.queues[user]
	if q == nil {
		if c.queues == nil {
			c.queues = map[string]*queue{}
		}
		q = &queue{places: make(chan struct{}, countWidth)}
		c.queues[user] = q
	}
	q.length++
	full := q.length > countWidth+countWaiting
	c.mu.Unlock()
	gone := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if q.length--; q.length == 0 {
			delete(c.queues, user)
		}
	}
	if full {
		gone()
		return nil, &translate.Failure{Kind: translate.Overloaded, Message: "Too many counts and lists of this user key are waiting."}
	}
	select {
	case q.places <- struct{}{}:
		return func() { <-q.places; gone() }, nil
	case <-ctx.Done():
		gone()
		return nil, countTooSlow()
	}
}

// tell tells the others, and keeps what is worth it.
func (c *counts) tell(key countKey, a *asking) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(a.done)
	delete(c.asked, key)
	if a.failure == nil {
		if c.known == nil || len(c.known) >= maxCounts {
			c.known = map[countKey]counted{}
		}
		c.known[key] = counted{a.answer, time.Now()}
	}
}

func countTooSlow() *translate.Failure {
	return &translate.Failure{Kind: translate.Timeout, Message: "The tokens were not counted in time."}
}
