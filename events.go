// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"cmp"
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/gateway"
)

// Events for Caddy's event handlers. Handlers may run programs, so events are handed
// over by a goroutine of their own, in order, and no request waits for one. They are
// few, however many keys there are and whatever clients do: see eventBurst and once.
const (
	eventKeyInvalid      = "key_invalid"
	eventKeyDisabled     = "key_disabled"
	eventKeyRecovered    = "key_recovered"
	eventKeyExhausted    = "key_exhausted"
	eventProjectUnfunded = "project_unfunded"
	eventRouteDown       = "route_down"
	eventKeysExhausted   = "keys_exhausted"
	eventBudgetSpent     = "budget_spent"
	eventStoreFailing    = "store_failing"
	eventStoreRecovered  = "store_recovered"
)

// The bounds of events: our choice.
const (
	eventBurst         = 30              // of one name, at once
	eventEvery         = 2 * time.Second // one more of that name
	eventQueue         = 256             // of all names, that wait for their handlers
	keysExhaustedEvery = time.Minute     // for one model and reason
	budgetSpentEvery   = time.Hour       // for one budget of a user key, unless it is back sooner
	restedEvery        = time.Minute     // for one project and model, or route
	maxRemembered      = 10_000          // of what is not told again before a time
)

// eventNames are all of them, for labels.
var eventNames = []string{
	eventKeyInvalid, eventKeyDisabled, eventKeyRecovered, eventKeyExhausted, eventProjectUnfunded,
	eventRouteDown, eventKeysExhausted, eventBudgetSpent, eventStoreFailing, eventStoreRecovered,
}

// event is one to be emitted. data is made by who emits it.
type event struct {
	name string
	data map[string]any
}

// events hands events to Caddy. Safe for concurrent use.
type events struct {
	queue chan event

	mu         sync.Mutex
	allowances map[string]*allowance // by name
	told       map[string]time.Time  // what is not told again before a time
}

// allowance is how many events of a name may follow.
type allowance struct {
	left       float64
	at         time.Time
	suppressed int // since the last that was emitted
}

func newEvents() *events {
	return &events{queue: make(chan event, eventQueue), allowances: map[string]*allowance{}, told: map[string]time.Time{}}
}

// run emits events through whoever is in force, until ctx ends. Nobody waits for it: a
// handler may take its time, or stop Caddy.
func (e *events) run(ctx context.Context, inForce func() *App) {
	for {
		select {
		case <-ctx.Done():
			return
		case next := <-e.queue:
			if a := inForce(); a != nil {
				a.events.Emit(a.ctx, next.name, next.data)
				metrics.events.WithLabelValues(next.name).Inc()
			}
		}
	}
}

// offer queues an event, unless there are too many of its kind. It does not block.
func (e *events) offer(name string, data map[string]any) {
	if suppressed, ok := e.allow(name, time.Now()); !ok {
		metrics.eventsDropped.WithLabelValues(name).Inc()
		return
	} else if suppressed > 0 {
		data["suppressed"] = suppressed
	}
	select {
	case e.queue <- event{name, data}:
	default:
		metrics.eventsDropped.WithLabelValues(name).Inc()
	}
}

// allow takes one from the allowance of a name, and tells how many were refused before.
func (e *events) allow(name string, now time.Time) (suppressed int, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.allowances[name]
	if a == nil {
		a = &allowance{left: eventBurst, at: now}
		e.allowances[name] = a
	}
	a.left = min(eventBurst, a.left+now.Sub(a.at).Seconds()/eventEvery.Seconds())
	a.at = now
	if a.left < 1 {
		a.suppressed++
		return 0, false
	}
	a.left--
	suppressed, a.suppressed = a.suppressed, 0
	return suppressed, true
}

// once reports whether something is to be told that must not be told again for a time.
func (e *events) once(what string, d time.Duration) bool {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.told[what].After(now) {
		return false
	}
	if len(e.told) >= maxRemembered {
		for what, until := range e.told {
			if !until.After(now) {
				delete(e.told, what)
			}
		}
		if len(e.told) >= maxRemembered {
			return false
		}
	}
	e.told[what] = now.Add(d)
	return true
}

// listened reports whether anybody would notice an event.
func (r *resource) listened(name string) bool {
	a := r.reporter.Load()
	return a != nil && a.events.ShouldEmit(name)
}

// tellRefusal emits what is behind the refusal of a request, where operators want to
// hear of it.
func (r *resource) tellRefusal(f *gateway.Refusal) {
	switch balancer.UnavailableReason(f.Reason) {
	case balancer.NoKeys, balancer.AllDead, balancer.AllResting, balancer.AllExhausted:
		model := r.models.label(f.Model)
		if !f.Pool || !r.listened(eventKeysExhausted) || !r.events.once(eventKeysExhausted+" "+model+" "+f.Reason, keysExhaustedEvery) {
			return
		}
		data := map[string]any{"model": model, "reason": f.Reason}
		back(data, f.RetryAfter)
		r.events.offer(eventKeysExhausted, data)
	default:
		wait := budgetSpentEvery
		if f.RetryAfter > 0 {
			wait = min(wait, f.RetryAfter)
		}
		if !f.Budget || !r.listened(eventBudgetSpent) || !r.events.once(eventBudgetSpent+" "+f.UserID+" "+f.Reason, wait) {
			return
		}
		data := map[string]any{"user_id": f.UserID, "name": f.UserName, "limit": f.Reason}
		back(data, f.RetryAfter)
		r.events.offer(eventBudgetSpent, data)
	}
}

