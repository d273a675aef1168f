// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
)

// The bars that are not of a scenario's CPU.
const (
	barRest   = 60   // MB of the process that has nothing to do
	barLoad   = 70   // MB after small chats
	barGrowth = 1.05 // share of CPU with many keys of that with few
)

// verdicts are what a newcomer wants to know of a run: figures beside their bars.
type verdicts []verdict

type verdict struct {
	what      string
	figure    float64
	bar       float64 // 0 for none
	low, high float64 // of single rounds; 0 where there is one figure
}

func (v *verdicts) upTo(what string, figure, bar float64) {
	*v = append(*v, verdict{what: what, figure: figure, bar: bar})
}

// scenario judges one: by the median of the CPU's ratios, round for round, which a noisy
// machine spoils less than the ratio of two medians.
func (v *verdicts) scenario(sc *scenario, name string, first, last []measurement, base *measurement) {
	if len(first) == 0 {
		return
	}
	if sc.rate > 0 {
		added := func(all []measurement) float64 { return median(slices.Clone(all)).p50 - base.p50 }
		v.upTo(sc.name+": latency added, ratio", added(last)/added(first), 1)
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
	slices.Sort(ratios)
	*v = append(*v, verdict{what, ratios[len(ratios)/2], bar, ratios[0], ratios[len(ratios)-1]})
	if sc.small && !*keys {
		v.upTo(sc.name+": memory at most, MB", median(slices.Clone(last)).peak, barLoad)
	}
}

func (v verdicts) print() {
	fmt.Printf("\n%-54s%8s%16s%8s\n", "in short; of CPU its share of the first column's", "figure", "its rounds", "bar")
	for _, x := range v {
		rounds, bar, met := "", "–", ""
		if x.low > 0 {
			rounds = fmt.Sprintf("%.2f to %.2f", x.low, x.high)
		}
		if x.bar > 0 {
			if bar, met = fmt.Sprintf("%.2f", x.bar), "  met"; x.figure > x.bar {
				met = "  not met"
			}
		}
		fmt.Printf("  %-52s%8.2f%16s%8s%s\n", x.what, x.figure, rounds, bar, met)
	}
}
