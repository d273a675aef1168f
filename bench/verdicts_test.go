// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

// TestVerdict: a bar within what the rounds leave open is undecided. The intervals are
// those of the binomial distribution, as tables of order statistics have them.
func TestVerdict(t *testing.T) {
	for n, want := range map[int]int{1: 0, 5: 0, 6: 0, 8: 0, 9: 1, 11: 1, 12: 2, 15: 3, 21: 5} {
		if got := sure(n); got != want {
			t.Errorf("%d rounds: %d are left out on either side, want %d", n, got, want)
		}
	}
	for bar, want := range map[float64]string{.9: "not met", 1.05: "undecided", 1.2: "undecided", 1.3: "met"} {
		var v verdicts
		v.of("figure", []float64{1.3, 1.1, 1, 1.2, .95, 1.05, 1.15}, bar)
		if got := v[0].word(); got != want || v[0].figure != 1.1 {
			t.Errorf("a median of %.2f with a bar of %.2f: %s, want %s", v[0].figure, bar, got, want)
		}
	}
	if one := (&verdict{figure: 2, bar: 1}); one.word() != "not met" {
		t.Error("a single figure above its bar is", one.word())
	}
}
