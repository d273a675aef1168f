// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"os"
	"regexp"
	"strings"
)

const (
	failedSuffix = ".failed"
	maxLines     = 40  // that are repeated of one test
	maxWidth     = 400 // bytes of a line
)

// failures are told again when everything has run: what a test says of itself, without
// what others wrote while it ran.
type failures struct {
	b    strings.Builder
	said string // the id of the last test that said why
}

func (f *failures) String() string { return f.b.String() }

// add takes the failure of a test, or of a package in which failed tests failed.
func (f *failures) add(e event, log []string, failed int) {
	own := reasons(log)
	switch {
	case len(own) > 0:
		f.said = e.id()
	case e.Test == "" && failed == 0:
		own = log[max(0, len(log)-maxLines):] // it did not come to its tests
	case e.Test == "" || strings.HasPrefix(f.said, e.id()+"/"):
		return // its tests have said it
	}
	f.b.WriteString(strings.TrimRight("--- FAILED: "+e.Package+" "+e.Test, " ") + "\n")
	for _, line := range own {
		if len(line) > maxWidth {
			line = line[:maxWidth] + "…\n"
		}
		f.b.WriteString(line)
	}
}

// record appends to the file beside that of the counts.
func (f *failures) record(file string) error {
	if f.b.Len() == 0 {
		return nil
	}
	out, err := os.OpenFile(file+failedSuffix, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = out.WriteString(f.String())
	return cmp.Or(err, out.Close())
}

var (
	messageLine = regexp.MustCompile(`^( *)[\w.-]+\.go:\d+: `)
	crashLine   = regexp.MustCompile(`^(panic:|fatal error:|WARNING: DATA RACE)`)
)

// reasons are the messages of t.Error, t.Log and their like, and the begin of a crash.
// A message goes on as long as its lines stand deeper than its first one.
func reasons(log []string) (own []string) {
	deeper, crash := "", false
	for _, line := range log {
		if len(own) == maxLines {
			break
		}
		if m := messageLine.FindStringSubmatch(line); m != nil && !crash {
			deeper = m[1] + "    "
			own = append(own, line)
			continue
		}
		crash = crash || crashLine.MatchString(line)
		if crash || deeper != "" && strings.HasPrefix(line, deeper) {
			own = append(own, line)
			continue
		}
		deeper = ""
	}
	return own
}
