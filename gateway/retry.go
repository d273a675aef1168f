// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// window bounds how long a request may move from refusing key to refusing key.
// Each such move takes a key out of the pool, so it ends by itself; this only
// keeps a client from waiting for a thousand dead keys.
const window = 60 * time.Second

// maxMoves bounds the attempts of one request. Where so many keys in a row refuse
// it, the next will, too, and one request must not pay for what there is to learn
// of a thousand.
const maxMoves = 32

// serve answers from the first target of the model's alias that can.
func (x *exchange) serve() *translate.Failure {
	defer x.out.stop()
	if x.call.Stream != translate.Unary {
		x.g.Open.Streams.Add(1)
		defer x.g.Open.Streams.Add(-1)
		x.out.heartbeat(x.site().heartbeat, x.conv.Heartbeat(), x.conv.ContentType())
	}
	x.g.budget.request()
	for {
		f := x.await()
		if f == nil {
			f = x.ask()
		}
		if f == nil {
			x.keep()
			return nil
		}
		if x.out.committed() || !x.asBeta(f) && !x.fallBack(f) {
			return f
		}
	}
}

// ask gets the answer in as many calls as it takes.
func (x *exchange) ask() *translate.Failure {
	if b, ok := x.conv.(translate.Batch); ok && len(b.Calls()) > 1 {
		return x.batch(b)
	}
	if x.aboutModels() {
		return x.cached()
	}
	if x.makes() {
		return x.makeNative()
	}
	if x.acts() {
		want, retry := x.want()
		return x.try(want, retry, x.once)
	}
	if c, ok := x.conv.(*counting); ok {
		return x.count(c)
	}
	if x.counts() {
		return x.inPlace(x.attempts)
	}
	return x.attempts()
}

// fallBack turns to the next target of the model's alias, where the failure is
// one that another model may not have: this one is missing, not in the keys'
// tiers, overloaded, has no quota left, or never as much as the request needs.
func (x *exchange) fallBack(f *translate.Failure) bool {
	switch f.Kind {
	case translate.ModelNotFound, translate.Overloaded, translate.RateLimited, translate.QuotaExhausted:
	default:
		if !overMinute(f) {
			return false
		}
	}
	for x.canFallBack() {
		x.target++
		if x.convert() == nil && x.link() == nil {
			return true
		} // else this model cannot take the request; the next may
	}
	return false
}

// canFallBack reports whether the alias has another target.
func (x *exchange) canFallBack() bool {
	a := x.site().aliases.find(x.call.Asked)
	return a != nil && x.target+1 < len(a.Targets)
}

// attempts leases keys until one answers or nothing is left to try. The failure
// it returns has not been told to the client yet.
func (x *exchange) attempts() *translate.Failure {
	want, retry := x.want()
	if retry.Hedge > 0 && x.hedgeable(&want) {
		h := hedge{x: x, want: want, share: retry.Hedge}
		return x.try(want, retry, h.attempt)
	}
	return x.try(want, retry, x.attempt)
}

// want is what the request needs of a key, and how often it may ask for one.
func (x *exchange) want() (balancer.Want, settings.Retry) {
	retry := x.site().set.Retry
	if x.canFallBack() || x.rt.op == opCountTokens {
		retry.Wait = 0 // another model, or a guess, now is better than this one later
	}
	x.measure()
	want := balancer.Want{
		Model: x.call.Model, Tried: new(balancer.Tried), Wait: retry.Wait,
		Tokens: x.size.tokens, Affinity: x.size.conversation, Unmetered: !x.metered(), User: x.record.UserID,
		Bound: x.refs.bound, Only: x.only,
	}
	if !want.Unmetered && x.g.Pool.Spends() {
		want.Cost, _ = x.foretell()
	}
	if x.account != nil {
		key := x.account.Key()
		want.Tags, want.PaidOnly = key.Tags, key.PaidOnly
	}
	return want, retry
}

// try makes attempts until one answers or nothing is left to try.
func (x *exchange) try(want balancer.Want, retry settings.Retry, attempt func(*balancer.Lease) result) *translate.Failure {
	var last *translate.Failure
	var same *balancer.Lease // of the project that the attempt before was made with
	for moves := (retries{limit: retry.Attempts}); ; {
		lease := same
		if same = nil; lease == nil {
			var err error
			if lease, err = x.lease(want, &moves); err != nil {
				return x.unavailable(err, last)
			}
		}
		res := attemptWith(lease, attempt)
		if last = res.failure; last == nil && moves.paid {
			x.g.budget.help()
		}
		if last == nil || x.out.committed() || !x.again(&moves, res, retry) {
			return last
		}
		want.Wait = max(0, retry.Wait-time.Since(x.accepted))
		if res.outcome.Retry == balancer.RetrySame {
			same = x.stay(want, lease)
		}
	}
}

