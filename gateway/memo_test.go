// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemo(10_000, time.Hour)
		alice, bob := m.of("alice"), m.of("bob")
		alice.Remember("call_1", "SIG")
		if s, ok := alice.Signature("call_1"); !ok || s != "SIG" {
			t.Errorf("Signature = %q, %v", s, ok)
		}
		if _, ok := bob.Signature("call_1"); ok {
			t.Error("a user sees another's signature")
		}
		alice.Remember("call_1", "NEW")
		if s, _ := alice.Signature("call_1"); s != "NEW" {
			t.Errorf("Signature = %q after a second Remember", s)
		}
		time.Sleep(time.Hour + time.Second)
		if _, ok := alice.Signature("call_1"); ok || m.size != 0 {
			t.Errorf("an entry outlived its time; %d bytes kept", m.size)
		}
		for i := range 100 {
			alice.Remember(strconv.Itoa(i), strings.Repeat("s", 100))
			alice.Signature("0") // in use, so it stays
		}
		if m.size > m.capacity || len(m.entries) != m.order.Len() {
			t.Errorf("%d bytes, %d entries, %d in order", m.size, len(m.entries), m.order.Len())
		}
		if _, ok := alice.Signature("0"); !ok {
			t.Error("the most used entry was dropped")
		}
		if _, ok := alice.Signature("1"); ok {
			t.Error("the least used entry was kept")
		}
		alice.Remember("huge", strings.Repeat("s", 9_000))
		if _, ok := alice.Signature("huge"); ok {
			t.Error("one entry may not push out all others")
		}
	})
}

func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b retryBudget
		taken := func(tries int) (n int) {
			for range tries {
				if b.take(0.2) {
					n++
				}
			}
			return n
		}
		if n := taken(100); n != fewRetries {
			t.Errorf("%d retries without load, want %d in ten seconds", n, fewRetries)
		}
		b.help()
		if n := taken(100); n != 3 {
			t.Errorf("%d more retries where one helped, want three", n)
		}
		for range 100 {
			b.help()
		}
		if n := taken(100); n != mostRetries-fewRetries-3 {
			t.Errorf("%d more retries where many helped; want %d in ten seconds", n, mostRetries)
		}
		time.Sleep(11 * time.Second)
		for range 1000 {
			b.request()
		}
		if n := taken(1000); n != 200 {
			t.Errorf("%d retries of 1000 requests, want 20 %%", n)
		}
		time.Sleep(11 * time.Second)
		if n := taken(100); n != fewRetries {
			t.Errorf("%d retries after the load has gone", n)
		}
	})
}

func TestEstimateTokens(t *testing.T) {
	text := `{"contents":"` + strings.Repeat("word ", 200) + `"}`
	if got := estimateTokens([]byte(text)); got < 200 || got > 300 {
		t.Errorf("1 kB of text: %d tokens", got)
	}
	image := text + `"` + strings.Repeat("A", 1<<20) + `"` + text
	if got := estimateTokens([]byte(image)); got < 1300 || got > 2000 {
		t.Errorf("an image of 1 MiB: %d tokens", got)
	}
}
