// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestShow(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     string
		want   counts
		shown  string // must be in the output
		hidden string // must not
	}{
		{
			"pass",
			`{"Action":"run","Package":"p","Test":"TestA"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"quiet\n"}
			{"Action":"pass","Package":"p","Test":"TestA"}
			{"Action":"pass","Package":"p","Elapsed":0.1}`,
			counts{passed: 1}, "ok    p  1 tests", "quiet",
		},
		{
			"fail",
			`{"Action":"output","Package":"p","Test":"TestA","Output":"the reason\n"}
			{"Action":"fail","Package":"p","Test":"TestA"}
			{"Action":"fail","Package":"p"}`,
			counts{failed: 1}, "the reason", "ok",
		},
		{
			"skip",
			`{"Action":"output","Package":"p","Test":"TestA","Output":"no recordings\n"}
			{"Action":"skip","Package":"p","Test":"TestA"}
			{"Action":"pass","Package":"p"}`,
			counts{skipped: 1}, "no recordings", "FAIL",
		},
		{
			"build failure",
			`{"ImportPath":"p","Action":"build-output","Output":"undefined: x\n"}
			{"ImportPath":"p","Action":"build-fail"}
			{"Action":"fail","Package":"p","FailedBuild":"p"}`,
			counts{failed: 1}, "undefined: x", "ok",
		},
		{
			"panic outside of a test",
			`{"Action":"output","Package":"p","Output":"panic: boom\n"}
			{"Action":"fail","Package":"p"}`,
			counts{failed: 1}, "panic: boom", "ok",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			var why failures
			got, _ := show(&out, strings.NewReader(c.in), false, &why)
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if !strings.Contains(out.String(), c.shown) || strings.Contains(out.String(), c.hidden) {
				t.Errorf("output %q", out.String())
			}
		})
	}
}

// TestFailures: what is told in the end has the tests' own words and nothing else.
func TestFailures(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"nothing failed": {`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: fine\n"}
			{"Action":"pass","Package":"p","Test":"TestA"}
			{"Action":"pass","Package":"p"}`, ""},
		"messages": {`{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: want\n"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"        more\n"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"    Caddy's log ends with\n"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"    {\"level\": \"warn\"}\n"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"        deep in the log\n"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"--- FAIL: TestA (0.1s)\n"}
			{"Action":"fail","Package":"p","Test":"TestA"}
			{"Action":"output","Package":"p","Output":"FAIL\n"}
			{"Action":"fail","Package":"p"}`, "--- FAILED: p TestA\n    a_test.go:1: want\n        more\n"},
		"subtest": {`{"Action":"output","Package":"p","Test":"TestA/b","Output":"        a_test.go:1: want\n"}
			{"Action":"output","Package":"p","Test":"TestA/b","Output":"    not deeper\n"}
			{"Action":"fail","Package":"p","Test":"TestA/b"}
			{"Action":"fail","Package":"p","Test":"TestA"}
			{"Action":"fail","Package":"p","Test":"TestAlone"}
			{"Action":"fail","Package":"p"}`, "--- FAILED: p TestA/b\n        a_test.go:1: want\n--- FAILED: p TestAlone\n"},
		"crash": {`{"Action":"output","Package":"p","Test":"TestA","Output":"panic: boom\n"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"\n"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"goroutine 1\n"}
			{"Action":"fail","Package":"p","Test":"TestA"}
			{"Action":"fail","Package":"p"}`, "--- FAILED: p TestA\npanic: boom\n\ngoroutine 1\n"},
		"before tests": {`{"Action":"output","Package":"p","Output":"building Caddy: no\n"}
			{"Action":"fail","Package":"p"}`, "--- FAILED: p\nbuilding Caddy: no\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var why failures
			show(io.Discard, strings.NewReader(c.in), false, &why)
			if got := why.String(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			file := filepath.Join(t.TempDir(), "results")
			if err := errors.Join(record(file, counts{passed: 1}), why.record(file)); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if printTotal(&out, file); out.String() != c.want+"1 passed, 0 failed\n" {
				t.Errorf("in the end %q", out.String())
			}
		})
	}
}

func TestTotal(t *testing.T) {
	for _, c := range []struct {
		name, lines, want string
		code              int
	}{
		{"passed", "3 0 0\n4 0 0\n", "7 passed, 0 failed\n", 0},
		{"failed", "3 0 0\n4 1 0\n", "7 passed, 1 failed\n", 1},
		{"skipped", "3 0 1\n", "3 passed, 0 failed, 1 skipped\n", 0},
		{"nothing ran", "", "0 passed, 0 failed\n", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "results")
			if err := os.WriteFile(file, []byte(c.lines), 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if code := printTotal(&out, file); code != c.code || out.String() != c.want {
				t.Errorf("exit %d, output %q", code, out.String())
			}
		})
	}
}
