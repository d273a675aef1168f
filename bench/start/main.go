// SPDX-License-Identifier: Apache-2.0

// Command start measures a gateway of a size that few have, in a real Caddy: a
// million user keys, a hundred thousand Gemini keys and ten million rows in the
// request log. How long a start takes until the first request is answered, what
// memory it needs, and how long the admin API takes for its lists while requests are
// served. It fills a store first, which takes some minutes; -dir keeps that for the
// next run. Loopback only; it ends by itself, and fails if a bar is missed.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// The bars of DESIGN.
const (
	startBar  = 3 * time.Second
	answerBar = 200 * time.Millisecond
)

// size is what a store is filled with.
type size struct {
	Users, Keys, Rows int
}

type options struct {
	caddy  string
	dir    string
	size   size
	times  int
	load   float64
	only   string
	starts int
	most   int
}

func main() {
	var o options
	flag.StringVar(&o.caddy, "caddy", "", "path of the Caddy binary with the plugin (required)")
	flag.StringVar(&o.dir, "dir", "", "keep the filled store here for the next run; default: a temporary one")
	flag.IntVar(&o.size.Users, "users", 1_000_000, "user keys")
	flag.IntVar(&o.size.Keys, "keys", 100_000, "Gemini keys")
	flag.IntVar(&o.size.Rows, "rows", 10_000_000, "rows in the request log")
	flag.IntVar(&o.times, "times", 200, "how often each question is asked")
	flag.Float64Var(&o.load, "load", 50, "chat requests per second meanwhile")
	flag.StringVar(&o.only, "only", "", "ask only questions whose name contains this")
	flag.IntVar(&o.starts, "starts", 3, "how often it is started; the last one is asked")
	flag.IntVar(&o.most, "most", 0, "MB that it may take when it has answered, files included; 0 for no bar")
	flag.Parse()
	if o.caddy == "" {
		fmt.Fprintln(os.Stderr, "start: -caddy is required; use make bench-start")
		os.Exit(2)
	}
	if err := run(&o); err != nil {
		fmt.Fprintln(os.Stderr, "start:", err)
		os.Exit(1)
	}
}

func run(o *options) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "gb-start-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	}
	secrets, err := filled(o.dir, o.size)
	if err != nil {
		return fmt.Errorf("filling the store: %w", err)
	}
	google := startGoogle()
	defer google.Close()
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%s, %d CPUs, %s, load %s\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), strings.TrimSpace(string(load)))
	fmt.Printf("%d user keys, %d Gemini keys, %d rows; %d MB on disk\n\n", o.size.Users, o.size.Keys, o.size.Rows, diskSize(o.dir)>>20)
	missed := 0
	for n := range o.starts {
		g := &gateway{caddy: o.caddy, dir: o.dir, upstream: google.URL, secrets: secrets}
		took, err := g.start()
		if err != nil {
			return errors.Join(err, g.stop())
		}
		if took > startBar {
			missed++
		}
		memory, mb := g.memory()
		if o.most > 0 && mb > o.most {
			missed++
		}
		fmt.Printf("start %d: first answered chat request after %d ms, %.2f s of CPU; memory %s\n", n+1, took.Milliseconds(), g.cpu().Seconds(), memory)
		if n == o.starts-1 {
			var slow int
			slow, err = ask(g, o)
			missed += slow
		}
		if err := errors.Join(err, g.stop()); err != nil {
			return err
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d bars missed", missed)
	}
	return nil
}

// filled fills the store of dir, unless an earlier run did, and returns the secrets of
// some user keys.
func filled(dir string, want size) (secrets []string, err error) {
	var note struct {
		Size    size
		Secrets []string
	}
	file := filepath.Join(dir, "filled.json")
	if text, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(text, &note); err != nil {
			return nil, err
		}
		if note.Size != want {
			return nil, fmt.Errorf("%s holds %+v, not %+v", dir, note.Size, want)
		}
		return note.Secrets, nil
	}
	if _, err := os.Stat(filepath.Join(dir, "store")); err == nil {
		return nil, fmt.Errorf("%s holds something that was not filled to its end; remove it", dir)
	}
	note.Size = want
	if note.Secrets, err = fill(filepath.Join(dir, "store"), want); err != nil {
		return nil, err
	}
	text, err := json.Marshal(note)
	if err != nil {
		return nil, err
	}
	return note.Secrets, os.WriteFile(file, text, 0o600)
}

func diskSize(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				bytes += info.Size()
			}
		}
		return nil
	})
	return bytes
}
