// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"errors"
	"fmt"
)

// ErrBusy is the refusal to probe a key that is being probed.
var ErrBusy = errors.New("the Gemini key is being probed already")

// BeginProbe returns a probe of a key at an operator's word, due or not and whatever
// its state. It must be Done. It returns [ErrNotFound] or [ErrBusy].
func (p *Pool) BeginProbe(id string) (*Probe, error) {
	p.lock()
	defer p.unlock()
	e := p.byID[id]
	switch {
	case e == nil:
		return nil, fmt.Errorf("%s: %w", id, ErrNotFound)
	case e.probing.running:
		return nil, fmt.Errorf("%s: %w", id, ErrBusy)
	}
	return p.beginProbe(e, p.now()), nil
}

// ErrNoRoom is the refusal to lease a key whose quota for the model is used up by our
// own count.
var ErrNoRoom = errors.New("the Gemini key's quota for the model is used up")

// LeaseKey returns the right to one attempt with a given key, whatever its state and
// whatever rests, for an operator who asks whether it serves a model. It counts
// against the quota like any other. It returns [ErrNotFound] or [ErrNoRoom].
func (p *Pool) LeaseKey(id, model string) (*Lease, error) {
	now := p.now()
	p.lock()
	defer p.unlock()
	e := p.byID[id]
	if e == nil {
		return nil, fmt.Errorf("%s: %w", id, ErrNotFound)
	}
	l := &p.modelOf(model, false).plain
	lease := &Lease{pool: p, entry: e, lane: l, model: model, began: now}
	if l.model.name == "" {
		return p.grant(lease), nil
	}
	chosen := p.quotaOf(e, l.model, true)
	q := chosen.acquire()
	r, ok, next := q.reserve(now, 1, int32(e.slot)+1, p.aligned())
	if ok {
		q.load.add(1)
	}
	q.mu.Unlock()
	if !next.until.IsZero() || next.gated {
		p.look(q, now)
	}
	if !ok {
		return nil, fmt.Errorf("%s: %w", id, ErrNoRoom)
	}
	lease.quota, lease.reserved = q, r
	return p.grant(lease), nil
}
