// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// What a request takes from the limits of its user key: reserved before anything is
// sent, corrected by what it has used.

// admit takes the request's share of the user key's limits, and tells the client
// where it stands then, admitted or not.
func (x *exchange) admit() *translate.Failure {
	if x.account == nil {
		return nil
	}
	x.measure()
	return x.enter(x.need())
}

// permitted admits what costs nothing and may take long: it takes a place among the
// requests in flight, and what it turns out to use is charged.
func (x *exchange) permitted() *translate.Failure {
	if x.account == nil {
		return nil
	}
	return x.enter(users.Ask{Dialect: string(x.rt.dialect), IP: x.address(), Free: true})
}

func (x *exchange) enter(ask users.Ask) *translate.Failure {
	admission, refusal := x.account.Admit(x.accepted, ask)
	if refusal == nil {
		x.taken = admission
	}
	if ask.Model != "" || refusal != nil {
		x.tellLimits()
	}
	if refusal != nil {
		return refusedByLimits(refusal)
	}
	return nil
}

// need is what the request is taken to need. Of tokens those of the prompt are
// reserved, of money what the answer is expected to cost as well.
func (x *exchange) need() users.Ask {
	ask := users.Ask{
		Model: x.modelName(), Dialect: string(x.rt.dialect), IP: x.address(),
		Tokens: x.size.tokens,
	}
	ask.Cost, ask.Priced = x.foretell()
	return ask
}

// address is the client's.
func (x *exchange) address() netip.Addr {
	if !x.ip.IsValid() {
		x.ip = x.g.ClientIP(x.r)
	}
	return x.ip
}

// modelName is the name by which the user key may use the model, if it may: the client's
// word, or where that is not allowed the model that stands in for it.
func (x *exchange) modelName() string {
	asked, named := cmp.Or(x.call.Asked, x.call.Model), x.call.Named
	if named == "" || !x.account.Allows(named) && x.account.Allows(asked) {
		return asked
	}
	return named
}

// running is what a request that still runs has used so far; -1 for what nobody knows.
func (x *exchange) running(u gemini.Usage) users.Used {
	used := users.Used{Tokens: u.Input() + u.Output(), Cost: -1}
	var b bill
	if b.add(x.site().prices, x.priceModel(), u, usage.Used{}); !b.unpriced {
		used.Cost = b.cost
	}
	return used
}

// settleLimits corrects what the user key was charged to what is on the bill.
func (x *exchange) settleLimits() {
	var used users.Used
	used.Tokens, used.Cost = x.spent()
	switch {
	case x.taken == nil:
		x.chargeLate(used)
	case x.record.Attempts == 0:
		x.taken.Cancel()
	default:
		x.taken.Settle(used)
	}
}

// tellLimits tells a client where its user key stands, in its dialect's words.
func (x *exchange) tellLimits() {
	requests, tokens := x.account.Windows()
	if x.rt.dialect == Anthropic {
		h := x.out.w.Header()
		anthropicLimits(h, requests, time.Now(), "Requests")
		anthropicLimits(h, tokens, time.Now(), "Tokens", "Input-Tokens", "Output-Tokens") // one limit for both
		return
	}
	x.out.limit(requests, "X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests")
	x.out.limit(tokens, "X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens")
}

// limit tells of a limit in OpenAI's words. A reset is a wait, as in 6m0s.
func (c *clientWriter) limit(l users.LimitState, most, remaining, reset string) {
	if l.Max == 0 {
		return
	}
	c.set(most, strconv.FormatInt(l.Max, 10))
	c.set(remaining, strconv.FormatInt(l.Remaining, 10))
	c.set(reset, users.Wait(l.Reset))
}

// anthropicLimits are Anthropic's words. A reset is a time.
func anthropicLimits(h http.Header, l users.LimitState, now time.Time, kinds ...string) {
	if l.Max == 0 {
		return
	}
	reset := now.Add(l.Reset + time.Second - 1).UTC().Truncate(time.Second).Format(time.RFC3339)
	for _, kind := range kinds {
		h["Anthropic-Ratelimit-"+kind+"-Limit"] = []string{strconv.FormatInt(l.Max, 10)}
		h["Anthropic-Ratelimit-"+kind+"-Remaining"] = []string{strconv.FormatInt(l.Remaining, 10)}
		h["Anthropic-Ratelimit-"+kind+"-Reset"] = []string{reset}
	}
}

// refusedByLimits is what a client is told whose user key may not, or not yet.
func refusedByLimits(refusal *users.Refusal) *translate.Failure {
	f := &translate.Failure{
		Kind: translate.UserRateLimited, Message: refusal.Message, RetryAfter: refusal.RetryAfter,
		Limit: refusal.Limit, LimitValue: refusal.Max,
	}
	switch refusal.Kind {
	case users.RateLimited:
	case users.OverBudget:
		f.Kind = translate.BudgetSpent
	case users.Forbidden:
		f.Kind = translate.Forbidden
		if refusal.Limit == "models" || refusal.Limit == "price" {
			f.Param = "model"
		}
	case users.Unavailable:
		f.Kind = translate.Overloaded
	}
	return f
}