// stay leases a key of the project of an attempt once more; nil if it has none to
// give now.
func (x *exchange) stay(want balancer.Want, lease *balancer.Lease) *balancer.Lease {
	bound := lease.Binding()
	want.Bound, want.Tried, want.Wait = &bound, nil, 0
	again, err := x.g.Pool.Lease(x.ctx, want)
	if err != nil {
		return nil
	}
	return again
}

// attemptWith makes an attempt and gives the lease back, even if a bug panics.
func attemptWith(lease *balancer.Lease, attempt func(*balancer.Lease) result) (res result) {
	res.outcome = balancer.Outcome{Verdict: balancer.Unusable, Reason: "the gateway failed"}
	defer func() { lease.Done(res.outcome) }()
	res = attempt(lease)
	return res
}

// lease gets the right to one attempt. Once every key was tried, it starts
// another round: those that were to blame rest now and are worth waiting for, the
// others may be asked again.
func (x *exchange) lease(want balancer.Want, moves *retries) (lease *balancer.Lease, err error) {
	defer func(since time.Time) { x.waited(since, err != nil) }(time.Now())
	lease, err = x.g.Pool.Lease(x.ctx, want)
	if u, ok := errors.AsType[*balancer.Unavailable](err); ok && u.Reason == balancer.AllTried && moves.rounds < moves.limit {
		moves.rounds++
		want.Tried.Renew()
		return x.g.Pool.Lease(x.ctx, want)
	}
	return lease, err
}

// retries counts what a request has already tried.
type retries struct {
	made      int // attempts of any kind
	limit     int // attempts whose failure was not a key's own verdict
	counted   int
	overloads int // attempts that Google had no capacity for, or that did not reach it
	unsigned  bool
	rounds    int  // times that every key was tried
	paid      bool // the last attempt was one of the budget's
}

// pay takes a retry from the budget.
func (m *retries) pay(b *retryBudget, share float64) bool {
	m.paid = b.take(share)
	return m.paid
}

// again reports whether the request may be tried once more, and waits where it
// must. Retries after a key's own verdict (dead, out of quota) are free: the key
// is out of the pool now. All others count against the attempts and the budget,
// because they add load to a Google in trouble.
func (x *exchange) again(moves *retries, res result, retry settings.Retry) bool {
	o := res.outcome
	if x.ctx.Err() != nil || time.Since(x.accepted) > max(window, retry.Wait) {
		return false
	}
	moves.paid = false
	if moves.made++; moves.made >= maxMoves {
		return false
	}
	switch o.Retry {
	case balancer.RetryOther:
		if o.Verdict == balancer.Location { // rarely one project's trouble alone
			moves.counted++
			return moves.counted < moves.limit
		}
		return true
	case balancer.RetrySame:
		if moves.unsigned || x.conv == nil || !x.conv.Unsign() {
			return false
		}
		moves.unsigned, x.call = true, x.conv.Call()
		return true
	case balancer.RetryOnce, balancer.RetryBackoff:
		// An answer that broke was begun, and may be paid.
		begun := res.failure.Kind == translate.Truncated
		if o.Verdict == balancer.Overloaded || o.Verdict == balancer.Network && !begun {
			// Google turned the request away before it did anything, or the way there
			// broke: the next attempt is as good as a first. Beyond the attempts that are
			// allowed for others, the time that a request may wait bounds it.
			moves.overloads++
			return (moves.overloads+moves.counted < moves.limit || time.Since(x.accepted) < retry.Wait) &&
				moves.pay(&x.g.budget, retry.Budget) && pause(x.ctx, moves.overloads)
		}
		moves.counted++
		// What failed with an error of the server or an odd answer may do so again for
		// the request's sake; what broke on the way will not.
		once := o.Retry == balancer.RetryOnce && !begun
		if moves.counted >= moves.limit || once && moves.counted > 1 || !moves.pay(&x.g.budget, retry.Budget) {
			return false
		}
		if o.Retry == balancer.RetryBackoff {
			return pause(x.ctx, moves.counted)
		}
		return true
	default:
		return x.schemaRefused && x.relax()
	}
}

// relax turns to plainer schemas, where Google refused those of the request.
func (x *exchange) relax() bool {
	conv, ok := x.conv.(translate.Relaxed)
	if !ok || !conv.Relax() {
		return false
	}
	x.call, x.schemaRefused = conv.Call(), false
	return true
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
