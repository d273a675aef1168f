// SPDX-License-Identifier: Apache-2.0

//go:build !race

package allocs

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what was measured to budget.txt")

const file = "budget.txt"

// runs is how often a case runs. What grows now and then is less than one a run.
const runs = 200

// cost is what one run allocates.
type cost struct{ objects, bytes int }

// measure runs a case without the collector, which would empty the pools of memory that
// is used again.
func measure(t *testing.T, c measured) cost {
	if err := c.house.ledger.Flush(); err != nil { // else the books of all cases are a matter of the last one
		t.Fatal(err)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	objects := testing.AllocsPerRun(runs, c.run)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		c.run()
	}
	runtime.ReadMemStats(&after)
	return cost{int(objects), int(after.TotalAlloc-before.TotalAlloc) / runs}
}

func TestBudget(t *testing.T) {
	budget := read(t)
	got := map[string]cost{}
	for _, c := range cases(t) {
		t.Run(c.name, func(t *testing.T) {
			n := measure(t, c)
			got[c.name] = n
			most, known := budget[c.name]
			switch {
			case *update:
			case !known:
				t.Errorf("%d allocations of %d bytes, and no budget: run with -update", n.objects, n.bytes)
			case n.objects > most.objects+most.objects/50: // the pools of others empty themselves at times
				t.Errorf("%d allocations, more than the %d of the budget", n.objects, most.objects)
			case n.bytes > most.bytes+most.bytes/10+256+2*c.lent/runs: // what grows now and then is not the same in each run
				t.Errorf("%d bytes, more than the %d of the budget", n.bytes, most.bytes)
			case n.objects < most.objects:
				t.Logf("%d allocations, less than the %d of the budget: run with -update to keep it so", n.objects, most.objects)
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

func read(t *testing.T) map[string]cost {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	budget := map[string]cost{}
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		var n cost
		name, numbers, ok := strings.Cut(lines.Text(), "\t")
		if strings.HasPrefix(name, "#") {
			continue
		}
		if _, err := fmt.Sscan(numbers, &n.objects, &n.bytes); !ok || err != nil {
			t.Fatalf("%s: %q is no name, tab and two numbers", file, lines.Text())
		}
		budget[name] = n
	}
	return budget
}

func write(t *testing.T, got map[string]cost) {
	t.Helper()
	var lines []string
	for name, n := range got {
		lines = append(lines, fmt.Sprintf("%s\t%d\t%d\n", name, n.objects, n.bytes))
	}
	slices.Sort(lines)
	head := "# Allocations of one run of each case, and their bytes, the most that TestBudget bears.\n"
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

// BenchmarkCold is what the rooms cost as a request finds them: code and data that the
// kernel, net/http and other requests have driven out of the processor's caches since
// the last one. So much memory is gone through before each run, which is not counted.
func BenchmarkCold(b *testing.B) {
	others := make([]byte, 64<<20)
	for _, c := range newHouse(b).rooms() {
		for _, size := range []int{0, 1 << 20, 32 << 20} {
			b.Run(fmt.Sprintf("%s/%d_MiB", strings.TrimPrefix(c.name, "room: "), size>>20), func(b *testing.B) {
				var took time.Duration
				for b.Loop() {
					for i := 0; i < size; i += 64 {
						others[i]++
					}
					begun := time.Now()
					c.run()
					took += time.Since(begun)
				}
				b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/run")
			})
		}
	}
}
