// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// TestScanDecoded: all pairs, in order, each with its own result, and none after the one
// that was enough.
func TestScanDecoded(t *testing.T) {
	s := memory.New()
	const chunk = 256
	const n = 5*chunk + 3
	for i := range n {
		if err := s.Write(store.Batch{Ops: []store.Op{{Key: fmt.Sprintf("a/%05d", i), Value: fmt.Append(nil, i)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Write(store.Batch{Ops: []store.Op{{Key: "b/0", Value: []byte("other")}}}); err != nil {
		t.Fatal(err)
	}
	odd := errors.New("odd")
	decode := func(_ string, value []byte) (string, error) {
		if len(value) == 1 && value[0]%2 == 1 {
			return "", odd
		}
		return string(value), nil
	}
	for _, until := range []int{0, 1, chunk, 2*chunk + 1, n, n + 1} {
		taken := 0
		err := store.ScanDecoded(s, "a/", until%3, decode, func(p store.Decoded[string]) bool {
			want := fmt.Sprint(taken)
			if p.Key != fmt.Sprintf("%05d", taken) || p.Err == nil && p.Value != want || (p.Err != nil) != (taken < 10 && taken%2 == 1) {
				t.Errorf("pair %d is %+v", taken, p)
			}
			taken++
			return taken < until
		})
		if want := max(1, min(until, n)); err != nil || taken != want {
			t.Errorf("until %d: %d taken, %v; want %d", until, taken, err, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := store.ScanDecoded(s, "a/", 0, decode, func(store.Decoded[string]) bool { return true }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("of a closed store: %v", err)
	}
}
