// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"testing"
	"time"
)

// TestPace_Untimed: how long a session lasted is not how fast its project is.
func TestPace_Untimed(t *testing.T) {
	var m model
	var s pace
	now := time.Unix(1_700_000_000, 0)
	s.end(&Outcome{Tokens: 150, Input: 50}, time.Second, now, &m)
	before, mean := s.perToken, m.pace.load()
	s.end(&Outcome{Verdict: Network}, time.Second, now, &m)
	faults := s.faults
	s.end(&Outcome{Tokens: 150, Input: 50, Untimed: true}, time.Hour, now, &m)
	if s.perToken != before || m.pace.load() != mean {
		t.Errorf("an hour's session made a token last %v instead of %v, of the model's %v instead of %v", s.perToken, before, m.pace.load(), mean)
	}
	if s.faults >= faults {
		t.Errorf("its success does not count: faults %v after %v", s.faults, faults)
	}
}
