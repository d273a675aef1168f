// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"slices"
	"strings"
	"time"
)

const (
	// probeGrace is how long requests wait for the first word on a pool of which
	// nothing is known, instead of trying its keys themselves.
	probeGrace = 2 * time.Second
	// probeAgain is when an untested key, an invalid one and one that an operator
	// can mend are asked again; a key that stays invalid is asked once a day. New
	// keys can flap. A good key is asked once a day, because Google's list of models
	// changes. Sources: DESIGN §4, specs/openai.md §13.3 rows 1 and 3.
	probeAgain = time.Hour
	probeDaily = 24 * time.Hour
	// probeRetry is when a probe without a verdict is repeated first; it doubles up
	// to probeAgain.
	probeRetry = 30 * time.Second
)

// Probe is the right to ask Google once whether a key lives and which models it
// may use: GET /v1beta/models, which costs no quota. No verb of fmt prints the
// secret.
type Probe struct {
	lease *Lease
}

// Secret returns the Gemini key.
func (pr *Probe) Secret() string { return pr.lease.Secret() }

// KeyID returns the key's public handle.
func (pr *Probe) KeyID() string { return pr.lease.KeyID() }

// Proxy returns the URL of the key's egress route, "" for the default one.
func (pr *Probe) Proxy() string { return pr.lease.Proxy() }

// probing is what the pool knows of a key's probes. Guarded by Pool.mu.
type probing struct {
	at      time.Time // when the next is due; zero for never
	running bool
	fails   int  // without a verdict, in a row
	known   bool // one ended, or an answer told as much
}

// Probes takes up to limit probes that are due, those of new keys first, and
// returns when the next one will be; zero for never. Every probe must be Done.
// Only pools that are probed have any.
func (p *Pool) Probes(limit int) (due []*Probe, next time.Time) {
	now := p.now()
	p.lock()
	defer p.unlock()
	if !p.probed.Load() {
		return nil, time.Time{}
	}
	for len(due) < limit && len(p.unprobed) > 0 {
		e := p.unprobed[0]
		p.unprobed[0] = nil
		p.unprobed = p.unprobed[1:]
		if !e.gone && !e.probing.running && !e.probing.known && e.live.Load().state == StateUntested {
			due = append(due, p.beginProbe(e, now))
		}
	}
	for len(due) < limit && len(p.overdue) > 0 {
		e := p.overdue[0]
		p.overdue[0] = nil
		p.overdue = p.overdue[1:]
		if at := e.probing.at; !e.gone && !e.probing.running && !at.IsZero() && !at.After(now) {
			due = append(due, p.beginProbe(e, now))
		}
	}
	if len(p.unprobed) > 0 || len(p.overdue) > 0 {
		return due, now
	}
	if p.nextProbe.After(now) || p.nextProbe.IsZero() {
		return due, p.nextProbe
	}
	p.nextProbe = time.Time{}
	for _, e := range p.byID {
		at := e.probing.at
		if at.IsZero() || e.probing.running {
			continue
		}
		switch {
		case at.After(now):
			p.probeBy(at)
		case len(due) < limit:
			due = append(due, p.beginProbe(e, now))
		default: // so that not every call looks at all keys
			p.overdue = append(p.overdue, e)
		}
	}
	if len(p.overdue) > 0 {
		return due, now
	}
	return due, p.nextProbe
}

// SetProbed says whether somebody serves [Pool.Probes] from now on. Then requests
// leave new keys to the probes; otherwise they find out about them themselves.
func (p *Pool) SetProbed(on bool) {
	p.lock()
	defer p.unlock()
	if p.probed.Swap(on) == on {
		return
	}
	now := p.now()
	p.unprobed, p.overdue, p.nextProbe = nil, nil, time.Time{}
	p.grace.Store(0)
	slots := *p.slots.Load()
	for i := range slots {
		e := slots[i].Load()
		if e == nil {
			continue
		}
		p.awaitProbe(e, now)
		p.probeAt(e, e.probing.at)
		p.refresh(e)
	}
	p.serve(now)
}

// ProbeWanted returns a channel that is signalled when keys became due.
func (p *Pool) ProbeWanted() <-chan struct{} { return p.probeWanted }

// Probed reports whether somebody serves [Pool.Probes].
func (p *Pool) Probed() bool { return p.probed.Load() }

// ProbeNow makes a probe of a key due, whatever its state and before all others
// that are asked again. It returns [ErrNotFound].
func (p *Pool) ProbeNow(id string) error {
	p.lock()
	defer p.unlock()
	e := p.byID[id]
	if e == nil {
		return ErrNotFound
	}
	p.probeAt(e, p.now())
	if len(p.overdue) > 0 {
		p.overdue = slices.Insert(p.overdue, 0, e)
	}
	return nil
}

// probeAt schedules e's next probe; zero for none. Under p.mu.
func (p *Pool) probeAt(e *entry, at time.Time) {
	e.probing.at = at
	if p.probed.Load() && !at.IsZero() {
		p.probeBy(at)
		p.wantProbe()
	}
}

