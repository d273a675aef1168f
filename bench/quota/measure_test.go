// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

var noon = time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC) // in California

func after(seconds float64) time.Time {
	return noon.Add(time.Duration(seconds * float64(time.Second)))
}

// refused is an attempt that Google answered with a 429; times in seconds.
func refused(key, project string, sent, answered, until float64) fakegemini.Entry {
	return fakegemini.Entry{
		Key: key, Project: project, Model: modelA, Attempt: true, Status: 429,
		At: after(sent), Decided: after(sent), End: after(answered), Until: after(until), Note: "quota: GenerateRequestsPerMinute",
	}
}

// TestAttempts: an attempt is early if an answer that had already arrived
// announced a later time.
func TestAttempts(t *testing.T) {
	for _, v := range []struct {
		name            string
		second          fakegemini.Entry
		early, siblings figure
	}{
		{"before the answer arrived", refused("a", "p", 0.5, 1.5, 30), 0, 0},
		{"after it", refused("a", "p", 2, 3, 30), 1, 0},
		{"with a sibling", refused("b", "p", 2, 3, 30), 1, 1},
		{"another project", refused("c", "q", 2, 3, 30), 0, 0},
		{"when it is over", refused("a", "p", 30, 31, 60), 0, 0},
	} {
		t.Run(v.name, func(t *testing.T) {
			b := &Books{Start: noon, Entries: []fakegemini.Entry{refused("a", "p", 0, 1, 30), v.second}}
			var s Scenario
			f := s.Measure(b)
			if f.Early != v.early || f.EarlySibling != v.siblings {
				t.Errorf("early %v, siblings %v; want %v, %v", f.Early, f.EarlySibling, v.early, v.siblings)
			}
		})
	}
}

// TestMeasure: errors, waits and yields of a few requests to one project of two a
// minute.
func TestMeasure(t *testing.T) {
	s := Scenario{Projects: fleet(1, rpm(2))}
	arrival := func(at float64) Arrival { return Arrival{At: time.Duration(at * 1e9), Model: modelA} }
	served := fakegemini.Entry{Project: "p0", Model: modelA, Attempt: true, Charged: true, Status: 200}
	entry := func(n int, at float64) fakegemini.Entry {
		e := served
		e.Prompt, e.At, e.Decided, e.End = id(n)+" word", after(at), after(at), after(at+1)
		return e
	}
	b := &Books{
		Start: noon, Google: s.google(1),
		Entries: []fakegemini.Entry{entry(0, 0), entry(1, 5)},
		Samples: []Sample{
			{Arrival: arrival(0), N: 0, Status: 200, Whole: true, Complete: true, Ended: 1e9},
			{Arrival: arrival(1), N: 1, Status: 200, Whole: true, Complete: true, Ended: 6e9},
			{Arrival: arrival(2), N: 2, Status: 429, RetryAfter: 59 * time.Second, Ended: 2e9},
			{Arrival: arrival(3), N: 3, Status: 200, Complete: true, Ended: 4e9},
			{Arrival: arrival(55), N: 4, Status: 503, RetryAfter: -1, Ended: 55e9},
		},
	}
	f := s.Measure(b)
	for name, v := range map[string][2]float64{
		"answers": {float64(f.Answers), 2}, "bound at once": {float64(f.Bound0), 2}, "bound with waiting": {float64(f.BoundW), 3},
		"429": {float64(f.Limited), 1}, "other": {float64(f.Errors), 1}, "shammed": {float64(f.Shammed), 1},
		"attempts": {float64(f.Attempts), 1}, "wait": {float64(f.Wait95), 4}, "retry-after": {float64(f.After95), 1}, // one waits for the room that is left; the next is at 60 s
	} {
		if math.Abs(v[0]-v[1]) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, v[0], v[1])
		}
	}
}

func TestRoom(t *testing.T) {
	spent := func(l fakegemini.Limits, tokens int64, at ...float64) charges {
		c := charges{limits: l}
		for _, s := range at {
			c.sent, c.at, c.tokens = append(c.sent, after(s)), append(c.at, after(s)), append(c.tokens, tokens)
		}
		return c
	}
	midnight := fakegemini.NextMidnight(noon).Sub(noon).Seconds()
	for _, v := range []struct {
		name    string
		charges charges
		now     float64
		aligned bool
		want    []float64
	}{
		{"room", spent(rpm(2), 1, 10), 20, false, []float64{20, 70, 80}},
		{"full", spent(rpm(2), 1, 10, 15), 20, false, []float64{70, 75, 130}},
		{"charged later", spent(rpm(2), 1, 10, 25), 20, false, []float64{20}},
		{"over", spent(rpm(2), 1, 10, 15), 70, false, []float64{70}},
		{"two must go", spent(fakegemini.Limits{TPM: 100}, 45, 10, 15), 20, false, []float64{75}},
		{"minutes of the clock", spent(rpm(2), 1, 10, 15), 20, true, []float64{60, 60, 120}},
		{"the minute before", spent(rpm(2), 1, 10, 15), 61, true, []float64{61}},
		{"day", spent(fakegemini.Limits{RPM: 10, RPD: 2}, 1, 10, 15), 20, false, []float64{midnight}},
		{"another day", spent(fakegemini.Limits{RPM: 10, RPD: 2}, 1, 10, 15), midnight + 1, false, []float64{midnight + 1}},
	} {
		t.Run(v.name, func(t *testing.T) {
			var got []float64
			for _, at := range v.charges.rooms(after(v.now), 60, len(v.want), v.aligned) {
				got = append(got, at.Sub(noon).Seconds())
			}
			if !slices.Equal(got, v.want) {
				t.Errorf("room at %v s, want %v", got, v.want)
			}
		})
	}
}

// TestCheck: bars are met at their limits, and missed beyond them.
func TestCheck(t *testing.T) {
	good := Figures{YieldW: .98, Attempts: 1.06, Early: 2, After95: missing}
	bars := []Bar{yieldW(.98), attempts(1.06), early(2), only429, trueAfter}
	if missed := check(bars, &good); len(missed) > 0 {
		t.Errorf("missed %v", missed)
	}
	bad := Figures{YieldW: .97, Attempts: 1.07, Early: 3, Errors: 1, After95: 2}
	if missed := check(bars, &bad); len(missed) != len(bars) {
		t.Errorf("missed only %v", missed)
	}
	if out := changed(&good, &good); len(out) > 0 {
		t.Errorf("changed by nothing: %v", out)
	}
	more := Figures{YieldW: .975, Attempts: 1.075, Early: 3, Requests: 100, Limited: 2}
	got := strings.Join(changed(&Figures{YieldW: .98, Attempts: 1.06, Early: 2, Requests: 100}, &more), "; ")
	if want := "errors 0 → 0.02 by the restart; attempts 1.06 → 1.075 by the restart"; got != want {
		t.Errorf("changed: %s, want %s", got, want)
	}
}
