// SPDX-License-Identifier: Apache-2.0

// Package rows makes the rows of a request log as a busy gateway has them, for the
// benchmarks that need millions.
package rows

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Maker makes rows, each Step after the one before.
type Maker struct {
	*rand.Rand
	At          time.Time // of the last row
	Step        time.Duration
	Users, Keys int // how many there are
	User, Key   func(n int) string
}

// ID is a random name.
func (m *Maker) ID(prefix string, n int) string {
	out := []byte(prefix)
	for range n {
		out = append(out, alphabet[m.IntN(len(alphabet))])
	}
	return string(out)
}

// skewed prefers small numbers: a few users make most requests.
func (m *Maker) skewed(n int) int {
	return int(float64(n) * m.Float64() * m.Float64() * m.Float64())
}

// Record is the next row.
func (m *Maker) Record() usage.Record {
	m.At = m.At.Add(m.Step)
	model := [...]string{"gemini-3-flash", "gemini-3-flash", "gemini-3-pro", "gemini-2.5-flash", "gemini-embedding-001"}[m.IntN(5)]
	k := m.IntN(m.Keys)
	r := usage.Record{
		At: m.At, RequestID: m.ID("req_", 20), Dialect: [...]string{"openai", "anthropic", "gemini"}[m.IntN(3)], Endpoint: "chat.completions",
		Asked: model, Model: model, Version: model + "-001", KeyID: m.Key(k), Project: strconv.Itoa(100_000_000_000 + k),
		UserID: m.User(m.skewed(m.Users)), IP: netip.AddrFrom4([4]byte{10, byte(m.IntN(4)), byte(m.IntN(256)), byte(m.IntN(256))}),
		Agent: [...]string{"OpenAI/Python 2.1.0", "claude-cli/2.0.14", "node-fetch"}[m.IntN(3)], Status: 200, Outcome: "ok", Attempts: 1,
		Stream: m.IntN(3) > 0, Input: m.Int64N(30_000), Output: m.Int64N(2_000), Thoughts: m.Int64N(1_000), Priced: true, Price: "ai.google.dev 2026-10-07",
		Waited: time.Duration(m.IntN(2)) * time.Millisecond, FirstOutput: time.Duration(200+m.IntN(2_500)) * time.Millisecond,
	}
	r.Duration = r.FirstOutput + time.Duration(m.IntN(20_000))*time.Millisecond
	r.Cost = r.Input*300 + (r.Output+r.Thoughts)*2500
	try := usage.Try{KeyID: r.KeyID, Project: r.Project, Status: 200, Verdict: "ok", Started: r.Waited, Duration: r.Duration}
	switch n := m.IntN(1000); {
	case n < 40:
		other := m.Key(m.IntN(m.Keys))
		r.Attempts = 2
		r.Tries = []usage.Try{{KeyID: other, Project: "p" + other, Status: 429, Verdict: "rate_limited", Reason: "GenerateRequestsPerMinutePerProjectPerModel", Duration: 90 * time.Millisecond}, try}
	case n < 60:
		r.Status, r.Outcome, r.Code, r.Error = 400, "invalid_request", "INVALID_ARGUMENT", "contents[0].parts must not be empty"
		try.Status, try.Verdict = 400, "invalid_request"
		r.Tries = []usage.Try{try}
	case n < 62:
		r.Status, r.Outcome = 503, "overloaded"
		try.Status, try.Verdict = 503, "overloaded"
		r.Tries = []usage.Try{try}
	default:
		r.Tries = []usage.Try{try}
	}
	return r
}
