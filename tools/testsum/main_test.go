// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
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
			got, _ := show(&out, strings.NewReader(c.in), false)
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if !strings.Contains(out.String(), c.shown) || strings.Contains(out.String(), c.hidden) {
				t.Errorf("output %q", out.String())
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
