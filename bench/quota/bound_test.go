// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// TestBound compares the bounds with brute force on small cases: every choice of
// project and of time to start for every request. Times are on a grid of 10 s,
// and so are all sums of arrivals and minutes, at one of which each request of
// some best schedule starts.
func TestBound(t *testing.T) {
	const grid = 10 * time.Second
	start := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		s := Scenario{Aligned: seed%3 == 0}
		for range 1 + r.IntN(2) {
			s.Projects = append(s.Projects, fleet(1, rpm(int64(1+r.IntN(2))))...)
		}
		hold := time.Duration(r.IntN(3)) * grid
		var list []Arrival
		at := time.Duration(0)
		for range 4 + r.IntN(3) {
			at += time.Duration(r.IntN(3)) * grid
			list = append(list, Arrival{At: at, Model: modelA, Tokens: 1})
		}
		x := exhaustive{scenario: &s, list: list, hold: hold, start: start, grid: grid, used: make([][]time.Duration, len(s.Projects))}
		if got, want := s.bound(list, hold, start), x.best(0); got != want {
			t.Errorf("seed %d: bound %d, brute force %d; aligned %v, hold %v, %d projects, arrivals %v", seed, got, want, s.Aligned, hold, len(s.Projects), list)
		}
	}
}

// exhaustive tries every schedule.
type exhaustive struct {
	scenario *Scenario
	list     []Arrival
	hold     time.Duration
	start    time.Time
	grid     time.Duration
	used     [][]time.Duration // starts by project
}

func (x *exhaustive) best(i int) int {
	if i == len(x.list) {
		return 0
	}
	most := x.best(i + 1)
	for p := range x.used {
		for at := x.list[i].At; at <= x.list[i].At+x.hold; at += x.grid {
			x.used[p] = append(x.used[p], at)
			if x.legal(p) {
				most = max(most, 1+x.best(i+1))
			}
			x.used[p] = x.used[p][:len(x.used[p])-1]
		}
	}
	return most
}

// legal says whether a project has no minute with more starts than it allows.
func (x *exhaustive) legal(p int) bool {
	limit := x.scenario.Projects[p].Limits.RPM
	for _, a := range x.used[p] {
		n := int64(0)
		for _, b := range x.used[p] {
			same := b >= a && b < a+time.Minute
			if x.scenario.Aligned {
				same = x.start.Add(a).Truncate(time.Minute).Equal(x.start.Add(b).Truncate(time.Minute))
			}
			if same {
				n++
			}
		}
		if n > limit {
			return false
		}
	}
	return true
}

// TestTokenBound checks that the relaxed bound is one: no less than what a
// greedy schedule gets.
func TestTokenBound(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 9))
		s := Scenario{Projects: fleet(3, fakegemini.Limits{TPM: 1000})}
		var list []Arrival
		at := time.Duration(0)
		for range 60 {
			at += time.Duration(r.ExpFloat64() * float64(3*time.Second))
			list = append(list, Arrival{At: at, Model: modelA, Tokens: int64(20 + r.IntN(400))})
		}
		served := 0
		meters := make([][]Arrival, 3)
		for _, a := range list {
			for p := range meters {
				sum := a.Tokens
				for _, b := range meters[p] {
					if b.At > a.At-time.Minute {
						sum += b.Tokens
					}
				}
				if sum <= 1000 {
					meters[p] = append(meters[p], a)
					served++
					break
				}
			}
		}
		got := s.bound(list, 0, time.Unix(0, 0))
		if got < served {
			t.Errorf("seed %d: bound %d, but %d were served", seed, got, served)
		}
		if served == len(list) || got > len(list) {
			t.Errorf("seed %d: bound %d of %d, %d served: the case is too easy or the bound too high", seed, got, len(list), served)
		}
	}
}
