// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A project that has spent its limit is refused for all models until what it spent is
// ten minutes old; others are not.
func TestSpendLimit(t *testing.T) {
	c := &clock{t: time.Date(2026, 11, 25, 12, 0, 20, 0, time.UTC)}
	s := New(Config{
		Now: c.now, TokenPrice: 1000, Keys: []Key{{Secret: "a", Project: "p"}, {Secret: "b", Project: "p"}, {Secret: "c"}},
		Projects: []Project{{Name: "p", Spend: 1}},
	})
	if w := post(s, "a", say("hello")); w.Code != 200 {
		t.Fatalf("the first request: %d %s", w.Code, w.Body)
	}
	c.add(time.Minute)
	ask := func(key, model string) int {
		r := httptest.NewRequest(http.MethodPost, "/v1beta/models/"+model+":generateContent", strings.NewReader(say("again")))
		r.Header.Set("X-Goog-Api-Key", key)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code == 429 && (!strings.Contains(w.Body.String(), "spend-based rate limit") || strings.Contains(w.Body.String(), "details")) {
			t.Errorf("refused with %s", w.Body)
		}
		return w.Code
	}
	for _, model := range []string{"gemini-flash-latest", "gemini-2.5-pro"} {
		if got := ask("b", model); got != 429 {
			t.Errorf("%s: %d, want 429", model, got)
		}
	}
	if got := ask("c", "gemini-2.5-pro"); got != 200 {
		t.Errorf("another project: %d", got)
	}
	c.add(spendWindow - time.Minute - time.Millisecond)
	if got := ask("a", "gemini-2.5-pro"); got != 429 {
		t.Errorf("a millisecond before its time: %d", got)
	}
	c.add(time.Millisecond)
	if got := ask("a", "gemini-2.5-pro"); got != 200 {
		t.Errorf("after ten minutes: %d", got)
	}
}