// probeBy makes sure that Probes looks at the keys at a time. Under p.mu.
func (p *Pool) probeBy(at time.Time) {
	if p.nextProbe.IsZero() || at.Before(p.nextProbe) {
		p.nextProbe = at
	}
}

func (p *Pool) wantProbe() {
	select {
	case p.probeWanted <- struct{}{}:
	default:
	}
}

// awaitProbe puts a key that nothing is known of in line for its first probe.
// Under p.mu.
func (p *Pool) awaitProbe(e *entry, now time.Time) {
	if !p.probed.Load() || e.probing.known || e.live.Load().state != StateUntested {
		return
	}
	if len(p.unprobed) == 0 {
		p.grace.Store(now.Add(probeGrace).UnixNano())
	}
	p.unprobed = append(p.unprobed, e)
	p.wantProbe()
}

func (p *Pool) beginProbe(e *entry, now time.Time) *Probe {
	e.probing.running = true
	return &Probe{lease: &Lease{pool: p, entry: e, lane: &p.modelOf("", false).plain, began: now}}
}

// Done applies what the probe found; models are the ids of the models that the
// key may use, without "models/", nil for unknown. Exactly the first call counts.
func (pr *Probe) Done(o Outcome, models []string) {
	if !pr.lease.done.CompareAndSwap(false, true) {
		return
	}
	p, e := pr.lease.pool, pr.lease.entry
	now := p.now()
	o.Reason = strings.ReplaceAll(o.Reason, *e.secret, "[redacted]")
	p.lock()
	defer p.unlock()
	e.probing.running = false
	if e.gone {
		return
	}
	if o.Consumer != "" {
		p.reveal(e, strings.TrimPrefix(o.Consumer, "projects/"), now)
	}
	switch {
	case o.Verdict == Canceled: // the gateway is stopping
		p.probeAt(e, now)
		return
	case o.Verdict == OK || o.Verdict == RateLimited || o.Verdict == Exhausted: // Google counts for keys that it knows
		p.alive(e, now)
	case o.State != "":
		p.condemned(e, &o, now)
	default:
		p.undecided(e, now)
	}
	if (o.Rest > 0 || o.UntilMidnight) && (o.Blame == ScopeKey || o.Blame == ScopeProject || o.Blame == ScopeRoute) {
		for _, target := range targets(p, pr.lease, &o) {
			p.rest(target, pr.lease, &o, now)
		}
	}
	e.probing.known = true
	if o.Verdict == OK || o.Status != 0 {
		e.probedAt.Store(now.UnixNano())
		p.markKey(e)
		p.news.add(e.id)
	}
	if models != nil {
		p.learnModels(e, models, now)
		if e.live.Load().state == StateActive {
			p.probeAt(e, tomorrow(now))
		}
	}
	p.refresh(e)
	p.serve(now)
}

// tomorrow is when a key is asked once more. By whole minutes, so that keys come
// due in crowds: finding those that are means to look at all.
func tomorrow(now time.Time) time.Time { return now.Add(probeDaily).Truncate(time.Minute) }

// condemned books that Google refuses a key. Under p.mu.
func (p *Pool) condemned(e *entry, o *Outcome, now time.Time) {
	e.probing.fails = 0
	switch e.live.Load().state {
	case StateDisabled: // the operator's word stands
		e.probing.at = time.Time{}
	case o.State:
		p.probeAt(e, tomorrow(now))
	default:
		p.enter(e, o.State, o.Reason, now)
		p.hurry()
	}
}

// alive books that Google knows a key. Under p.mu.
func (p *Pool) alive(e *entry, now time.Time) {
	e.probing.fails, e.probing.at = 0, time.Time{}
	switch e.live.Load().state {
	case StateUntested, StateInvalid, StateMisconfigured:
		p.enter(e, StateActive, "", now)
		p.hurry()
	default: // the others stay: an operator's word, and what Google takes back by hand only
	}
}

// undecided books a probe without a verdict. Under p.mu.
func (p *Pool) undecided(e *entry, now time.Time) {
	wait := min(probeRetry<<min(e.probing.fails, 10), probeAgain)
	e.probing.fails++
	p.probeAt(e, now.Add(wait))
}

// reprobe schedules the probe that a state asks for. Under p.mu.
func (p *Pool) reprobe(e *entry, state State, now time.Time) {
	switch state {
	case StateInvalid, StateMisconfigured:
		p.probeAt(e, now.Add(probeAgain))
	case StateUntested:
		if e.probing.known {
			p.probeAt(e, now)
		}
	case StateActive:
		e.probing.at = time.Time{}
		if e.listing != nil {
			p.probeAt(e, tomorrow(e.listedAt))
		}
	default:
		e.probing.at = time.Time{}
	}
}

// awaited reports whether e is a key whose first probe has not ended. Under p.mu.
func (p *Pool) awaited(e *entry) bool {
	return p.probed.Load() && !e.probing.known && e.live.Load().state == StateUntested
}
