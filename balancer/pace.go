// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// paceHalf is the time in which half of what is known of a project's pace is
	// forgotten, so that a slow one is tried again.
	paceHalf  = 20 * time.Second
	paceShare = 0.3
	// paceTokens is what an answer costs in time before its first token, in tokens.
	paceTokens = 50
	slowest    = 30.0 // how many times slower than the model's mean counts
)

// pace is how fast and how reliably a project serves a model. Guarded by quota.mu.
type pace struct {
	perToken float64 // ns, mean of the last answers; 0 for unknown
	faults   float64 // share of the last attempts that failed for the server's or the way's fault
	at       int64   // of the last attempt, Unix ns

	// Attempts and faults since, for the breaker.
	since         int64
	attempts, bad int32
}

// mean is a running mean that many write.
type mean struct{ bits atomic.Uint64 }

func (m *mean) load() float64 { return math.Float64frombits(m.bits.Load()) }

// add takes a sample. A lost update is a lost sample of many.
func (m *mean) add(v float64) {
	old := m.load()
	if old == 0 {
		m.bits.Store(math.Float64bits(v))
		return
	}
	v = min(v, old*4) // a slow project must not become the measure
	m.bits.Store(math.Float64bits(old + (v-old)*0.05))
}

// faulty are the verdicts that speak against a project's health. An overloaded
// Google does not: that is no project's fault.
func faulty(v Verdict) bool {
	return v == ServerError || v == UpstreamTimeout || v == Network || v == Unusable
}

// end takes an attempt that took so long.
func (s *pace) end(o *Outcome, took time.Duration, now time.Time, m *model) {
	switch {
	case o.Verdict == OK && o.Untimed:
		s.faults *= 1 - paceShare
	case o.Verdict == OK && took > 0:
		per := float64(took) / float64(paceTokens+max(o.Tokens-o.Input, 0))
		if ratio := s.ratio(m, now); s.perToken == 0 {
			s.perToken = per
		} else {
			old := ratio * m.pace.load()
			s.perToken = old + (per-old)*paceShare
		}
		m.pace.add(per)
		s.faults *= 1 - paceShare
	case faulty(o.Verdict):
		s.faults += (1 - s.faults) * paceShare
	default:
		return
	}
	s.at = now.UnixNano()
}

// fade is how much of what was measured last still counts.
func (s *pace) fade(now time.Time) float64 {
	return math.Exp2(-float64(now.UnixNano()-s.at) / float64(paceHalf))
}

// ratio is how many times slower than the model's mean the project is; 1 for
// unknown.
func (s *pace) ratio(m *model, now time.Time) float64 {
	all := m.pace.load()
	if s.perToken == 0 || all == 0 {
		return 1
	}
	r := min(max(s.perToken/all, 1/slowest), slowest)
	return 1 + (r-1)*s.fade(now)
}

// reliability is the share of attempts that will not fail, as far as known.
func (s *pace) reliability(now time.Time) float64 {
	if s.faults == 0 {
		return 1
	}
	return 1 - s.faults*s.fade(now)
}
