// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// get reads a route of Caddy's admin endpoint.
func (s *server) get(path string) (status int, body string) {
	s.t.Helper()
	res, err := s.client.Get("http://" + s.admin + path)
	must(s.t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	must(s.t, err)
	return res.StatusCode, string(data)
}

// TestAdminEndpoint: health and pool at Caddy's own admin endpoint, over a reload.
func TestAdminEndpoint(t *testing.T) {
	s := newServer(t, 2)
	config := s.config(s.store("a")+"key {env.GB_KEY_0}\nkey {env.GB_KEY_1}\n", "")
	s.start(config)
	s.addUser()
	for round := range 2 {
		if status := s.chat("Hello"); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
		if status, body := s.get("/gemini_balance/ready"); status != http.StatusOK || !strings.Contains(body, `"ready":true`) {
			t.Errorf("round %d: %d %s", round, status, body)
		}
		status, body := s.get("/gemini_balance/pool")
		var pool struct {
			Keys   map[string]int
			Routes []struct {
				Route string
				Up    bool
			}
		}
		must(t, json.Unmarshal([]byte(body), &pool))
		if status != http.StatusOK || pool.Keys["active"]+pool.Keys["untested"] != 2 || len(pool.Routes) != 1 || !pool.Routes[0].Up {
			t.Errorf("round %d: %d %s", round, status, body)
		}
		s.checkNoSecret("pool", body)
		must(t, s.load(config+fmt.Sprintf("# round %d\n", round)))
	}
	res, err := s.client.Post("http://"+s.admin+"/gemini_balance/pool", "", nil)
	must(t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", res.Status)
	}
	must(t, s.load("{\n admin "+s.admin+"\n}\n"))
	if status, body := s.get("/gemini_balance/ready"); status != http.StatusServiceUnavailable {
		t.Errorf("without gemini_balance: %d %s", status, body)
	}
}

// TestMetrics_Served: what the dashboard draws is what Caddy serves.
func TestMetrics_Served(t *testing.T) {
	s := newServer(t, 1)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\nquota "+model+" {\n rpd 100\n}\n", ""))
	s.addUser()
	if status := s.chat("Hello"); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	dashboard, err := os.ReadFile(filepath.Join("..", "..", "deploy", "grafana", "gemini-balance.json"))
	must(t, err)
	_, served := s.get("/metrics")
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`\b((?:caddy_gemini_balance|process|go)_[a-z_]+)\{`).FindAllStringSubmatch(string(dashboard), -1) {
		names[m[1]] = true
	}
	if len(names) < 25 {
		t.Fatalf("the dashboard has %d metrics", len(names))
	}
	for name := range names {
		if !regexp.MustCompile(`(?m)^` + name + `[{ ]`).MatchString(served) {
			t.Errorf("Caddy does not serve %s", name)
		}
	}
	s.checkNoSecret("metrics", served)
}

// TestTracing_OfCaddy: with Caddy's own directive, attempts are spans below Caddy's, in
// the client's trace, of which Google hears nothing.
func TestTracing_OfCaddy(t *testing.T) {
	s := newServer(t, 2)
	s.env = append(s.env, "OTEL_TRACES_EXPORTER=console", "OTEL_BSP_SCHEDULE_DELAY=50")
	s.google.Script(fakegemini.Rule{Times: 1, Steer: fakegemini.ParseSteer("[[retry 30s]]")})
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\nkey {env.GB_KEY_1}\n", s.usualSite("tracing {\n span api\n}\n")))
	s.addUser()
	const trace = "0af7651916cd43dd8448eb211c80319c"
	res := s.post(s.client, "Hello", false, "Traceparent", "00-"+trace+"-b7ad6b7169203331-01", "Baggage", "user=secret")
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	var ours, caddys []consoleSpan
	eventually(t, "the spans are exported", func() bool {
		ours, caddys = nil, nil
		for _, span := range consoleSpans(s.log.String()) {
			switch {
			case span.SpanContext.TraceID != trace:
			case span.Name == "chat "+model:
				ours = append(ours, span)
			case span.Name == "api":
				caddys = append(caddys, span)
			}
		}
		return len(ours) == 2 && len(caddys) == 1
	})
	for _, span := range ours {
		if span.Parent.SpanID != caddys[0].SpanContext.SpanID || span.SpanKind != 3 {
			t.Errorf("%+v is no client span below %+v", span, caddys[0])
		}
	}
	for _, e := range s.google.Entries() {
		for _, name := range []string{"Traceparent", "Tracestate", "Baggage"} {
			if v := e.Header.Values(name); v != nil {
				t.Errorf("Google was sent %s: %q", name, v)
			}
		}
	}
}

// consoleSpan is a span as OpenTelemetry's console exporter writes it.
type consoleSpan struct {
	Name                string
	SpanKind            int
	SpanContext, Parent struct{ TraceID, SpanID string }
}

// consoleSpans finds the spans among the lines of a log.
func consoleSpans(log string) (spans []consoleSpan) {
	for rest := log; ; {
		at := strings.Index(rest, `{"Name":`)
		if at < 0 {
			return spans
		}
		rest = rest[at:]
		var span consoleSpan
		if err := json.NewDecoder(strings.NewReader(rest)).Decode(&span); err == nil {
			spans = append(spans, span)
		}
		rest = rest[1:]
	}
}

// TestEvents_OfCaddy: events come through Caddy's app, over a reload.
func TestEvents_OfCaddy(t *testing.T) {
	s := newServer(t, 2)
	config := s.config(s.store("a")+"probe off\nkey {env.GB_KEY_0} first\nkey {env.GB_KEY_1}\n", "")
	s.start(config)
	s.addUser()
	must(t, s.load(config+"# changed\n"))
	s.google.SetKeyState(fakegemini.DemoKey(1), fakegemini.KeyInvalid)
	for range 4 {
		s.chat("Hello")
	}
	eventually(t, "the event of the refused key", func() bool {
		return regexp.MustCompile(`"logger":"events".*"name":"key_invalid".*"key_id":"` + keyID(0) + `".*"name":"first"`).MatchString(s.log.String())
	})
	s.checkNoSecret("log", s.log.String())
}
