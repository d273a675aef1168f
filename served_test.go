// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"fmt"
	"os"
	"regexp"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// TestServed_Documented holds the placeholders, the log fields and the table in
// the documentation together.
func TestServed_Documented(t *testing.T) {
	s := &served{Record: &usage.Record{
		RequestID: "r", Dialect: "openai", Endpoint: "messages", Asked: "smart", Model: "m", Outcome: "ok", UserID: "u1", KeyID: "gk_1", Project: "p", Code: "INTERNAL",
		Attempts: 2, Stream: true, Input: 1, Cached: 2, Output: 3, Thoughts: 4, ToolUse: 5, Cost: 1_500_000_000, Priced: true, Partial: true, Estimated: true,
		Waited: time.Second, FirstOutput: 2 * time.Second, Duration: 1500 * time.Millisecond,
	}, upstreamStatus: 200, refusedBy: "rpm"}
	fields := zapcore.NewMapObjectEncoder()
	must(t, s.MarshalLogObject(fields))
	source, err := os.ReadFile("handler.go")
	must(t, err)
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("`{http\\.gemini_balance\\.([a-z_]+)}`|`…([a-z_]+)`").FindAllStringSubmatch(string(source), -1) {
		name := m[1] + m[2]
		documented[name] = true
		value, ok := s.placeholder("http.gemini_balance." + name)
		if !ok {
			t.Errorf("{http.gemini_balance.%s} is documented and unknown", name)
		}
		if logged, ok := fields.Fields[name]; ok && fmt.Sprint(logged) != fmt.Sprint(value) {
			t.Errorf("%s is %v as a placeholder and %v in logs", name, value, logged)
		}
		if fmt.Sprint(value) == "" || fmt.Sprint(value) == "0" {
			t.Errorf("%s is %v", name, value)
		}
	}
	for name := range fields.Fields {
		if !documented[name] {
			t.Errorf("%s is logged and not documented as a placeholder", name)
		}
	}
	if len(fields.Fields) < 20 || len(documented) < 25 {
		t.Errorf("%d fields, %d placeholders", len(fields.Fields), len(documented))
	}
	if v, _ := s.placeholder("http.gemini_balance.duration_ms"); v != 1500.0 {
		t.Errorf("duration_ms is %v", v)
	}
	if v, _ := s.placeholder("http.gemini_balance.cost_usd"); v != 1.5 {
		t.Errorf("cost_usd is %v", v)
	}
	if v, _ := (&served{Record: &usage.Record{}}).placeholder("http.gemini_balance.cost_usd"); v != "" {
		t.Errorf("a cost that nobody knows is %v", v)
	}
	if v, _ := s.placeholder("http.auth.user.id"); v != "u1" {
		t.Errorf("http.auth.user.id is %v", v)
	}
	if v, ok := (&served{Record: &usage.Record{}}).placeholder("http.auth.user.id"); ok {
		t.Errorf("http.auth.user.id of an anonymous request is %v; basic_auth may know it", v)
	}
}
