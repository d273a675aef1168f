// SPDX-License-Identifier: Apache-2.0

//go:build !race

package allocs

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what was measured to budget.txt")

const file = "budget.txt"

// runs is how often a case runs. What grows now and then is less than one a run.
const runs = 200

func TestBudget(t *testing.T) {
	budget := read(t)
	got := map[string]int{}
	for _, c := range cases(t) {
		t.Run(c.name, func(t *testing.T) {
			n := int(testing.AllocsPerRun(runs, c.run))
			got[c.name] = n
			most, known := budget[c.name]
			switch {
			case *update:
			case !known:
				t.Errorf("%d allocations, and no budget: run with -update", n)
			case n > most+most/50: // the pools of others empty themselves at times
				t.Errorf("%d allocations, more than the %d of the budget", n, most)
			case n < most:
				t.Logf("%d allocations, less than the %d of the budget: run with -update to keep it so", n, most)
			}
			delete(budget, c.name)
		})
	}
	for name := range budget {
		if !*update && !t.Failed() {
			t.Errorf("the budget has %q, which is no case", name)
		}
	}
	if *update {
		write(t, got)
	}
}

func read(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	budget := map[string]int{}
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		var n int
		name, number, ok := strings.Cut(lines.Text(), "\t")
		if strings.HasPrefix(name, "#") {
			continue
		}
		if _, err := fmt.Sscan(number, &n); !ok || err != nil {
			t.Fatalf("%s: %q is no name, tab and number", file, lines.Text())
		}
		budget[name] = n
	}
	return budget
}

func write(t *testing.T, got map[string]int) {
	t.Helper()
	var lines []string
	for name, n := range got {
		lines = append(lines, fmt.Sprintf("%s\t%d\n", name, n))
	}
	slices.Sort(lines)
	head := "# Allocations of one run of each case, the most that TestBudget bears.\n"
	if err := os.WriteFile(file, []byte(head+strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkCases tells the time and the bytes of the same cases.
func BenchmarkCases(b *testing.B) {
	for _, c := range cases(b) {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.run()
			}
		})
	}
}
