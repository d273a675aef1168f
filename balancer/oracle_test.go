// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"math/rand/v2"
	"testing"
	"time"
)

// oracle knows what one project with a name that only the operator gives may use, and
// what it has used, told apart from the pool's books on purpose: a list, counted anew
// for each lease.
type oracle struct {
	project string
	rule    LimitRule // in force for every model; windows of 0 are not limited
	aligned bool      // Google's minutes seemed to follow the clock at some time
	uses    []*use
}

type use struct {
	lease  *Lease
	model  string
	at     time.Time
	ended  time.Time // zero while it is under way
	tokens int64
	cost   int64
}

// leased notes a lease that was granted, and reports where it broke a limit.
func (o *oracle) leased(t *testing.T, p *Pool, l *Lease, w Want) {
	t.Helper()
	now := time.Now()
	o.aligned = o.aligned || p.aligned()
	if l.Project() != o.project {
		return
	}
	var requests, tokens, cost int64
	for _, u := range o.uses {
		if u.model == w.Model && now.Sub(u.at) < time.Minute {
			requests, tokens = requests+1, tokens+u.tokens
		}
		// What costs counts from when it is known.
		if u.ended.IsZero() || now.Sub(u.ended) < spendWindow {
			cost += u.cost
		}
	}
	if r := o.rule; !o.aligned {
		if r.RPM > 0 && requests >= r.RPM {
			t.Errorf("a request beyond the %d in a minute", r.RPM)
		}
		if r.TPM > 0 && w.Tokens > r.TPM+r.TPM/2+1 {
			t.Errorf("%d tokens of %d in a minute", w.Tokens, r.TPM)
		}
		// One that may be larger than the limit goes alone.
		if r.TPM > 0 && tokens > 0 && tokens+w.Tokens > r.TPM {
			t.Errorf("%d tokens beyond the %d of %d in a minute", w.Tokens, tokens, r.TPM)
		}
	}
	if o.rule.Spend > 0 && cost >= o.rule.Spend {
		t.Errorf("more is spent although %d of %d are", cost, o.rule.Spend)
	}
	o.uses = append(o.uses, &use{lease: l, model: w.Model, at: now, tokens: w.Tokens, cost: w.Cost})
}

// done corrects the use of a lease that ended.
func (o *oracle) done(l *Lease, out Outcome) {
	for i, u := range o.uses {
		if u.lease != l {
			continue
		}
		u.ended = time.Now()
		switch out.Verdict {
		case OK, Blocked, Canceled, ServerError, UpstreamTimeout, Network, Unusable, Unclassified:
			if out.Input > 0 {
				u.tokens = out.Input
			}
			if out.Cost > 0 {
				u.cost = out.Cost
			}
		default: // Google refused it at the door
			o.uses = append(o.uses[:i], o.uses[i+1:]...)
		}
		return
	}
}

// pause draws how long nothing happens: any time, or until about when something that
// was used leaves its window, where mistakes are.
func (o *oracle) pause(r *rand.Rand) time.Duration {
	if len(o.uses) > 0 && r.IntN(2) == 0 {
		u := o.uses[r.IntN(len(o.uses))]
		leaves, about := u.at.Add(time.Minute), 500*time.Millisecond
		if !u.ended.IsZero() && r.IntN(2) == 0 {
			leaves, about = u.ended.Add(spendWindow), spendGrid+time.Second
		}
		if d := time.Until(leaves) - about + time.Duration(r.Int64N(int64(2*about))); d > 0 {
			return d
		}
	}
	return time.Duration(r.IntN(60_000)) * time.Millisecond
}

// balanced reports where the pool's books do not add up: what is reserved is what the
// leases that are not Done hold, in requests, tokens and money, and nothing is below 0.
func balanced(t *testing.T, p *Pool, leases []*Lease) {
	t.Helper()
	settledBut(t, p, leases)
	p.mu.Lock()
	defer p.mu.Unlock()
	stakes, running := map[*spending]int64{}, map[*spending]int32{}
	for _, l := range leases {
		if l.stake.of != nil {
			stakes[l.stake.of] += l.stake.cost
			running[l.stake.of]++
		}
	}
	for _, project := range p.projects {
		s := project.spending.Load()
		if s == nil {
			continue
		}
		s.mu.Lock()
		var sum int64
		for _, cost := range s.slots {
			if sum += cost; cost < 0 {
				t.Errorf("%s: a slot of %d", project.id, cost)
			}
		}
		if sum != s.sum || s.reserved != stakes[s] || s.running != running[s] {
			t.Errorf("%s spent %d, counted as %d; reserved %d for %d, want %d for %d", project.id, sum, s.sum, s.reserved, s.running, stakes[s], running[s])
		}
		if s.trying && s.running == 0 {
			t.Errorf("%s: nobody tries to spend more", project.id)
		}
		s.mu.Unlock()
	}
}

// settledBut compares the quotas with the leases that are not Done.
func settledBut(t *testing.T, p *Pool, leases []*Lease) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	inFlight := map[*quota]int32{}
	for _, l := range leases {
		if l.quota != nil {
			inFlight[l.quota.current()]++
		}
	}
	for _, project := range p.projects {
		for _, q := range project.quotas {
			m := q.model
			q.mu.Lock()
			var requests, tokens int64
			for _, s := range q.minute.spends {
				if requests, tokens = requests+int64(s.requests), tokens+s.tokens; s.requests <= 0 || s.tokens < 0 {
					t.Errorf("%s, %s: %+v", project.id, m.name, s)
				}
			}
			if requests != q.minute.requests || tokens != q.minute.tokens || q.today < 0 || q.exploring < 0 || q.exploring > q.inFlight || q.inFlight != inFlight[q] {
				t.Errorf("%s, %s: %d requests with %d tokens, counted as %d with %d; %d today, %d in flight, want %d, %d explore", project.id, m.name,
					requests, tokens, q.minute.requests, q.minute.tokens, q.today, q.inFlight, inFlight[q], q.exploring)
			}
			q.mu.Unlock()
		}
	}
}

// emptied lets a day and more pass, and reports what is still counted then.
func emptied(t *testing.T, p *Pool) {
	t.Helper()
	time.Sleep(25 * time.Hour)
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, project := range p.projects {
		for _, q := range project.quotas {
			m := q.model
			q.mu.Lock()
			q.forget(now, p.aligned())
			if q.minute.requests != 0 || q.minute.tokens != 0 || q.today != 0 || q.inFlight != 0 || q.exploring != 0 {
				t.Errorf("%s, %s: %d requests, %d tokens, %d today, %d in flight, %d explore a day later", project.id, m.name,
					q.minute.requests, q.minute.tokens, q.today, q.inFlight, q.exploring)
			}
			q.mu.Unlock()
		}
		if s := project.spending.Load(); s != nil {
			s.mu.Lock()
			s.forget(now)
			if s.sum != 0 || s.reserved != 0 || s.running != 0 || s.trying {
				t.Errorf("%s: %d spent, %d reserved for %d a day later", project.id, s.sum, s.reserved, s.running)
			}
			s.mu.Unlock()
		}
	}
}
