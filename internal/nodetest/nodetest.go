// SPDX-License-Identifier: Apache-2.0

// Package nodetest makes Go tests of what `node --test --test-reporter=tap` printed.
package nodetest

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// result is one test in JavaScript.
type result struct {
	name string
	ok   bool
	why  string // it failed: where, and the error
}

// Report makes a Go test of each JavaScript test, so that they count and a failed one
// has its own message. err is that of the process. Nothing may be skipped.
func Report(t *testing.T, tap string, err error) {
	t.Helper()
	results := parse(tap)
	failed := slices.ContainsFunc(results, func(r result) bool { return !r.ok })
	if err != nil {
		t.Logf("node printed\n%s", strings.Join(printed(tap), "\n"))
	}
	for _, r := range results {
		t.Run(r.name, func(t *testing.T) {
			if !r.ok {
				t.Error(r.why)
			}
		})
	}
	switch {
	case len(results) == 0, err != nil && !failed:
		t.Errorf("node: %v, with %d results", err, len(results))
	case !strings.Contains(tap, "\n# skipped 0\n"), !strings.Contains(tap, "\n# todo 0\n"):
		t.Error("nothing may be skipped")
	}
}

var (
	resultLine = regexp.MustCompile(`^( *)(ok|not ok) \d+ - (.*)$`)
	// countLine is one of the sums at the end, and what says that a test begins.
	countLine = regexp.MustCompile(`^# (Subtest: .*|(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+)$`)
)

// maxLines is how much is shown of what one test or process has to say.
const maxLines = 30

// parse reads results, in the order of their ends: those of subtests before the test's.
func parse(tap string) (results []result) {
	lines := strings.Split(tap, "\n")
	for i := 0; i < len(lines); i++ {
		m := resultLine.FindStringSubmatch(lines[i])
		if m == nil {
			continue
		}
		r := result{name: m[3], ok: m[2] == "ok"}
		first, end := i+2, m[1]+"  ..."
		if first > len(lines) || lines[i+1] != m[1]+"  ---" {
			results = append(results, r)
			continue
		}
		for i = first; i < len(lines) && lines[i] != end; i++ {
		}
		if !r.ok {
			r.why = reason(lines[first:min(i, len(lines))], m[1]+"  ")
		}
		results = append(results, r)
	}
	return results
}

// reason is what of a failed test's details says where and why.
func reason(details []string, indent string) string {
	var kept []string
	key := ""
	for _, line := range details {
		line = strings.TrimPrefix(line, indent)
		if word, _, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") {
			key = word
		}
		switch {
		case key == "location", key == "error" && len(kept) < maxLines,
			key == "stack" && strings.Contains(line, "file://"): // the others are node's own
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// printed is the end of what tests and node wrote themselves.
func printed(tap string) (lines []string) {
	for line := range strings.Lines(tap) {
		if line = strings.TrimRight(line, "\n"); strings.HasPrefix(line, "# ") && !countLine.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-maxLines):]
}
