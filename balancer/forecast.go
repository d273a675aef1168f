// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"slices"
	"strings"
	"time"
)

// Forecast tells how many requests for a model the pool has left.
type Forecast struct {
	Model    string    `json:"model"`
	Projects int       `json:"projects"` // that may use the model, resting or not
	Day      Outlook   `json:"day"`      // until Resets
	Minute   Outlook   `json:"minute"`   // at this moment
	Resets   time.Time `json:"resets"`   // the next Pacific midnight
}

// Outlook is what is left in one window.
type Outlook struct {
	Left    *int64 `json:"left"`    // of the projects whose limit is known; nil where none is
	Unknown int    `json:"unknown"` // projects whose limit is not known: they come on top
}

// Window is one window of a (project, model).
type Window struct {
	Used   int64     `json:"used"`
	Limit  *int64    `json:"limit"`            // nil for unknown
	Source string    `json:"source,omitempty"` // of Limit: SourceLearned or SourceSet
	Since  time.Time `json:"since,omitzero"`   // when Google named it, or since when the configuration has it
}

// Where limits come from.
const (
	SourceLearned = "learned" // Google named it in a refusal; it holds for a day
	SourceSet     = "set"     // by the operator
	// SourceObserved is of spend limits: Google named none, but refused when so much
	// had been spent. It holds for a day, and is tried to be exceeded.
	SourceObserved = "observed"
)

// window describes l.
func (l limit) window(used int64, now, set time.Time) Window {
	w := Window{Used: used}
	holds := l.holds(now)
	if holds == unlimited {
		return w
	}
	w.Limit, w.Source, w.Since = &holds, SourceSet, set.UTC()
	if l.counts(now) && l.value == holds && l.value != l.set {
		w.Source, w.Since = SourceLearned, time.Unix(0, l.learned).UTC()
	}
	return w
}

// counts returns what is in the windows at a time and drops nothing of it. Under
// q.mu.
func (q *quota) counts(now time.Time, aligned bool) used {
	u := used{q.minute.requests, q.minute.tokens, q.today}
	for _, s := range q.minute.spends {
		if s.ends(aligned) > now.UnixNano() {
			break
		}
		u.requests -= int64(s.requests)
		u.tokens -= s.tokens
	}
	if now.Unix() >= q.dayEnds {
		u.today = 0
	}
	return u
}

// look returns how the quota stands to a request of so many tokens, and changes
// nothing.
func (q *quota) look(now time.Time, tokens int64, aligned bool) (s standing, fits bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.counts(now, aligned)
	return q.judge(u, now, aligned), q.fitsBeside(u.tokens, tokens, now)
}

// tell puts what is known of the quota into c.
func (q *quota) tell(c *Candidate, x *inquiry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.counts(x.now, x.aligned)
	s := q.score(u, x.now, float64(c.Score.Weight))
	c.Score.InFlight, c.Score.Today = q.inFlight, u.today
	c.Score.Slowness, c.Score.Room, c.Score.Reliability = s.slowness, s.room, s.reliability
	set := x.pool.limits.since
	c.RPM, c.TPM, c.RPD = q.rpm.window(u.requests, x.now, set), q.tpm.window(u.tokens, x.now, set), q.rpd.window(u.today, x.now, set)
}

// windowsOf describes the windows of a project that has not used a model. Under
// p.mu.
func (p *Pool) windowsOf(t *project, m *model) (minute, tokens, day Window) {
	var rpm, tpm, rpd limit
	rpm.set, tpm.set, rpd.set = p.limits.of(t, m.name)
	now, set := p.now(), p.limits.since
	return rpm.window(0, now, set), tpm.window(0, now, set), rpd.window(0, now, set)
}

// outlook adds to the forecast what a project has left. Under p.mu.
func (x *inquiry) outlook(t *project) {
	var able *entry // a key that may serve such requests, if not now; one that rests least
	var resting *rest
	for _, e := range t.keys {
		if x.tagged && !x.marked(e) || x.lane.paid != nil && !e.spec.Load().paid || !e.live.Load().state.leasable() || x.pool.lacks(e, x.lane.model) {
			continue
		}
		r := x.rest(e)
		if r != nil && r.kind == NotAvailable {
			continue
		}
		if s := t.overspent(); s.holds() && s.until.After(x.now) && (r == nil || s.until.After(r.until)) {
			r = s
		}
		if able == nil || resting != nil && (r == nil || r.until.Before(resting.until)) {
			able, resting = e, r
		}
	}
	if able == nil {
		return
	}
	x.forecast.Projects++
	var rpm, rpd limit
	var u used
	if q := x.lane.model.quota(able.slot); q != nil {
		q.mu.Lock()
		rpm, rpd, u = q.rpm, q.rpd, q.counts(x.now, x.aligned)
		q.mu.Unlock()
	} else {
		rpm.set, _, rpd.set = x.pool.limits.of(t, x.lane.model.name)
	}
	day, minute := rpd.holds(x.now)-u.today, rpm.holds(x.now)-u.requests
	dayKnown, minuteKnown := rpd.holds(x.now) != unlimited, rpm.holds(x.now) != unlimited
	if resting != nil { // nothing for now; and nothing today, if it rests so long
		minute, minuteKnown = 0, true
		if !resting.until.Before(x.forecast.Resets) {
			day, dayKnown = 0, true
		}
	}
	if dayKnown { // and what the day has not, the minute has not either
		minute, minuteKnown = min(minute, day), minuteKnown || day <= 0
	}
	x.forecast.Day.add(day, dayKnown)
	x.forecast.Minute.add(minute, minuteKnown)
}

