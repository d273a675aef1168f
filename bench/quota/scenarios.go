// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// Scenarios are the rows of "Yield" in BARS.md, in its order.
func Scenarios() []Scenario {
	var out []Scenario
	out = append(out, loads()...)
	out = append(out, badKeys(), overload(), usedUpDay(), sharedProjects(), manyKeys(), burst(), brokenStreams(), conversations())
	out = append(out, tiers(.8), tokenLimits(.8), aligned(.8), tiers(.95), tokenLimits(.95), aligned(.95), midnight())
	for i := range out {
		if out[i].Length == 0 {
			out[i].Length = 15 * time.Minute
		}
	}
	return out
}

func loads() []Scenario {
	base := Scenario{About: "20 projects at RPM 10", Projects: fleet(20, rpm(10)), Wait: longHold}
	of := func(name string, share float64, wait time.Duration, bars ...Bar) Scenario {
		s := base.loaded(modelA, share)
		s.Name, s.Wait, s.Bars = name, wait, bars
		return s
	}
	return []Scenario{
		of("load-50", .5, longHold, yield0(whole), noErrors),
		of("load-80", .8, longHold, yield0(whole), noErrors),
		of("load-95", .95, longHold, yieldW(.98), attempts(1.06), early(2), only429, announced, trueAfter),
		of("load-120", 1.2, longHold, yieldW(.95), attempts(1.06), early(2), only429, announced, trueAfter),
		of("load-95-now", .95, 0, only429, announced, trueAfter),
		of("load-120-now", 1.2, 0, only429, announced, trueAfter),
	}
}

func badKeys() Scenario {
	s := Scenario{
		Name: "bad-keys", About: "20 projects at RPM 10, load 60 %; 3 keys invalid, 1 leaked, 2 suspended, one more after 5 min, 2 ten times slower",
		Projects: fleet(20, rpm(10)), Wait: longHold, Bars: []Bar{noErrors, badOnce, badEarly, slowLess},
	}
	states := map[int]fakegemini.KeyState{
		2: fakegemini.KeyInvalid, 5: fakegemini.KeyInvalid, 11: fakegemini.KeyInvalid, 7: fakegemini.KeyLeaked,
		13: fakegemini.KeySuspended, 14: fakegemini.KeySuspended,
	}
	for i, state := range states {
		s.Projects[i].Keys[0].State = state
	}
	s.Events = []Event{{5 * time.Minute, 19, fakegemini.KeySuspended}}
	s.Projects[3].Keys[0].Slow, s.Projects[16].Keys[0].Slow = 10, 10
	return s.loaded(modelA, .6)
}

func overload() Scenario {
	s := Scenario{
		Name: "overload", About: "20 projects at RPM 10, load 50 %; 20 % of attempts are answered 503 in two bursts of 90 s",
		Projects: fleet(20, rpm(10)), Wait: longHold, Bars: []Bar{yield0(whole), phases, attempts(1.20), noneRested},
	}
	bursts := []time.Duration{3 * time.Minute, 9 * time.Minute}
	s.Rules = func(start time.Time) (rules []fakegemini.Rule) {
		for _, at := range bursts {
			rules = append(rules, fakegemini.Rule{
				From: start.Add(at), Until: start.Add(at + 90*time.Second), Chance: .2, Steer: fakegemini.Steer{Status: 503},
			})
		}
		return rules
	}
	for _, at := range bursts {
		s.Phases = append(s.Phases, at, at+90*time.Second)
	}
	s.Phases = append(s.Phases, 15*time.Minute)
	return s.loaded(modelA, .5)
}

func usedUpDay() Scenario {
	s := Scenario{
		Name: "used-up-day", About: "20 projects at RPM 10; a model's day is used up on 5 from the start, on 5 after 15 requests; load 60 % of the other 10, and 30 % on another model",
		Projects: fleet(20, rpm(10)), Wait: longHold, Bars: []Bar{yield0(whole), dayTwice},
	}
	for i := range 10 {
		l := fakegemini.Limits{RPM: 10, RPD: fakegemini.SpentDay}
		if i%2 == 1 {
			l.RPD = 15
		}
		s.Projects[2*i].ByModel = map[string]fakegemini.Limits{modelB: l}
	}
	s.Loads = []Load{{Model: modelA, Rate: .3 * 200 / 60}, {Model: modelB, Rate: .6 * 100 / 60}}
	return s
}

func sharedProjects() Scenario {
	s := Scenario{
		Name: "shared-projects", About: "7 projects at RPM 10 with three keys each, which the operator does not know; load 95 %",
		Projects: fleet(7, rpm(10)), Wait: longHold, Bars: []Bar{yieldW(.95), siblings, only429},
	}
	for i := range s.Projects {
		s.Projects[i].Keys = make([]fakegemini.Key, 3)
	}
	return s.loaded(modelA, .95)
}

