// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"slices"
)

// The bars that are not of a scenario's CPU.
const (
	barRest   = 60   // MB of the process that has nothing to do
	barLoad   = 70   // MB at most, under small chats
	barGrowth = 1.05 // share of CPU with many keys of that with few
)

// verdicts are what a newcomer wants to know of a run: figures beside their bars.
type verdicts []verdict

type verdict struct {
	what      string
	figure    float64
	bar       float64 // 0 for none
	low, high float64 // where the median lies in 95 of 100 runs; 0 where there is one figure
}

func (v *verdicts) upTo(what string, figure, bar float64) {
	*v = append(*v, verdict{what: what, figure: figure, bar: bar})
}

// of judges the median of a figure's rounds.
func (v *verdicts) of(what string, rounds []float64, bar float64) {
	slices.Sort(rounds)
	n := len(rounds)
	k := sure(n)
	*v = append(*v, verdict{what, rounds[n/2], bar, rounds[k], rounds[n-1-k]})
}

// sure is how many of n sorted rounds on either side are outside of an interval that
// has the true median in 95 of 100 cases: as many as a coin shows heads in fewer than
// 2.5 of 100.
func sure(n int) (k int) {
	p := math.Pow(.5, float64(n)) // of k heads
	for sum := p; sum <= .025; k++ {
		p *= float64(n-k) / float64(k+1)
		sum += p
	}
	return max(k-1, 0)
}

// scenario judges one: by the median of the CPU's ratios, round for round, which a noisy
// machine spoils less than the ratio of two medians.
func (v *verdicts) scenario(sc *scenario, name string, first, last []measurement) {
	if len(first) == 0 {
		return
	}
	if sc.rate > 0 {
		added := func(m *measurement) float64 { return m.p50 }
		v.upTo(sc.name+": latency added, ms", median(last, added), median(first, added))
		return
	}
	bar, what := sc.bar, sc.name+": CPU"
	if *keys {
		bar, what = barGrowth, name+": CPU"
	}
	ratios := make([]float64, len(first))
	for i := range first {
		ratios[i] = last[i].cpu / first[i].cpu
	}
	v.of(what, ratios, bar)
	if sc.small && !*keys {
		v.upTo(sc.name+": memory at most, MB", median(last, func(m *measurement) float64 { return m.peak }), barLoad)
	}
}

func (v verdicts) print() {
	fmt.Printf("\n%-54s%8s%18s%8s\n", "summary; CPU is the share of the first column's", "median", "95 % sure within", "bar")
	for _, x := range v {
		within, bar, word := "", "–", ""
		if x.low > 0 {
			within = fmt.Sprintf("%.2f to %.2f", x.low, x.high)
		}
		if x.bar > 0 {
			bar, word = fmt.Sprintf("%.2f", x.bar), x.word()
		}
		fmt.Printf("  %-52s%8.2f%18s%8s  %s\n", x.what, x.figure, within, bar, word)
	}
}

// word is whether the bar is met, where the rounds tell.
func (x *verdict) word() string {
	low, high := x.low, x.high
	if low == 0 {
		low, high = x.figure, x.figure
	}
	switch {
	case high <= x.bar:
		return "met"
	case low > x.bar:
		return "not met"
	}
	return "undecided"
}
