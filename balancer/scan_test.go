// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// TestScanEach: all pairs, in order, each with its own result, and none after the one
// that was enough.
func TestScanEach(t *testing.T) {
	s := memory.New()
	const n = 5*scanChunk + 3
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
	for _, until := range []int{0, 1, scanChunk, 2*scanChunk + 1, n, n + 1} {
		taken := 0
		err := scanEach(s, "a/", decode, func(p pair[string]) bool {
			want := fmt.Sprint(taken)
			if p.key != fmt.Sprintf("%05d", taken) || p.err == nil && p.value != want || (p.err != nil) != (taken < 10 && taken%2 == 1) {
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
	if err := scanEach(s, "a/", decode, func(pair[string]) bool { return true }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("of a closed store: %v", err)
	}
}
