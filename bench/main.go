// SPDX-License-Identifier: Apache-2.0

// Command bench compares the gateway with Caddy's own reverse_proxy in one run:
// the same binary, the same fake upstream, the same load. The gateway translates
// OpenAI to Gemini with authentication, pool, limits and books on; reverse_proxy
// passes native bytes. It runs on loopback only and ends by itself.
//
// The figure to trust is CPU per request: user and system time of the gateway
// process divided by the requests it served. Latency on a shared machine is not.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	caddy := flag.String("caddy", "", "path of the Caddy binary with the plugin (required)")
	rounds := flag.Int("rounds", 3, "rounds per scenario and system; medians are printed")
	seconds := flag.Float64("seconds", 4, "seconds of load per round")
	only := flag.String("only", "", "run only scenarios whose name contains this")
	profile := flag.String("profile", "", "write CPU profiles under the first scenario to this file with the name of the system before it")
	flag.Parse()
	if *caddy == "" {
		fmt.Fprintln(os.Stderr, "bench: -caddy is required; use make bench")
		os.Exit(2)
	}
	if err := run(*caddy, *rounds, time.Duration(*seconds*float64(time.Second)), *only, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(caddy string, rounds int, length time.Duration, only, profile string) error {
	pinSelf()
	upstream, err := startUpstream()
	if err != nil {
		return err
	}
	defer upstream.Close()
	fmt.Printf("machine: %d CPUs, %s, %s; gateway pinned to one core: %v\n", runtime.NumCPU(), cpuModel(), runtime.Version(), canPin())
	fmt.Printf("rounds: %d of %s; medians\n\n", rounds, length)
	systems := []*system{
		{name: "reverse_proxy", config: reverseProxyConfig, native: true},
		{name: "gemini_balance", config: gatewayConfig},
	}
	for _, s := range systems {
		if err := s.start(caddy, upstream.URL); err != nil {
			return err
		}
		defer s.stop()
		s.idleRSS = s.rss()
	}
	fmt.Printf("%-34s %-15s %9s %11s %11s %8s %10s %10s %9s\n", "scenario", "system", "req/s", "cpu µs/req", "µs/event", "allocs", "+p50 ms", "+p99 ms", "rss MB")
	direct := &system{name: "no gateway", native: true, url: upstream.URL}
	for _, sc := range scenarios {
		if !strings.Contains(sc.name, only) {
			continue
		}
		base, err := measure(direct, sc, length)
		if err != nil {
			return err
		}
		all := make([][]measurement, len(systems))
		for range rounds { // by turns, so that what else the machine does is shared
			for i, s := range systems {
				m, err := measure(s, sc, length)
				if err != nil {
					return err
				}
				all[i] = append(all[i], m)
			}
		}
		var medians []measurement
		for i, s := range systems {
			m := median(all[i])
			medians = append(medians, m)
			fmt.Printf("%-34s %-15s %9.0f %11.1f %11s %8.0f %10.2f %10.2f %9.1f\n",
				sc.name, s.name, m.rate, m.cpu, perEvent(m, sc), m.allocs, m.p50-base.p50, m.p99-base.p99, m.rss)
			if profile != "" {
				if err := s.profile(sc, length, filepath.Join(filepath.Dir(profile), s.name+"."+filepath.Base(profile))); err != nil {
					return err
				}
			}
		}
		profile = ""
		fmt.Printf("%-34s ratio: cpu %.2f, req/s %.2f, rss %.2f (gemini_balance / reverse_proxy)\n\n", sc.name,
			medians[1].cpu/medians[0].cpu, medians[1].rate/medians[0].rate, medians[1].rss/medians[0].rss)
	}
	for _, s := range systems {
		fmt.Printf("rss idle: %-15s %.1f MB\n", s.name, s.idleRSS)
	}
	return nil
}

// median is the measurement in the middle, by CPU.
func median(all []measurement) measurement {
	slices.SortFunc(all, func(a, b measurement) int { return cmp.Compare(a.cpu, b.cpu) })
	return all[len(all)/2]
}

func perEvent(m measurement, sc scenario) string {
	if sc.events == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", m.cpu/float64(sc.events))
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
