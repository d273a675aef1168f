// SPDX-License-Identifier: Apache-2.0

// Command bench compares the gateway with Caddy's own reverse_proxy in one run:
// the same binary, the same fake upstream, the same load. The gateway translates
// OpenAI to Gemini with authentication, pool, limits and books on; reverse_proxy
// passes native bytes. Other gateways can be measured beside them, see peers.go. It
// runs on loopback only and ends by itself.
//
// The figure to trust is CPU per request: user and system time of the gateway
// process divided by the requests it served. Latency on a shared machine is not.
package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	caddy   = flag.String("caddy", "", "path of the Caddy binary with the plugin (required)")
	rounds  = flag.Int("rounds", 3, "rounds per scenario and system; medians are printed")
	seconds = flag.Float64("seconds", 4, "seconds of load per round")
	only    = flag.String("only", "", "run only scenarios whose name contains this")
	profile = flag.String("profile", "", "write profiles of CPU and allocations under the first scenario to this file, with the name of the system before it")
	held    = flag.String("held", "2000", "numbers of streams to hold open, after the scenarios; \"\" for none")
	rate    = flag.Float64("rate", 100, "requests a second in the scenario that has a rate")
	floor   = flag.String("floor", "", "path of the binary of bench/floor, to be measured between the others; make bench-floor")
	keys    = flag.Bool("keys", false, "measure instead what a request costs as the number of keys grows")
)

func main() {
	flag.Parse()
	if *caddy == "" {
		fmt.Fprintln(os.Stderr, "bench: -caddy is required; use make bench")
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	others, err := loadPeers(*peers)
	if err != nil {
		return err
	}
	pinSelf()
	calm := &scenarios[len(scenarios)-1]
	calm.rate, calm.name = *rate, fmt.Sprintf("small chat, %g requests/s", *rate)
	upstream, err := startUpstream()
	if err != nil {
		return err
	}
	defer upstream.Close()
	length := time.Duration(*seconds * float64(time.Second))
	fmt.Printf("%s: %d CPUs, %s, %s; each system pinned to one core: %v; medians of %d rounds of %s\n",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), cpuModel(), runtime.Version(), canPin(), *rounds, length)
	var found verdicts
	if *keys {
		if err := growth(upstream.URL, length, &found); err != nil {
			return err
		}
		found.print()
		return nil
	}
	fmt.Println("\nreverse_proxy passes native bytes on; gemini_balance translates OpenAI's API to Gemini's with authentication,\n" +
		"limits, pool, log and metrics on. ratio is gemini_balance's share of reverse_proxy's figure.")
	against := func() []*system {
		all := []*system{{name: "reverse_proxy", config: reverseProxyConfig, native: true}}
		for _, p := range others {
			all = append(all, &system{name: p.Name, peer: p})
		}
		if *floor != "" {
			all = append(all, &system{name: "floor, bytes", binary: *floor, config: floorConfig("bytes"), native: true},
				&system{name: "floor, transl.", binary: *floor, config: floorConfig("translate")})
		}
		return append(all, &system{name: "gemini_balance", config: gatewayConfig})
	}
	if err := compare(against(), scenarios, upstream.URL, length, &found); err != nil {
		return err
	}
	for text := range strings.SplitSeq(*held, ",") {
		n, _ := strconv.Atoi(text)
		if n == 0 || !strings.Contains("held streams", *only) && *only != "" {
			continue
		}
		if err := hold(against(), n, upstream.URL, &found); err != nil {
			return err
		}
	}
	found.print()
	return nil
}

// compare prints a table of what the systems take in each scenario.
func compare(systems []*system, scenarios []scenario, upstream string, length time.Duration, found *verdicts) error {
	stop, err := startAll(systems, upstream)
	defer stop()
	if err != nil {
		return err
	}
	t := table{systems: systems}
	t.head("nothing")
	t.row("resident memory, MB", "%.1f", func(i int) float64 { return systems[i].idleRSS })
	last := len(systems) - 1
	if !*keys {
		found.upTo("memory at rest, MB", systems[last].idleRSS, barRest)
	}
	direct := &system{native: true, url: upstream}
	for _, sc := range scenarios {
		if !strings.Contains(sc.name, *only) {
			continue
		}
		for _, s := range systems {
			if err := whole(s, sc); err != nil {
				return err
			}
		}
		all := make([][]measurement, len(systems)) // by system, then by round
		for range *rounds {                        // by turns, so that what else the machine does is shared
			base, err := measure(direct, sc, length) // the same load without a gateway
			if err != nil {
				return err
			}
			for i, s := range systems {
				m, err := measure(s, sc, length)
				if err != nil {
					return err
				}
				all[i] = append(all[i], m.beyond(&base))
			}
		}
		t.scenario(&sc, all)
		found.scenario(&sc, systems[last].name, all[0], all[last])
		if *profile != "" {
			for _, s := range systems {
				if s.peer != nil { // only Caddy has an endpoint for it
					continue
				}
				if err := s.profile(sc, length, filepath.Join(filepath.Dir(*profile), s.name+"."+filepath.Base(*profile))); err != nil {
					return err
				}
			}
			*profile = ""
		}
	}
	return nil
}

