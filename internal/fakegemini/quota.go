// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"strings"
	"time"
	_ "time/tzdata" // days of quota are Pacific days, wherever the test runs
)

var pacific = func() *time.Location {
	l, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		panic(err) // embedded above
	}
	return l
}()

// NextMidnight is the end of the Pacific day of t, which is when RPD begins anew.
func NextMidnight(t time.Time) time.Time {
	y, m, d := t.In(pacific).Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, pacific)
}

// meter counts what one (project, model) used. Only admitted requests count.
type meter struct {
	recent  []spend // of the last minute or of the current one, oldest first; unused without minute limits
	tokens  int64   // sum over recent
	day     int64   // requests on dayEnds' day
	dayEnds time.Time

	// What was announced last, for the books: until then nobody should ask.
	told    time.Time // when that was said first; zero = nothing in force
	until   time.Time
	ignored int // requests between told and until
}

type spend struct {
	at     time.Time
	tokens int64
}

// overrun is one quota that is used up.
type overrun struct {
	id, metric, model string
	limit             int64
	wait              time.Duration
	day               bool
	alone             bool // the request is larger than the limit, whatever else there is
}

// admit counts a request, or tells which quotas have no room for it.
func (m *meter) admit(now time.Time, l Limits, tokens int64, aligned bool, model string, paid bool) []overrun {
	m.forget(now, aligned)
	tier, metricTier := "-FreeTier", "free_tier"
	if paid {
		tier, metricTier = "", "paid_tier"
	}
	requests := "generativelanguage.googleapis.com/generate_content_" + metricTier + "_requests"
	inputs := "generativelanguage.googleapis.com/generate_content_" + metricTier + "_input_token_count"
	if strings.Contains(model, "embedding") {
		requests = strings.Replace(requests, "generate", "embed", 1)
		inputs = strings.Replace(inputs, "generate", "embed", 1)
	}
	var over []overrun
	add := func(id, metric string, limit int64, wait time.Duration, day bool) {
		over = append(over, overrun{id: id + tier, metric: metric, model: model, limit: max(limit, 0), wait: wait, day: day})
	}
	switch {
	case l.RPD == SpentDay:
		add("GenerateRequestsPerDayPerProjectPerModel", requests, -SpentDay, m.untilRequests(now, 1, aligned), true)
	case l.RPD < 0 || l.RPD > 0 && m.day >= l.RPD:
		// The wait that Google announces beside a day quota is that of a minute.
		add("GenerateRequestsPerDayPerProjectPerModel", requests, l.RPD, m.untilRequests(now, 1, aligned), true)
	}
	if l.RPM != 0 && int64(len(m.recent)) >= l.RPM {
		add("GenerateRequestsPerMinutePerProjectPerModel", requests, l.RPM, m.untilRequests(now, int64(len(m.recent))-max(l.RPM, 1)+1, aligned), false)
	}
	if l.TPM != 0 && m.tokens+tokens > l.TPM {
		add("GenerateContentInputTokensPerModelPerMinute", inputs, l.TPM, m.untilTokens(now, m.tokens+tokens-l.TPM, aligned), false)
		over[len(over)-1].alone = tokens > l.TPM
	}
	if len(over) == 0 {
		if l.RPM != 0 || l.TPM != 0 {
			m.recent = append(m.recent, spend{now, tokens})
			m.tokens += tokens
		}
		m.day++
	}
	return over
}

func (m *meter) forget(now time.Time, aligned bool) {
	if !now.Before(m.dayEnds) {
		m.day, m.dayEnds = 0, NextMidnight(now)
	}
	start := now.Add(-time.Minute)
	if aligned {
		start = now.Truncate(time.Minute).Add(-1)
	}
	n := 0
	for n < len(m.recent) && !m.recent[n].at.After(start) {
		m.tokens -= m.recent[n].tokens
		n++
	}
	m.recent = m.recent[n:]
}

// untilRequests is the time until n requests have left the window.
func (m *meter) untilRequests(now time.Time, n int64, aligned bool) time.Duration {
	if aligned || n > int64(len(m.recent)) || n <= 0 {
		return now.Truncate(time.Minute).Add(time.Minute).Sub(now)
	}
	return m.recent[n-1].at.Add(time.Minute).Sub(now)
}

// untilTokens is the time until so many tokens have left the window; for more
// than are in it there is no such time, and Google names the next minute.
func (m *meter) untilTokens(now time.Time, tokens int64, aligned bool) time.Duration {
	for i, s := range m.recent {
		if tokens -= s.tokens; tokens <= 0 {
			return m.untilRequests(now, int64(i+1), aligned)
		}
	}
	return m.untilRequests(now, 0, true)
}

// announce remembers what a refusal announced.
func (m *meter) announce(now time.Time, over []overrun) (wait time.Duration) {
	day := false
	for _, o := range over {
		wait = max(wait, o.wait)
		day = day || o.day
	}
	if len(over) == 1 && over[0].alone { // no time at which others may not come
		return wait
	}
	if m.told.IsZero() || !now.Before(m.until) { // else the earlier word still holds
		m.told, m.ignored = now, 0
	}
	m.until = now.Add(wait)
	if day {
		m.until = NextMidnight(now)
	}
	return wait
}
