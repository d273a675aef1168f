// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	only       = flag.String("scenario", "", "names of scenarios, comma-separated, or all; \"\" for the short subset")
	strategies = flag.String("strategy", "round_robin", "names of strategies, comma-separated")
	seeds      = flag.Int("seeds", 3, "runs of each; medians are printed")
	jsonFile   = flag.String("json", "", "write all figures to this file")
	gate       = flag.Bool("gate", false, "fail where a bar is missed")
	verbose    = flag.Bool("runs", false, "print each run, too")
)

// TestYield runs scenarios and prints the report. Without -scenario it is a short
// test of the device itself.
func TestYield(t *testing.T) {
	if *only == "" {
		short(t)
		return
	}
	header(os.Stdout)
	var rows []Row
	for _, s := range Scenarios() {
		if *only != "all" && !slices.Contains(strings.Split(*only, ","), s.Name) {
			continue
		}
		for strategy := range strings.SplitSeq(*strategies, ",") {
			r := measure(t, &s, Options{Strategy: strategy})
			r.print(os.Stdout)
			if *verbose {
				for i := range r.Runs {
					(&Row{Scenario: " seed", Strategy: fmt.Sprint(i + 1), Median: r.Runs[i]}).print(os.Stdout)
				}
			}
			if *gate && len(r.Missed) > 0 {
				t.Errorf("%s %s: %s", s.Name, strategy, strings.Join(r.Missed, ", "))
			}
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("no scenario is called %s", *only)
	}
	fmt.Println("\n" + legend)
	save(t, rows)
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
	began := time.Now()
	synctest.Test(t, func(*testing.T) { b, err = Run(s, o) })
	if err != nil {
		t.Fatal(err)
	}
	b.Took = time.Since(began)
	return s.Measure(b)
}

// short runs a little of some scenarios and checks what must hold whatever the
// strategy does.
func short(t *testing.T) {
	for _, s := range Scenarios() {
		if !slices.Contains([]string{"load-120", "bad-keys", "aligned", "burst"}, s.Name) {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			s.Length = min(s.Length, 100*time.Second)
			f := once(t, &s, Options{Strategy: "round_robin", Seed: 1})
			r := row(&s, "round_robin", []Figures{f})
			r.print(io.Discard)
			if f.Requests == 0 || f.Answers == 0 || f.Answers > f.BoundW || f.Errors > 0 || f.Shammed > 0 {
				t.Errorf("%+v", f)
			}
		})
	}
}
