// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// post asks the handler without a network, so that a test owns the time.
func post(s *Server, key, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/v1beta/models/gemini-flash-latest:generateContent", strings.NewReader(body))
	r.Header.Set("X-Goog-Api-Key", key)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestMinuteWindows(t *testing.T) {
	for _, v := range []struct {
		name    string
		aligned bool
		message string        // the exact wait
		delay   string        // the whole seconds
		wait    time.Duration // until it works again
	}{
		{"rolling", false, "Please retry in 29.25s.", `"29s"`, 29250 * time.Millisecond},
		{"aligned", true, "Please retry in 9.25s.", `"9s"`, 9250 * time.Millisecond},
	} {
		t.Run(v.name, func(t *testing.T) {
			c := &clock{t: time.Date(2026, 11, 25, 12, 0, 20, 0, time.UTC)}
			s := New(Config{Now: c.now, Aligned: v.aligned, Limits: Limits{RPM: 2}, Keys: []Key{{Secret: "a", Project: "p"}, {Secret: "b", Project: "p"}, {Secret: "c"}}})
			post(s, "a", say("1"))
			c.add(20 * time.Second)
			post(s, "b", say("2"))
			c.add(10750 * time.Millisecond)
			w := post(s, "a", say("3"))
			for _, part := range []string{v.message, `"retryDelay": ` + v.delay, "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", `"quotaValue": "2"`, `"model": "gemini-3.8-flash"`, "generate_content_free_tier_requests, limit: 2, model: gemini-3.8-flash", "google.rpc.Help"} {
				if !strings.Contains(w.Body.String(), part) {
					t.Errorf("429 lacks %s: %s", part, w.Body)
				}
			}
			if w := post(s, "c", say("4")); w.Code != 200 {
				t.Errorf("another project: %d", w.Code)
			}
			c.add(v.wait - time.Millisecond)
			if w := post(s, "a", say("5")); w.Code != 429 {
				t.Errorf("a millisecond before its time: %d", w.Code)
			}
			if got := s.Violations(); len(got) != 1 || got[0].Kind != Early {
				t.Errorf("violations %v", got)
			}
			post(s, "b", say("5"))
			if got := s.Violations(EarlyAgain); len(got) != 1 {
				t.Errorf("violations %v", got)
			}
			c.add(time.Millisecond)
			if w := post(s, "a", say("6")); w.Code != 200 {
				t.Errorf("at its time: %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	c := &clock{t: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	s := New(Config{Now: c.now, Limits: Limits{TPM: 100}, Keys: []Key{{Secret: "a", Project: "p"}}, Projects: []Project{{Name: "p", Paid: true}}})
	post(s, "a", say(strings.Repeat("four", 60)))
	c.add(time.Second)
	w := post(s, "a", say(strings.Repeat("four", 60)))
	if !strings.Contains(w.Body.String(), `"GenerateContentInputTokensPerModelPerMinute"`) || !strings.Contains(w.Body.String(), "Please retry in 59s.") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := post(s, "a", say(strings.Repeat("four", 40))); w.Code != 200 {
		t.Errorf("a smaller one: %d", w.Code)
	}
}

// The day is a Pacific one, and what a 429 announces beside it is only seconds.
func TestDays(t *testing.T) {
	for _, v := range []struct{ name, start, midnight string }{
		{"winter", "2026-11-25T20:00:00Z", "2026-11-26T08:00:00Z"},
		{"summer", "2026-07-01T20:00:00Z", "2026-07-02T07:00:00Z"},
		{"clocks go back", "2026-11-01T07:30:00Z", "2026-11-02T08:00:00Z"},
		{"clocks go forward", "2026-03-08T09:00:00Z", "2026-03-09T07:00:00Z"},
	} {
		begin, err := time.Parse(time.RFC3339, v.start)
		if err != nil {
			t.Fatal(err)
		}
		end, err := time.Parse(time.RFC3339, v.midnight)
		if err != nil {
			t.Fatal(err)
		}
		if got := NextMidnight(begin); !got.Equal(end) {
			t.Errorf("%s: midnight %v, want %v", v.name, got.UTC(), end)
		}
		c := &clock{t: begin}
		s := New(Config{Now: c.now, Limits: Limits{RPD: 2}, Keys: []Key{{Secret: "a"}}})
		var codes []int
		for range 3 {
			codes = append(codes, post(s, "a", say("x")).Code)
		}
		w := post(s, "a", say("x"))
		if fmt.Sprint(codes) != "[200 200 429]" || !strings.Contains(w.Body.String(), "GenerateRequestsPerDayPerProjectPerModel-FreeTier") || !strings.Contains(w.Body.String(), "Please retry in 60s") {
			t.Errorf("%s: %v %s", v.name, codes, w.Body)
		}
		c.add(end.Sub(begin) - time.Second)
		if w := post(s, "a", say("x")); w.Code != 429 {
			t.Errorf("%s: a second before midnight: %d", v.name, w.Code)
		}
		c.add(time.Second)
		if w := post(s, "a", say("x")); w.Code != 200 {
			t.Errorf("%s: at midnight: %d", v.name, w.Code)
		}
		if got := s.Violations(Early, EarlyAgain); len(got) != 1 {
			t.Errorf("%s: violations %v, want the one before midnight", v.name, got)
		}
	}
}

func TestNoQuota(t *testing.T) {
	s := New(Config{Keys: []Key{{Secret: "a", Project: "p"}}})
	s.SetLimits("p", "gemini-3.8-flash", Limits{RPM: -1, RPD: -1})
	w := post(s, "a", say("x"))
	if w.Code != 429 || !strings.Contains(w.Body.String(), "limit: 0, model: gemini-3.8-flash") || strings.Contains(w.Body.String(), "quotaValue") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	s.SetLimits("p", "gemini-3.8-flash", Limits{})
	if w := post(s, "a", say("x")); w.Code != 200 {
		t.Errorf("no limits: %d", w.Code)
	}
}

func BenchmarkLean(b *testing.B) {
	s := New(Config{Lean: true, Keys: []Key{{Secret: "a"}}})
	for _, v := range []struct{ name, path string }{
		{"small", "/v1beta/models/bench-small:generateContent"},
		{"burst", "/v1beta/models/bench-burst:streamGenerateContent?alt=sse"},
	} {
		b.Run(v.name, func(b *testing.B) {
			body := say("hello")
			w := &discard{h: http.Header{}}
			reader := strings.NewReader(body)
			r := httptest.NewRequest(http.MethodPost, v.path, reader)
			r.Header.Set("X-Goog-Api-Key", "a")
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(body)
				clear(w.h)
				s.ServeHTTP(w, r)
			}
		})
	}
}

type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Flush()                      {}