func (o *Outlook) add(left int64, known bool) {
	if !known {
		o.Unknown++
		return
	}
	if o.Left == nil {
		o.Left = new(int64)
	}
	*o.Left += max(left, 0)
}

const (
	// maxForecasts is how many models are foretold.
	maxForecasts = 100
	// A forecast of many keys may be so many times older than it took, so that making
	// them never takes more than a twentieth of the time, but not older than that.
	oldestForecast = 10 * time.Second
	// waitForForecast is how long one may take for which everybody waits.
	waitForForecast = 20 * time.Millisecond
)

// Forecasts tells how many requests are left, for any key, of the models that were
// asked for and those that the operator's limits name, by name; of the first 100
// of them. In large pools it may be seconds old: who asks again does not wait for the
// next, which is made meanwhile.
func (p *Pool) Forecasts() []Forecast {
	p.forecastMu.Lock()
	defer p.forecastMu.Unlock()
	now := p.now()
	switch {
	case now.Before(p.forecastGood):
	case p.forecastTook > waitForForecast && now.Before(p.forecastGood.Add(oldestForecast)):
		if !p.forecasting {
			p.forecasting = true
			go func() {
				all, took := p.forecast()
				p.forecastMu.Lock()
				defer p.forecastMu.Unlock()
				p.forecasting = false
				p.keepForecasts(all, took)
			}()
		}
	default:
		p.keepForecasts(p.forecast())
	}
	return slices.Clone(p.forecasts)
}

// keepForecasts is called with forecastMu.
func (p *Pool) keepForecasts(all []Forecast, took time.Duration) {
	p.forecasts, p.forecastTook = all, took
	p.forecastGood = p.now().Add(min(staleness*took, oldestForecast))
}

// forecast makes what Forecasts returns, and tells how long that took.
func (p *Pool) forecast() (out []Forecast, took time.Duration) {
	began := p.now()
	var names []string
	for name, m := range *p.models.Load() {
		if name != "" && m.quotas.table.Load() != nil {
			names = append(names, name)
		}
	}
	p.mu.Lock()
	for _, r := range p.limits.rules {
		if !strings.ContainsAny(r.Model, "*?") {
			names = append(names, r.Model)
		}
	}
	p.mu.Unlock()
	slices.Sort(names)
	names = slices.Compact(names)
	out = []Forecast{}
	for _, name := range names[:min(len(names), maxForecasts)] {
		x := p.inquire(name, nil, false, 0)
		for e := range x.keys() {
			if t := e.live.Load().project; e.firstOf(t) {
				x.outlook(t)
			}
		}
		out = append(out, x.forecast)
	}
	return out, p.now().Sub(began)
}

// QuotaQuery selects a page of quotas.
type QuotaQuery struct {
	Model, Project string // "" for any
	Limit          int    // 0 means 100
	Offset         int
}

// QuotaView is what a project has used of a model, and may use.
type QuotaView struct {
	Project string `json:"project"` // for a project of a key's own, the key's id
	Model   string `json:"model"`
	Keys    int    `json:"keys"` // of the project
	RPM     Window `json:"rpm"`
	TPM     Window `json:"tpm"`
	RPD     Window `json:"rpd"`
	// Spend is in nano-USD in ten minutes, of all models of the project; nil where
	// nobody asks for it.
	Spend *Window `json:"spend,omitempty"`
}

// Quotas returns a page of the (project, model) that were asked for, by project and
// model, and how many match.
func (p *Pool) Quotas(query QuotaQuery) (page []QuotaView, total int) {
	if query.Limit <= 0 {
		query.Limit = pageSize
	}
	query.Offset = max(query.Offset, 0)
	matches := func(m *model) bool { return query.Model == "" || m.name == query.Model }
	type projected struct {
		*project
		n int // quotas that match
	}
	x := p.inquire("", nil, false, 0)
	var projects []projected
	for e := range x.keys() {
		t := e.live.Load().project
		if !e.firstOf(t) || query.Project != "" && t.id != query.Project {
			continue
		}
		n := 0
		for _, q := range t.quotas {
			if matches(q.model) {
				n++
			}
		}
		projects = append(projects, projected{t, n})
	}
	slices.SortFunc(projects, func(a, b projected) int { return strings.Compare(a.id, b.id) })
	type found struct {
		project, model string
		quota          *quota
	}
	var all []found // of the projects that the page is about
	skip := query.Offset
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range projects {
		if total += t.n; total <= query.Offset || len(all)-skip >= query.Limit {
			if total <= query.Offset {
				skip -= t.n
			}
			continue
		}
		from := len(all)
		for _, q := range t.quotas {
			m := q.model
			if matches(m) {
				all = append(all, found{t.id, m.name, q})
			}
		}
		slices.SortFunc(all[from:], func(a, b found) int { return strings.Compare(a.model, b.model) })
	}
	set := p.limits.since
	for _, f := range all[min(skip, len(all)):min(skip+query.Limit, len(all))] {
		q := f.quota.current()
		q.mu.Lock()
		u := q.counts(x.now, x.aligned)
		view := QuotaView{
			Project: f.project, Model: f.model, Keys: len(q.project.keys),
			RPM: q.rpm.window(u.requests, x.now, set), TPM: q.tpm.window(u.tokens, x.now, set), RPD: q.rpd.window(u.today, x.now, set),
		}
		q.mu.Unlock()
		view.Spend = q.project.spends(x.now, set)
		page = append(page, view)
	}
	return page, total
}
