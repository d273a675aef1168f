// SPDX-License-Identifier: Apache-2.0

// Command testsum runs `go test` with -json, shows what a person wants to see
// (a line for each package, the output of what failed, and in the end once more what
// failed and why) and counts the tests.
//
//	testsum [-strict] -- go test ./...    run, show and count
//	testsum -total                        print what failed, and "N passed, N failed", of all runs
//
// The counts of each run are appended to the file that $TESTSUM_FILE names, one
// line "passed failed skipped" each; what failed to the one with .failed behind its
// name. With -strict a skipped test is a failure.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Output     string
	Elapsed    float64
}

// id tells tests apart, and from their package.
func (e *event) id() string { return e.Package + "\x00" + e.Test }

type counts struct{ passed, failed, skipped int }

func (c *counts) add(d counts) {
	c.passed += d.passed
	c.failed += d.failed
	c.skipped += d.skipped
}

func main() {
	strict := flag.Bool("strict", false, "a skipped test is a failure")
	total := flag.Bool("total", false, "print the sum of $TESTSUM_FILE")
	flag.Parse()
	if *total {
		os.Exit(printTotal(os.Stdout, os.Getenv("TESTSUM_FILE")))
	}
	os.Exit(run(os.Stdout, flag.Args(), *strict, os.Getenv("TESTSUM_FILE")))
}

// run executes a `go test` command and returns the exit status.
func run(out io.Writer, args []string, strict bool, file string) int {
	if len(args) < 2 || args[1] != "test" {
		fmt.Fprintln(out, "usage: testsum [-strict] -- go test …")
		return 2
	}
	cmd := exec.Command(args[0], slices.Insert(slices.Clone(args[1:]), 1, "-json")...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(out, err)
		return 2
	}
	var why failures
	c, seen := show(out, stdout, strict, &why)
	exit := cmd.Wait()
	fmt.Fprint(out, why.String())
	if strict {
		c.failed += c.skipped
		c.skipped = 0
	}
	if exit != nil && c.failed == 0 {
		fmt.Fprintln(out, "go test:", exit)
		c.failed = 1
	}
	if !seen && c.failed == 0 {
		fmt.Fprintln(out, "no test ran")
		c.failed = 1
	}
	if file != "" {
		if err := errors.Join(record(file, c), why.record(file)); err != nil {
			fmt.Fprintln(out, err)
			return 2
		}
	}
	if c.failed > 0 {
		return 1
	}
	return 0
}

// show reads events until the end and writes what matters.
func show(out io.Writer, in io.Reader, strict bool, why *failures) (c counts, seen bool) {
	logs := map[string][]string{} // by package and test, until that test has ended
	byPackage := map[string]*counts{}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		var e event
		switch {
		case line == "":
		case json.Unmarshal([]byte(line), &e) != nil:
			fmt.Fprint(out, line) // not JSON: a message of the go command
		default:
			p := byPackage[e.Package]
			if p == nil {
				p = &counts{}
				byPackage[e.Package] = p
			}
			if e.Action == "fail" {
				why.add(e, logs[e.id()], p.failed)
			}
			seen = handle(out, e, p, logs, strict) || seen
		}
		if err != nil {
			break
		}
	}
	for _, p := range byPackage {
		c.add(*p)
	}
	return c, seen
}

// handle books one event and reports whether it was the end of a test.
func handle(out io.Writer, e event, p *counts, logs map[string][]string, strict bool) bool {
	id := e.id()
	switch e.Action {
	case "build-output":
		fmt.Fprint(out, e.Output)
	case "output":
		logs[id] = append(logs[id], e.Output)
	case "pass", "fail", "skip":
		log := logs[id]
		delete(logs, id)
		if e.Test == "" {
			packageLine(out, e, *p, log)
			if e.Action == "fail" && p.failed == 0 {
				p.failed = 1
			}
			return false
		}
		switch e.Action {
		case "pass":
			p.passed++
		case "fail":
			p.failed++
			printLog(out, log)
		default:
			p.skipped++
			printLog(out, log)
			if strict {
				fmt.Fprintf(out, "%s: skipped, which counts as failed here\n", e.Test)
			}
		}
		return true
	}
	return false
}

func packageLine(out io.Writer, e event, p counts, log []string) {
	switch {
	case e.Action == "fail":
		printLog(out, log)
		fmt.Fprintf(out, "FAIL  %s  %.1fs\n", e.Package, e.Elapsed)
	case p.passed+p.skipped > 0:
		fmt.Fprintf(out, "ok    %s  %d tests  %.1fs\n", e.Package, p.passed, e.Elapsed)
	}
}

// printLog leaves out the lines that say only that a test started or went on.
func printLog(out io.Writer, log []string) {
	for _, l := range log {
		if !strings.HasPrefix(l, "=== ") {
			fmt.Fprint(out, l)
		}
	}
}

func record(file string, c counts) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, c.passed, c.failed, c.skipped)
	return cmp.Or(err, f.Close())
}

// printTotal sums the file and returns 1 where anything failed or nothing ran.
func printTotal(out io.Writer, file string) int {
	data, err := os.ReadFile(file)
	if err != nil {
		fmt.Fprintln(out, err)
		return 2
	}
	var sum counts
	for line := range strings.Lines(string(data)) {
		var c counts
		if _, err := fmt.Sscan(line, &c.passed, &c.failed, &c.skipped); err != nil {
			fmt.Fprintf(out, "%s: bad line %q\n", file, line)
			return 2
		}
		sum.add(c)
	}
	if why, err := os.ReadFile(file + failedSuffix); err == nil {
		fmt.Fprintf(out, "%s", why)
	}
	fmt.Fprintf(out, "%d passed, %d failed", sum.passed, sum.failed)
	if sum.skipped > 0 {
		fmt.Fprintf(out, ", %d skipped", sum.skipped)
	}
	fmt.Fprintln(out)
	if sum.failed > 0 || sum.passed == 0 {
		return 1
	}
	return 0
}
