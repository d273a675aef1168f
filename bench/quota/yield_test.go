// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var (
	only       = flag.String("scenario", "", "names of scenarios, comma-separated, or all; \"\" for the short subset")
	strategies = flag.String("strategy", "adaptive", "names of strategies, comma-separated")
	seeds      = flag.Int("seeds", 3, "runs of each; medians are printed")
	jsonFile   = flag.String("json", "", "write all figures to this file")
	gate       = flag.Bool("gate", false, "fail where a bar is missed")
	restart    = flag.Bool("restart", false, "run each with a pause in the middle, and with a restart at its end, and compare")
	real       = flag.Bool("real", false, "real time and sockets instead of virtual time and pipes")
	length     = flag.Duration("length", 0, "of the load, instead of the scenario's own")
	verbose    = flag.Bool("runs", false, "print each run, too")
)

// TestYield runs scenarios and prints the report. Without -scenario it is a short
// test of the device itself.
func TestYield(t *testing.T) {
	if *only == "" {
		short(t)
		return
	}
	fmt.Printf("%d CPUs, %s; %d seeds, medians\n\n", runtime.NumCPU(), runtime.Version(), *seeds)
	header(os.Stdout)
	var rows []Row
	for _, s := range Scenarios() {
		if *only != "all" && !slices.Contains(strings.Split(*only, ","), s.Name) {
			continue
		}
		if *length > 0 {
			s.Length = *length
		}
		for strategy := range strings.SplitSeq(*strategies, ",") {
			o := Options{Strategy: strategy, Real: *real}
			if !*restart {
				rows = append(rows, tell(t, measure(t, &s, o)))
				continue
			}
			o.Pause = true
			before := measure(t, &s, o)
			before.Restart = "pause"
			o.Restart = true
			after := measure(t, &s, o)
			after.Restart = "restart"
			after.Missed = append(after.Missed, changed(&before.Median, &after.Median)...)
			rows = append(rows, tell(t, before), tell(t, after))
		}
	}
	if len(rows) == 0 {
		t.Fatalf("no scenario is called %s", *only)
	}
	fmt.Println("\n" + legend)
	save(t, rows)
}

// tell prints a row.
func tell(t *testing.T, r Row) Row {
	t.Helper()
	r.print(os.Stdout)
	for i := range r.Runs {
		if *verbose {
			(&Row{Scenario: " seed", Strategy: fmt.Sprint(i + 1), Median: r.Runs[i]}).print(os.Stdout)
		}
	}
	if *gate && len(r.Missed) > 0 {
		t.Errorf("%s %s: %s", r.Scenario, r.Strategy, strings.Join(r.Missed, ", "))
	}
	return r
}

func save(t *testing.T, rows []Row) {
	if *jsonFile == "" {
		return
	}
	b, err := json.MarshalIndent(rows, "", "\t")
	if err == nil {
		err = os.WriteFile(*jsonFile, b, 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}

// measure runs a scenario once for each seed.
func measure(t *testing.T, s *Scenario, o Options) Row {
	t.Helper()
	var runs []Figures
	for i := range *seeds {
		o.Seed = uint64(i + 1)
		runs = append(runs, once(t, s, o))
	}
	return row(s, o.Strategy, runs)
}

func once(t *testing.T, s *Scenario, o Options) Figures {
	t.Helper()
	var b *Books
	var err error
	began := cpu()
	if o.Real {
		b, err = Run(s, o)
	} else {
		synctest.Test(t, func(*testing.T) { b, err = Run(s, o) })
	}
	if err != nil {
		t.Fatal(err)
	}
	b.CPU = cpu() - began
	return s.Measure(b)
}

// cpu is the user and system time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// short runs a little of some scenarios and checks what must hold whatever the
// strategy does.
func short(t *testing.T) {
	some, length := []string{"load-120", "bad-keys", "aligned", "burst"}, 100*time.Second
	if testing.Short() { // under the race detector, too
		some, length = some[:3], 20*time.Second
	}
	for _, s := range Scenarios() {
		if !slices.Contains(some, s.Name) {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			s.Length = min(s.Length, length)
			f := once(t, &s, Options{Seed: 1})
			if f.Requests == 0 || f.Answers == 0 || f.Answers > f.BoundW || f.Errors > 0 || f.Shammed > 0 || math.IsNaN(float64(f.Attempts)) {
				t.Errorf("%+v", f)
			}
			r := row(&s, "", []Figures{f})
			r.print(t.Output())
		})
	}
}
