// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"fmt"
	"math"
)

// Bar is a figure to reach.
type Bar struct {
	Name  string
	Value func(*Figures) figure
	Least bool // the figure must be at least Limit, otherwise at most
	Limit figure
}

func least(name string, limit figure, value func(*Figures) figure) Bar {
	return Bar{name, value, true, limit}
}

func atMost(name string, limit figure, value func(*Figures) figure) Bar {
	return Bar{name, value, false, limit}
}

// whole is a yield that is 1.00 when it is printed.
const whole = 0.995

func yield0(limit figure) Bar {
	return least("yield0", limit, func(f *Figures) figure { return f.Yield0 })
}

func yieldW(limit figure) Bar {
	return least("yieldW", limit, func(f *Figures) figure { return f.YieldW })
}

func attempts(limit figure) Bar {
	return atMost("attempts", limit, func(f *Figures) figure { return f.Attempts })
}

func early(limit figure) Bar {
	return atMost("early", limit, func(f *Figures) figure { return f.Early })
}

var (
	noErrors   = atMost("user errors", 0, func(f *Figures) figure { return f.Errors + f.Limited })
	only429    = atMost("errors but 429", 0, func(f *Figures) figure { return f.Errors })
	trueAfter  = atMost("retry-after off p95", 1, func(f *Figures) figure { return f.After95 })
	announced  = atMost("429 without retry-after", 0, func(f *Figures) figure { return f.Unannounce })
	fastNo     = atMost("refusal p95", .5, func(f *Figures) figure { return f.Refusal95 })
	badOnce    = atMost("on a bad key", 1, func(f *Figures) figure { return f.BadMost })
	badEarly   = atMost("last on a bad key", 20, func(f *Figures) figure { return f.BadLast })
	slowLess   = atMost("slow key's share", .6, func(f *Figures) figure { return f.SlowShare })
	phases     = least("worst phase", whole, func(f *Figures) figure { return f.WorstPhase })
	noneRested = atMost("rested", 0, func(f *Figures) figure { return f.Rested })
	dayTwice   = atMost("on a used-up day", 2, func(f *Figures) figure { return f.DayMost })
	siblings   = atMost("on siblings", 2, func(f *Figures) figure { return f.EarlySibling })
	noSham     = atMost("shammed", 0, func(f *Figures) figure { return f.Shammed })
	lacksOnce  = atMost("on a missing model", 1, func(f *Figures) figure { return f.MissingMost })
	cached     = least("cached", .95, func(f *Figures) figure { return f.Cached })
)

// check tells which bars the figures miss. A figure that does not apply misses
// none.
func check(bars []Bar, f *Figures) (missed []string) {
	for _, b := range bars {
		v := b.Value(f)
		ok, sign := v <= b.Limit, "≤"
		if b.Least {
			ok, sign = v >= b.Limit, "≥"
		}
		if !ok && !math.IsNaN(float64(v)) {
			missed = append(missed, fmt.Sprintf("%s %.4g (%s %g)", b.Name, float64(v), sign, float64(b.Limit)))
		}
	}
	return missed
}

// changed tells what a restart changed by more than 1 %. Numbers of single events
// may differ by one: they are not shares of anything.
func changed(before, after *Figures) (out []string) {
	for _, c := range []struct {
		name   string
		value  func(*Figures) figure
		events bool
	}{
		{"yield0", func(f *Figures) figure { return f.Yield0 }, false},
		{"yieldW", func(f *Figures) figure { return f.YieldW }, false},
		{"attempts", func(f *Figures) figure { return f.Attempts }, false},
		{"cached", func(f *Figures) figure { return f.Cached }, false},
		{"errors", func(f *Figures) figure { return ratio(float64(f.Errors+f.Limited), float64(f.Requests)) }, false},
		{"early", func(f *Figures) figure { return f.Early }, true},
		{"on a used-up day", func(f *Figures) figure { return f.DayMost }, true},
		{"on a bad key", func(f *Figures) figure { return f.BadMost }, true},
		{"on a missing model", func(f *Figures) figure { return f.MissingMost }, true},
	} {
		x, y := float64(c.value(before)), float64(c.value(after))
		tolerance := .01
		if c.events {
			tolerance = 1
		}
		if math.Abs(x-y) > tolerance {
			out = append(out, fmt.Sprintf("%s %.4g → %.4g by the restart", c.name, x, y))
		}
	}
	return out
}
