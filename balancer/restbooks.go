// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// restPrefix is where the store has rests:
// <scope>/<project, key or id of a route>/<model>, escaped → restRecord, with a TTL.
const restPrefix = "balancer/rest/"

// restRecord is a rest.
type restRecord struct {
	Scope   string    `json:"scope"`
	Project string    `json:"project,omitempty"`
	Model   string    `json:"model,omitempty"`
	Key     string    `json:"key,omitempty"`
	Route   string    `json:"route,omitempty"` // see routeID
	Kind    string    `json:"kind"`
	Why     string    `json:"why"`
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	Step    int       `json:"step,omitempty"`
}

// record is what the store keeps of r, but for the id of a route.
func (r *rest) record() *restRecord {
	rec := &restRecord{Scope: scopeNames[r.scope], Kind: r.kind, Why: r.why, Reason: r.reason, Since: r.since, Until: r.until, Step: r.step}
	if r.project != nil {
		rec.Project = r.project.id
	}
	if r.model != nil {
		rec.Model = r.model.name
	}
	if r.entry != nil {
		rec.Key = r.entry.id
	}
	return rec
}

// key is what the rest is stored under.
func (rec *restRecord) key() string {
	return restPrefix + rec.Scope + "/" + url.PathEscape(rec.Project+rec.Key+rec.Route) + "/" + url.PathEscape(rec.Model)
}

// restOp is the write of r. Under p.mu.
func (p *Pool) restOp(r *rest, now time.Time) store.Op {
	rec := r.record()
	if r.scope == ScopeRoute {
		rec.Route = p.routeID(r.proxy)
	}
	op := store.Op{Key: rec.key()}
	until := r.until
	if r.step > 0 {
		until = until.Add(r.scope.memory())
	}
	if op.TTL = until.Sub(now); op.TTL > 0 && !r.forgotten {
		op.TTL += time.Second // stores may count whole seconds
		op.Value = encode(rec)
	} else {
		op.TTL = 0
	}
	return op
}

// routeID is what the rest of a route is stored under. A URL may hold a password, and
// a plain hash would let whoever reads the store try passwords: this one takes the
// master key.
func (p *Pool) routeID(proxy string) string {
	h := hmac.New(sha256.New, p.sealer.Derive("ids of egress routes"))
	_, _ = h.Write([]byte(proxy))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// markRest is markKey for a rest. Under p.mu.
func (p *Pool) markRest(r *rest) {
	if !r.dirty && r.books == nil && r.spending == nil {
		r.dirty = true
		p.dirtyRests = append(p.dirtyRests, r)
	}
}

// setBack makes the times of a rest earlier that began by a clock which was ahead of
// now: it is to be as long as it was meant to be.
func (rec *restRecord) setBack(now time.Time) {
	ahead := rec.Since.Sub(now)
	if ahead <= 0 {
		return
	}
	rec.Since, rec.Until = now, rec.Until.Add(-ahead)
	if rec.Kind == ExhaustedForDay {
		rec.Until = pacificMidnight(now)
	}
}

// restore brings back a rest; that of a key or a route which is not known yet waits
// for that. Under p.mu.
func (p *Pool) restore(rec *restRecord, now time.Time) {
	rec.setBack(now)
	r := &rest{scope: Scope(max(0, slices.Index(scopeNames[:], rec.Scope)))}
	switch r.scope {
	case ScopeProjectModel:
		r.project, r.model = p.projectOf(rec.Project), p.modelOf(rec.Model, true)
		if r.model.name != rec.Model {
			return
		}
	case ScopeProject:
		r.project = p.projectOf(rec.Project)
	case ScopeKey:
		if r.entry = p.byID[rec.Key]; r.entry == nil {
			p.orphanRests[rec.Key] = rec
			return
		}
	case ScopeModel:
		if r.model = p.modelOf(rec.Model, true); r.model.name != rec.Model {
			return
		}
	case ScopeRoute:
		p.orphanRoutes[rec.Route] = rec
		return
	default:
		return
	}
	p.bringBack(r, rec, now)
}

// restoreRoute brings back the rest of a route that keys take now, if the store had
// one. Each key in the pool must have its project. Under p.mu.
func (p *Pool) restoreRoute(proxy string, now time.Time) {
	if len(p.orphanRoutes) == 0 {
		return
	}
	id := p.routeID(proxy)
	if rec := p.orphanRoutes[id]; rec != nil {
		delete(p.orphanRoutes, id)
		p.bringBack(&rest{scope: ScopeRoute, proxy: proxy}, rec, now)
	}
}

// bringBack makes a target rest as the store says. Under p.mu.
func (p *Pool) bringBack(target *rest, rec *restRecord, now time.Time) {
	target.kind, target.why, target.reason = rec.Kind, rec.Why, rec.Reason
	told := len(p.rested)
	r := p.extend(target, rec.Until, now)
	p.rested = p.rested[:told]
	r.since = rec.Since
	p.setStep(r, rec.Step)
	if !r.inForce && r.step > 0 {
		p.schedule(r, r.until.Add(r.scope.memory()))
	}
}
