// SPDX-License-Identifier: Apache-2.0

package badger

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

func BenchmarkWrite(b *testing.B) {
	for _, c := range []struct {
		name        string
		sync        bool
		parallelism int
	}{{"no sync", false, 1}, {"sync", true, 1}, {"sync, 32 writers a core", true, 32}} {
		b.Run(c.name, func(b *testing.B) {
			s := open(b, b.TempDir(), nil)
			defer s.Close()
			value := make([]byte, 300)
			var n atomic.Int64
			b.SetParallelism(c.parallelism)
			b.ReportAllocs()
			write := func() {
				key := fmt.Sprint("key", n.Add(1))
				if err := s.Write(store.Batch{Ops: []store.Op{{Key: key, Value: value}}, Sync: c.sync}); err != nil {
					b.Error(err)
				}
			}
			if c.parallelism == 1 {
				for b.Loop() {
					write()
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					write()
				}
			})
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s := open(b, b.TempDir(), nil)
	defer s.Close()
	if err := s.Write(store.Batch{Ops: []store.Op{{Key: "key", Value: make([]byte, 300)}}}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get("key"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdle is no speed but the memory of an open store that was used a
// little.
func BenchmarkIdle(b *testing.B) {
	before := rss(b)
	s := open(b, b.TempDir(), nil)
	defer s.Close()
	for i := range 1000 {
		if err := s.Write(store.Batch{Ops: []store.Op{{Key: fmt.Sprint(i), Value: make([]byte, 300)}}}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
	}
	b.ReportMetric(float64(rss(b)-before)/1024, "MiB-RSS")
}

// rss is the resident memory of the process in KiB, on Linux.
func rss(b *testing.B) (kib int) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("no /proc/self/status")
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	_, _ = fmt.Sscan(after, &kib)
	return kib
}