func manyKeys() Scenario {
	s := Scenario{
		Name: "keys-1000", About: "1,000 projects at RPM 10, load 80 %", Length: 5 * time.Minute,
		Projects: fleet(1000, rpm(10)), Wait: longHold, Bars: []Bar{yield0(whole), noErrors, attempts(1.005)},
	}
	return s.loaded(modelA, .8)
}

func burst() Scenario {
	return Scenario{
		Name: "burst", About: "20 projects at RPM 10 and nothing known of them; 600 requests in 2 s",
		Projects: fleet(20, rpm(10)), Wait: longHold, Length: 2 * time.Second,
		Loads: []Load{{Model: modelA, Rate: 300}},
		Bars:  []Bar{yield0(whole), attempts(1.25), only429, announced, fastNo, trueAfter},
	}
}

func brokenStreams() Scenario {
	s := Scenario{
		Name: "broken-streams", About: "20 projects at RPM 10, streams, load 50 %; 10 % end or break after 3 events, 5 % before output; half the keys lack the second model (10 %)",
		Projects: fleet(20, rpm(10)), Wait: longHold, Stream: true, Bars: []Bar{noSham, lacksOnce, noErrors},
	}
	for i := range 10 {
		s.Projects[2*i].Models = []string{modelA}
	}
	s.Rules = func(time.Time) []fakegemini.Rule {
		whole := fakegemini.Steer{Events: 8, Pace: 50 * time.Millisecond}
		broken := func(how fakegemini.Break, after int) fakegemini.Rule {
			steer := whole
			steer.Break, steer.After = how, after
			return fakegemini.Rule{Chance: .05, Steer: steer}
		}
		return []fakegemini.Rule{{Steer: whole}, broken(fakegemini.Cut, 3), broken(fakegemini.ResetEvent, 3), broken(fakegemini.Reset, 0)}
	}
	s.Loads = []Load{{Model: modelA, Rate: .4 * 200 / 60}, {Model: modelB, Rate: .1 * 200 / 60}}
	return s
}

func conversations() Scenario {
	s := Scenario{
		Name: "conversations", About: "20 projects at RPM 10; 40 conversations of 12 turns at a time, each with a context of its own; load 60 %",
		Projects: fleet(20, rpm(10)), Wait: longHold, Lanes: 40, Bars: []Bar{cached, noErrors},
	}
	return s.loaded(modelA, .6)
}

// BARS.md names no load for these: 80 % counts, 95 % is to see what is left.
func named(name string, share float64) string {
	if share == .8 {
		return name
	}
	return name + "-" + strings.TrimSuffix(percent(share), " %")
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// mostly is the yield to reach: at 95 % that of load-95, where waiting counts.
func mostly(share float64) Bar {
	if share > .8 {
		return yieldW(.98)
	}
	return yield0(.99)
}

func tiers(share float64) Scenario {
	s := Scenario{
		Name: named("mixed-tiers", share), About: "10 projects at RPM 5, 6 at 15, 4 paid ones at 100; load " + percent(share),
		Projects: slices.Concat(fleet(10, rpm(5)), fleet(6, rpm(15)), fleet(4, rpm(100))), Wait: longHold,
		Bars: []Bar{mostly(share), attempts(1.12), only429},
	}
	for i := 16; i < 20; i++ {
		s.Projects[i].Paid = true
	}
	return s.loaded(modelA, share)
}

func tokenLimits(share float64) Scenario {
	s := Scenario{
		Name: named("token-bound", share), About: "20 projects at TPM 20,000; prompts of 400 tokens in the median, up to 6,000; load " + percent(share),
		Projects: fleet(20, fakegemini.Limits{TPM: 20_000}), Wait: longHold,
		Size: Size{Median: 400, Sigma: 1, Max: 6000},
		Bars: []Bar{mostly(share), attempts(1.18), only429},
	}
	_, pooled := s.capacity(modelA)
	s.Loads = []Load{{Model: modelA, Rate: share * pooled / 60 / s.Size.mean()}}
	return s
}

func aligned(share float64) Scenario {
	s := Scenario{
		Name: named("aligned", share), About: "20 projects at RPM 10 whose minutes follow the clock; load " + percent(share),
		Projects: fleet(20, rpm(10)), Wait: longHold, Aligned: true,
		Bars: []Bar{mostly(share), attempts(1.20), only429},
	}
	return s.loaded(modelA, share)
}

// midnight is no row of BARS.md; it is what a day in RPD means.
func midnight() Scenario {
	s := Scenario{
		Name: "midnight", About: "20 projects at RPM 10, RPD 100, load 80 %; the day ends after 15 of 25 min",
		Projects: fleet(20, fakegemini.Limits{RPM: 10, RPD: 100}), Wait: longHold,
		Begin: 8*time.Hour - 15*time.Minute, Length: 25 * time.Minute, // Pacific midnight in winter is 08:00 UTC
		Bars: []Bar{yield0(.99), dayTwice, only429, announced, trueAfter},
	}
	return s.loaded(modelA, .8)
}
