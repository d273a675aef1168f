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

// changed tells what a restart changed by more than 1 %: of all requests where the
// figure is a share of them, of the figure itself elsewhere. One event more or less
// is no change.
func changed(before, after *Figures) (out []string) {
	const part = .01
	for _, c := range []struct {
		name      string
		value     func(*Figures) figure
		tolerance func(x float64) float64
	}{
		{"yield0", func(f *Figures) figure { return f.Yield0 }, ofAll},
		{"yieldW", func(f *Figures) figure { return f.YieldW }, ofAll},
		{"errors", func(f *Figures) figure { return ratio(float64(f.Errors+f.Limited), float64(f.Requests)) }, ofAll},
		{"cached", func(f *Figures) figure { return f.Cached }, ofAll},
		{"attempts", func(f *Figures) figure { return f.Attempts }, ofItself},
		{"early", func(f *Figures) figure { return f.Early }, ofEvents},
		{"on a used-up day", func(f *Figures) figure { return f.DayMost }, ofEvents},
		{"on a bad key", func(f *Figures) figure { return f.BadMost }, ofEvents},
		{"on a missing model", func(f *Figures) figure { return f.MissingMost }, ofEvents},
	} {
		x, y := float64(c.value(before)), float64(c.value(after))
		if math.Abs(x-y) > part*c.tolerance(x) {
			out = append(out, fmt.Sprintf("%s %.4g → %.4g by the restart", c.name, x, y))
		}
	}
	return out
}

func ofAll(float64) float64      { return 1 }
func ofItself(x float64) float64 { return x }
func ofEvents(x float64) float64 { return max(x, 100) }
