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

// TestSecurityTable: each test and file that docs/security.md names is there.
func TestSecurityTable(t *testing.T) {
	table, err := os.ReadFile("../../docs/security.md")
	must(t, err)
	there := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	must(t, filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, found := range declared.FindAllSubmatch(source, -1) {
			there[string(found[1])] = true
		}
		return err
	}))
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllSubmatch(table, -1)
	if len(named) < 60 {
		t.Errorf("only %d tests are named", len(named))
	}
	for _, name := range named {
		if !there[string(name[1])] {
			t.Errorf("there is no %s", name[1])
		}
	}
	files := regexp.MustCompile(`[a-z/]+/[a-z.]+\.mjs`).FindAllString(string(table), -1)
	if len(files) < 3 {
		t.Errorf("only %d files are named", len(files))
	}
	for _, name := range files {
		if _, err := os.Stat(filepath.Join("../..", name)); err != nil {
			t.Errorf("there is no %s", name)
		}
	}
	for row := range strings.FieldsSeq("A1 A2 A3 A4 A5 A6 A7 A8 A9 K1 K2 K3 K4 K5 K6 K7 N1 N2 N3 W1 W2 W3 W4 W5 W6 D1 D2 D3 D4 D5 D6 D7 D8 P1 P2 P3 P4 P5") {
		if !strings.Contains(string(table), "\n| "+row+" |") {
			t.Errorf("no row %s", row)
		}
	}
}