// hold prints what open streams take of fresh systems, one after the other.
func hold(systems []*system, n int, upstream string, found *verdicts) error {
	if err := moreFiles(n); err != nil {
		return err
	}
	each := make([]float64, len(systems))
	for i := range systems {
		err := func() error {
			stop, err := startAll(systems[i:i+1], upstream)
			defer stop()
			if err == nil {
				each[i], err = heldStreams(systems[i], n)
			}
			return err
		}()
		if err != nil {
			return err
		}
	}
	t := table{systems: systems}
	t.head(fmt.Sprintf("%d streams held open", n))
	t.row("resident memory of a stream, kB", "%.1f", func(i int) float64 { return each[i] })
	found.upTo(fmt.Sprintf("memory of %d held streams, ratio", n), each[len(each)-1]/each[0], 1)
	return nil
}

// growth prints what a request costs with few keys, with more and with many. A thousand user
// keys send requests where there are as many, so that the last column differs from the one
// before it in those who are there and do not.
func growth(upstream string, length time.Duration, found *verdicts) error {
	fmt.Println("\nratio is the share of the first column, which has few keys.")
	for _, systems := range [][]*system{
		{grown("10 Gemini keys", 10, 10), grown("1,000", 1_000, 10), grown("100,000", 100_000, 10)},
		{grown("10 user keys", 10, 10), grown("1,000", 10, 1_000), grown("1,000,000", 10, 1_000_000)},
	} {
		if err := compare(systems, scenarios[:1], upstream, length, found); err != nil {
			return err
		}
	}
	return nil
}

// startAll starts systems; stop ends those that have begun.
func startAll(systems []*system, upstream string) (stop func(), err error) {
	stop = func() {
		for _, s := range systems {
			s.stop()
		}
	}
	for _, s := range systems {
		if err := s.start(*caddy, upstream); err != nil {
			return stop, err
		}
		s.settle()
		s.idleRSS = s.rss()
	}
	return stop, nil
}

// table prints figures of systems side by side, and the last's share of the first's.
type table struct{ systems []*system }

func (t *table) head(name string) {
	fmt.Printf("\n%-38s", name)
	for _, s := range t.systems {
		fmt.Printf("%16s", s.name)
	}
	fmt.Printf("%8s\n", "ratio")
}

func (t *table) row(what, format string, of func(i int) float64) {
	fmt.Printf("  %-36s", what)
	for i := range t.systems {
		text := "–"
		if v := of(i); !math.IsNaN(v) {
			text = fmt.Sprintf(format, v)
		}
		fmt.Printf("%16s", text)
	}
	if first, last := of(0), of(len(t.systems)-1); first > 0 && last > 0 {
		fmt.Printf("%8.2f", last/first)
	}
	fmt.Println()
}

// scenario prints the medians of what was measured in one, by system.
func (t *table) scenario(sc *scenario, all [][]measurement) {
	of := func(field func(m *measurement) float64) func(i int) float64 {
		return func(i int) float64 { return median(all[i], field) }
	}
	cpu := of(func(m *measurement) float64 { return m.cpu })
	t.head(sc.name)
	t.row("CPU of a request, µs", "%.1f", cpu)
	if sc.events > 0 {
		t.row("CPU of an event, µs", "%.2f", func(i int) float64 { return cpu(i) / float64(sc.events) })
	}
	t.row("allocations of a request", "%.0f", of(func(m *measurement) float64 { return m.allocs }))
	t.row("requests a second", "%.0f", of(func(m *measurement) float64 { return m.rate }))
	if slices.ContainsFunc(slices.Concat(all...), func(m measurement) bool { return m.shed > 0 }) {
		t.row("refused with 503 and asked again", "%.0f", of(func(m *measurement) float64 { return m.shed }))
	}
	t.row("latency added, half of them, ms", "%+.2f", of(func(m *measurement) float64 { return m.p50 }))
	t.row("latency added, 99 of 100, ms", "%+.2f", of(func(m *measurement) float64 { return m.p99 }))
	if sc.stream {
		t.row("first event later by, ms", "%+.2f", of(func(m *measurement) float64 { return m.first }))
	}
	t.row("resident memory after it, MB", "%.1f", of(func(m *measurement) float64 { return m.rss }))
	t.row("resident memory at most, MB", "%.1f", of(func(m *measurement) float64 { return m.peak }))
}

// median is that of a field, of all rounds.
func median(all []measurement, field func(*measurement) float64) float64 {
	values := make([]float64, len(all))
	for i := range all {
		values[i] = field(&all[i])
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func canPin() bool {
	_, err := exec.LookPath("taskset")
	return err == nil && runtime.NumCPU() > 1
}

// pinSelf keeps load generator and upstream off the gateway's core.
func pinSelf() {
	if canPin() {
		_ = exec.Command("taskset", "-a", "-c", "-p", fmt.Sprintf("1-%d", runtime.NumCPU()-1), fmt.Sprint(os.Getpid())).Run()
	}
}

func cpuModel() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, " \t:"))
		}
	}
	return runtime.GOARCH
}
