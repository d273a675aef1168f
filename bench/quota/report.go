// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
)

// Row is what one scenario and strategy came to: medians over the seeds.
type Row struct {
	Scenario string    `json:"scenario"`
	Strategy string    `json:"strategy"`
	Restart  string    `json:"restart,omitempty"` // "pause" or "restart" of the pair
	Seeds    int       `json:"seeds"`
	Median   Figures   `json:"median"`
	Runs     []Figures `json:"runs"`
	Missed   []string  `json:"missed"` // bars, by the medians
}

// row takes the medians.
func row(s *Scenario, strategy string, runs []Figures) Row {
	r := Row{Scenario: s.Name, Strategy: strategy, Seeds: len(runs), Runs: runs, Median: median(runs)}
	r.Missed = check(s.Bars, &r.Median)
	return r
}

// median is that of each figure by itself.
func median(runs []Figures) Figures {
	var out Figures
	v := reflect.ValueOf(&out).Elem()
	for i := range v.NumField() {
		switch v.Field(i).Kind() { //nolint:exhaustive // figures are numbers
		case reflect.Int:
			v.Field(i).SetInt(int64(middle(runs, func(f reflect.Value) float64 { return float64(f.Field(i).Int()) })))
		case reflect.Float64:
			v.Field(i).SetFloat(middle(runs, func(f reflect.Value) float64 { return f.Field(i).Float() }))
		default:
		}
	}
	out.ByStatus = map[string]int{}
	for _, f := range runs {
		for status, n := range f.ByStatus {
			out.ByStatus[status] += n
		}
	}
	for status, n := range out.ByStatus { // of a sum, so that rare ones are not lost
		out.ByStatus[status] = int(math.Ceil(float64(n) / float64(len(runs))))
	}
	return out
}

func middle(runs []Figures, of func(reflect.Value) float64) float64 {
	var list []float64
	for i := range runs {
		if x := of(reflect.ValueOf(runs[i])); !math.IsNaN(x) {
			list = append(list, x)
		}
	}
	if len(list) == 0 {
		return math.NaN()
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// columns of the text report.
var columns = []struct {
	name  string
	width int
	value func(f *Figures) string
}{
	{"requests", 8, func(f *Figures) string { return fmt.Sprint(f.Requests) }},
	{"yield0", 6, func(f *Figures) string { return show(f.Yield0, 3) }},
	{"yieldW", 6, func(f *Figures) string { return show(f.YieldW, 3) }},
	{"429", 5, func(f *Figures) string { return show(f.Limited, 0) }},
	{"other", 5, func(f *Figures) string { return show(f.Errors, 0) }},
	{"att/ans", 7, func(f *Figures) string { return show(f.Attempts, 3) }},
	{"early", 5, func(f *Figures) string { return show(f.Early, 0) }},
	{"sibl", 4, func(f *Figures) string { return show(f.EarlySibling, 0) }},
	{"day", 4, func(f *Figures) string { return show(f.DayMost, 0) }},
	{"bad", 3, func(f *Figures) string { return show(f.BadMost, 0) }},
	{"lacks", 5, func(f *Figures) string { return show(f.MissingMost, 0) }},
	{"wait50", 6, func(f *Figures) string { return show(f.Wait50, 2) }},
	{"wait95", 6, func(f *Figures) string { return show(f.Wait95, 2) }},
	{"no95", 6, func(f *Figures) string { return show(f.Refusal95, 2) }},
	{"after95", 7, func(f *Figures) string { return show(f.After95, 2) }},
	{"cached", 6, func(f *Figures) string { return show(f.Cached, 3) }},
	{"slow", 5, func(f *Figures) string { return show(f.SlowShare, 2) }},
	{"sham", 4, func(f *Figures) string { return show(f.Shammed, 0) }},
	{"µs/req", 6, func(f *Figures) string { return show(f.Micros, 0) }},
}

const legend = `yield0, yieldW: answers relative to the most that any scheduler could have given at once, or holding each request ≤ 10 s
429, other: errors that users saw; early: attempts before an announced time; sibl: most of these on one project, by other keys of it than the refused one
day, bad, lacks: most attempts on one used-up day, dead key, key × missing model; no95: p95 time to a refusal, s
after95: p95 of how far Retry-After was off, s; cached: relative to one project for each conversation; slow: of its fair share
sham: answers that look complete and are not; µs/req: CPU, of client, gateway and simulated Google together`

func show(f figure, digits int) string {
	if math.IsNaN(float64(f)) {
		return "–"
	}
	return fmt.Sprintf("%.*f", digits, float64(f))
}

func header(w io.Writer) {
	fmt.Fprintf(w, "%-15s %-12s", "scenario", "strategy")
	for _, c := range columns {
		fmt.Fprintf(w, " %*s", c.width, c.name)
	}
	fmt.Fprintln(w, "  bars")
}

// print writes a line of the report.
func (r *Row) print(w io.Writer) {
	fmt.Fprintf(w, "%-15s %-12s", r.Scenario, cmp.Or(r.Restart, r.Strategy))
	for _, c := range columns {
		fmt.Fprintf(w, " %*s", c.width, c.value(&r.Median))
	}
	verdict := "pass"
	if len(r.Missed) > 0 {
		verdict = "MISSED " + strings.Join(r.Missed, ", ")
	}
	fmt.Fprintln(w, "  "+verdict)
}
