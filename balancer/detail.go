// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// The windows of a [KeyQuota].
const (
	WindowRPM   = "rpm"
	WindowTPM   = "tpm"
	WindowRPD   = "rpd"
	WindowSpend = "spend" // nano-USD in ten minutes, of all models
)

// Detail is all that operators can see of a key.
type Detail struct {
	View
	Quotas  []KeyQuota `json:"quotas"`
	Rests   []KeyRest  `json:"rests"`
	History []Event    `json:"history"` // the newest first
}

// KeyQuota is one window of a model in the key's project.
type KeyQuota struct {
	Model  string    `json:"model"` // "" for spend
	Window string    `json:"window"`
	Used   int64     `json:"used"`
	Limit  *int64    `json:"limit"`          // nil for unknown
	Source string    `json:"source"`         // set, learned, observed, or unknown
	Since  time.Time `json:"since,omitzero"` // when the limit was learned, or since when it is set
	Resets time.Time `json:"resets_at"`      // when nothing will be used, if nothing more is
}

// SourceUnknown is the source of a limit that nobody knows.
const SourceUnknown = "unknown"

// KeyRest is a rest that keeps a key from all models, or from one.
type KeyRest struct {
	Scope  string    `json:"scope"`
	Model  string    `json:"model"` // "" for all
	Kind   string    `json:"kind"`
	Why    string    `json:"why"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
	Advice string    `json:"advice"`
}

// Detail returns all that can be seen of a key.
func (p *Pool) Detail(id string) (Detail, bool) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.byID[id]
	if e == nil {
		return Detail{}, false
	}
	return Detail{View: p.view(e, now), Quotas: p.quotasFor(e, now), Rests: p.restsFor(e, now), History: e.events()}, true
}

// quotasFor lists the windows of a key's project, by model. Under p.mu.
func (p *Pool) quotasFor(e *entry, now time.Time) []KeyQuota {
	t := e.live.Load().project
	out := []KeyQuota{}
	add := func(model, name string, w Window, resets time.Time) {
		q := KeyQuota{model, name, w.Used, w.Limit, cmp.Or(w.Source, SourceUnknown), w.Since, resets.UTC()}
		out = append(out, q)
	}
	midnight := pacificMidnight(now)
	for _, q := range t.quotas {
		m := q.model
		if m.name == "" {
			continue
		}
		q.mu.Lock()
		u := q.counts(now, p.aligned())
		rpm, tpm, rpd := q.rpm.window(u.requests, now, p.limits.since), q.tpm.window(u.tokens, now, p.limits.since), q.rpd.window(u.today, now, p.limits.since)
		q.mu.Unlock()
		add(m.name, WindowRPM, rpm, now.Add(time.Minute))
		add(m.name, WindowTPM, tpm, now.Add(time.Minute))
		add(m.name, WindowRPD, rpd, midnight)
	}
	slices.SortStableFunc(out, func(a, b KeyQuota) int { return strings.Compare(a.Model, b.Model) })
	if w := t.spends(now, p.limits.since); w != nil {
		add("", WindowSpend, *w, now.Add(spendWindow))
	}
	return out
}

// restsFor lists the rests that keep a key from something, those that end first at
// the top. Under p.mu.
func (p *Pool) restsFor(e *entry, now time.Time) []KeyRest {
	t := e.live.Load().project
	out := []KeyRest{}
	add := func(r *rest) {
		if !r.holds() || !r.until.After(now) {
			return
		}
		k := KeyRest{
			Scope: scopeNames[r.scope], Kind: r.kind, Why: r.why, Reason: r.reason, Until: r.until.UTC(), Advice: restHints[r.why],
		}
		if r.model != nil {
			k.Model = r.model.name
		}
		out = append(out, k)
	}
	for _, r := range [...]*rest{e.rest, p.routeRest(e), t.overspent()} {
		add(r)
	}
	for _, r := range p.restsOf(t) {
		add(r)
	}
	for _, q := range t.quotas {
		if !q.soft {
			add(q.fill)
		}
	}
	for _, m := range *p.models.Load() {
		add(m.rest)
	}
	slices.SortStableFunc(out, func(a, b KeyRest) int {
		return cmp.Or(a.Until.Compare(b.Until), strings.Compare(a.Model, b.Model))
	})
	return out
}

// Reveal returns the secret of a key, for an operator who asked for it.
func (p *Pool) Reveal(id string) (secret string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.byID[id]
	if e == nil {
		return "", false
	}
	return *e.secret, true
}