// back says when something is over by itself, if it is.
func back(data map[string]any, after time.Duration) {
	if after > 0 {
		data["until"] = time.Now().Add(after).UTC().Format(time.RFC3339)
	}
}

// Rested implements balancer.Observer.
func (r *resource) Rested(rest balancer.Rest) {
	data := map[string]any{"reason": rest.Why, "until": rest.Until.UTC().Format(time.RFC3339)}
	name := eventProjectUnfunded
	switch {
	case rest.Scope == "route":
		name, data["route"] = eventRouteDown, rest.Route
		if rest.Route == "" {
			data["route"] = directRoute
		}
	case rest.Kind == balancer.ExhaustedForDay:
		name, data["model"], data["project"], data["keys"] = eventKeyExhausted, rest.Model, rest.Project, rest.Affected
	default:
		data["project"], data["keys"] = rest.Project, rest.Affected
	}
	// Google's word and our own count may say the same of one day.
	if r.listened(name) && r.events.once(name+" "+rest.Project+" "+rest.Model+" "+rest.Route, restedEvery) {
		r.events.offer(name, data)
	}
}

// StateChanged implements balancer.Observer: operators hear of a Gemini key that
// changed its state, at warn level where Google refuses it.
func (r *resource) StateChanged(c balancer.StateChange) {
	metrics.keyChanges.WithLabelValues(string(c.To)).Inc()
	a := r.reporter.Load()
	if a == nil {
		return
	}
	name := a.reportState(c)
	if name == "" || !r.listened(name) {
		return
	}
	key, _ := r.pool.Get(c.KeyID)
	r.events.offer(name, map[string]any{
		"key_id": c.KeyID, "name": key.Name, "project": cmp.Or(key.Project, c.KeyID), "from": string(c.From), "to": string(c.To), "reason": c.Reason,
	})
}

// reportState logs that a Gemini key changed its state, and names the event for it; ""
// for none.
func (a *App) reportState(c balancer.StateChange) (name string) {
	fields := []zap.Field{
		zap.String("key_id", c.KeyID), zap.String("from", string(c.From)), zap.String("to", string(c.To)), zap.String("reason", c.Reason),
	}
	switch was, is := inService(c.From), inService(c.To); {
	case c.To == balancer.StateDisabled && was:
		a.logger.Info("Gemini key was taken out of service", fields...)
		return eventKeyDisabled
	case was && !is:
		a.logger.Warn("Gemini key is out of service", fields...)
		return eventKeyInvalid
	case !was && is:
		a.logger.Info("Gemini key is back in service", fields...)
		return eventKeyRecovered
	case !was:
		a.logger.Info("Gemini key out of service changed its state", fields...)
	default: // untested → active: one for every key after an import
		a.logger.Debug("Gemini key works", fields...)
	}
	return ""
}

// inService reports whether keys in a state are leased.
func inService(s balancer.State) bool {
	return s == balancer.StateActive || s == balancer.StateUntested
}

// storePart is what is written to the store at run time.
type storePart int

// The parts.
const (
	partKeys storePart = iota
	partUsers
	partUsage
)

var (
	storeParts = []storePart{partKeys, partUsers, partUsage}
	partWords  = [...]string{partKeys: "keys", partUsers: "users", partUsage: "usage"}
	partTexts  = [...]string{partKeys: "the states of Gemini keys", partUsers: "the counts of user keys", partUsage: "usage"}
)

// StoreFailed implements balancer.Observer.
func (r *resource) StoreFailed(err error) { r.storeFailed(partKeys)(err) }

// storeFailed returns what is to be called when a part cannot be written any more,
// and with nil when it can again.
func (r *resource) storeFailed(part storePart) func(error) {
	return func(err error) {
		name, data := eventStoreRecovered, map[string]any{"part": partWords[part]}
		if err != nil {
			name, data["error"] = eventStoreFailing, err.Error()
			r.storeFailing[part].Store(1)
			metrics.storeErrors.WithLabelValues(partWords[part]).Inc()
		} else {
			r.storeFailing[part].Store(0)
		}
		if a := r.reporter.Load(); a != nil {
			a.reportStore(partTexts[part], err)
		}
		if r.listened(name) {
			r.events.offer(name, data)
		}
	}
}

// reportStore tells operators that what is learnt at run time cannot be written
// to the store, or that it can again.
func (a *App) reportStore(what string, err error) {
	if err != nil {
		a.logger.Error("the store cannot be written; trying on, but a restart now would lose what is new", zap.String("what", what), zap.Error(err))
		return
	}
	a.logger.Info("the store can be written again", zap.String("what", what))
}
