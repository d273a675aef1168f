// SPDX-License-Identifier: Apache-2.0

package fakegemini

import "time"

// spendWindow is how long what a project spends counts against Project.Spend.
const spendWindow = 10 * time.Minute

// payment is what a project paid at a time.
type payment struct {
	at   time.Time
	cost int64
}

// overspent reports whether the project has spent its limit, on all models together.
// It is not looked ahead: the request that reaches the limit is still served. Under
// s.mu.
func (s *Server) overspent(p *Project, now time.Time) bool {
	if p.Spend <= 0 {
		return false
	}
	paid := s.paid[p.Name]
	for len(paid) > 0 && !paid[0].at.Add(spendWindow).After(now) {
		paid = paid[1:]
	}
	s.paid[p.Name] = paid
	var sum int64
	for _, m := range paid {
		sum += m.cost
	}
	return sum >= p.Spend
}

// pay books tokens. Under s.mu.
func (s *Server) pay(p *Project, tokens int64, now time.Time) {
	if cost := tokens * s.cfg.TokenPrice; p.Spend > 0 && cost > 0 {
		s.paid[p.Name] = append(s.paid[p.Name], payment{now, cost})
	}
}

// payOutput books the tokens of an answer.
func (x *exchange) payOutput(r *reply) {
	tokens := r.thoughts
	for _, n := range r.output {
		tokens += n
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.pay(x.s.projects[x.e.Project], tokens, x.s.cfg.Now())
}

// overspentAnswer names neither the limit nor a time, as Google's does not.
func overspentAnswer() answer {
	return failure(429, "You exceeded your spend-based rate limit. Your spending rate has exceeded the allowed limit for your account's billing history and tier.")
}
