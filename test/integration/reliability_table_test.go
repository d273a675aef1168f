// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReliabilityTable: each test and each target that docs/reliability.md names is
// there, each of its rows names one, and no row is missing.
func TestReliabilityTable(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reliability.md")
	must(t, err)
	makefile, err := os.ReadFile("../../Makefile")
	must(t, err)
	tests := testsOf(t, "../..")
	rows := map[string]bool{}
	named := regexp.MustCompile("`(Test\\w+|make [a-z-]+[^`]*)`")
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(line, "|")
		if !regexp.MustCompile(`^\| [A-Z]\d+ \|`).MatchString(line) {
			continue
		}
		row := strings.TrimSpace(cells[1])
		rows[row] = true
		if len(cells) != 6 {
			t.Errorf("row %s has %d cells", row, len(cells)-2)
			continue
		}
		found := named.FindAllStringSubmatch(cells[3], -1)
		if len(found) == 0 {
			t.Errorf("row %s names no test", row)
		}
		if strings.TrimSpace(cells[4]) == "" {
			t.Errorf("row %s has no result", row)
		}
		for _, f := range found {
			target, isTarget := strings.CutPrefix(f[1], "make ")
			target, _, _ = strings.Cut(target, " ")
			switch {
			case isTarget && !strings.Contains(string(makefile), "\n"+target+": "):
				t.Errorf("row %s: there is no target %s", row, target)
			case !isTarget && !tests[f[1]]:
				t.Errorf("row %s: there is no %s", row, f[1])
			}
		}
	}
	for row := range strings.FieldsSeq("R1 R2 R3 R4 R5 R6 R7 R8 R9 R10 R11 R12 R13 R14 R15 U1 U2 U3 U4 U5 U6 U7 U8 U9 U10 U11 U12 U13 U14 M1 M2 P2 P3 S1") {
		if !rows[row] {
			t.Errorf("no row %s", row)
		}
	}
}

// testsOf are the names of all tests below a directory.
func testsOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, found := range declared.FindAllSubmatch(source, -1) {
			names[string(found[1])] = true
		}
		return err
	}))
	return names
}
