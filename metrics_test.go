// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/gateway"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// series are the values of all of our metrics, by name and labels as Prometheus writes
// them, without the prefix. Histograms are counted as name_count.
func series(t testing.TB) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	must(t, registerMetrics(registry))
	families, err := registry.Gather()
	must(t, err)
	all := map[string]float64{}
	for _, f := range families {
		name, ours := strings.CutPrefix(f.GetName(), "caddy_gemini_balance_")
		if !ours {
			t.Errorf("%s has not our prefix", f.GetName())
		}
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			key := name
			if h := m.Histogram; h != nil {
				key += "_count"
			}
			if len(labels) > 0 {
				key += "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case m.Histogram != nil:
				all[key] = float64(m.Histogram.GetSampleCount())
			case m.Counter != nil:
				all[key] = m.Counter.GetValue()
			default:
				all[key] = m.Gauge.GetValue()
			}
		}
	}
	return all
}

// TestMetrics_SurviveReloads registers with a new registry, as every reload does,
// twice, as two sites do.
func TestMetrics_SurviveReloads(t *testing.T) {
	a := mustProvision(t, `{"store": {"backend": "memory"}}`)
	must(t, a.Start())
	defer func() { must(t, a.Cleanup()) }()
	o := observer{a, a.logger}
	const counter = `requests_total{dialect="openai",model="other",outcome="ok"}`
	before := series(t)[counter]
	for reload := range 3 {
		registry := prometheus.NewPedanticRegistry()
		must(t, registerMetrics(registry))
		must(t, registerMetrics(registry))
		o.Served(t.Context(), &usage.Record{Dialect: "openai", Model: "reload-test", Outcome: "ok"})
		if got := series(t)[counter] - before; got != float64(reload+1) {
			t.Errorf("after %d reloads the counter has grown by %v", reload, got)
		}
	}
	got := series(t)
	if got[`keys{state="active"}`] != 0 || got[`resting{kind="cooling",scope="key"}`] != 0 {
		t.Errorf("metrics of an empty pool: %v", got)
	}
	if _, there := got[`keys{state="leaked"}`]; !there {
		t.Error("states without a key are left out")
	}
}

// TestMetrics drives a gateway and looks at what is counted of it.
func TestMetrics(t *testing.T) {
	google := googleKeys(3)
	google.Keys[0].State = fakegemini.KeyInvalid
	w := newWorld(t, google, `, "strategy": "round_robin", "retry": {"wait": 0}, "quotas": [{"model": "`+testModel+`", "rpd": 100}], "proxies": []`)
	before := series(t)
	for range 3 {
		if status, body := w.chat(w.secret, "hello", ""); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	w.chat(w.secret, "hello", `,"stream":true`)
	if status, _ := w.chat(w.user(users.Spec{Name: "none", Unlimited: true, Models: []string{"other"}}), "hello", ""); status != 403 {
		t.Errorf("status %d", status)
	}
	w.google.Script(fakegemini.Rule{Steer: fakegemini.ParseSteer("[[retry 30s]]")})
	w.chat(w.secret, "hello", "")
	w.server.Close() // after its handlers: clients have their answers before
	after := series(t)
	for name, want := range map[string]float64{
		`requests_total{dialect="openai",model="` + testModel + `",outcome="ok"}`:           4,
		`requests_total{dialect="openai",model="` + testModel + `",outcome="forbidden"}`:    1,
		`requests_total{dialect="openai",model="` + testModel + `",outcome="rate_limited"}`: 1,
		`attempts_total{model="` + testModel + `",outcome="ok"}`:                            4,
		`attempts_total{model="` + testModel + `",outcome="rate_limited"}`:                  2,
		`refusals_total{reason="models"}`:                                                   1,
		`refusals_total{reason="all_resting"}`:                                              1,
		`time_to_first_event_seconds_count{model="` + testModel + `"}`:                      4,
		`key_state_changes_total{state="invalid"}`:                                          1,
	} {
		if got := after[name] - before[name]; got != want {
			t.Errorf("%s has grown by %v, want %v", name, got, want)
		}
	}
	for name, want := range map[string]float64{
		`keys{state="active"}`:                          2,
		`keys{state="invalid"}`:                         1,
		`resting{kind="cooling",scope="project_model"}`: 2,
		`in_flight_attempts`:                            0,
		`open_streams`:                                  0,
		`waiting_requests`:                              0,
		`route_up{route="direct"}`:                      1,
		`route_keys{route="direct"}`:                    2,
		`quota_unknown_projects{model="` + testModel + `",window="day"}`: 0,
		`store_failing{part="keys"}`:                                     0,
	} {
		if after[name] != want {
			t.Errorf("%s is %v, want %v", name, after[name], want)
		}
	}
	for _, grown := range []string{`tokens_total{kind="input",model="` + testModel + `"}`, `tokens_total{kind="output",model="` + testModel + `"}`, `cost_usd_total{model="` + testModel + `"}`, `quota_left_requests{model="` + testModel + `",window="day"}`} {
		if after[grown] <= before[grown] {
			t.Errorf("%s is %v", grown, after[grown])
		}
	}
	if n := matching(after, "build_info{"); n != 1 {
		t.Errorf("%d build_info", n)
	}
}

func matching(all map[string]float64, prefix string) (n int) {
	for name := range all {
		if strings.HasPrefix(name, prefix) {
			n++
		}
	}
	return n
}

// TestMetrics_Bounded: whatever names clients send, and however many keys and proxies
// there are, the number of series has a bound, and none has a name that a client made.
func TestMetrics_Bounded(t *testing.T) {
	w := newWorld(t, googleKeys(1), "")
	o := observer{w.app, zap.NewNop()}
	storm := func(from, to int) {
		for i := from; i < to; i++ {
			hostile := fmt.Sprintf("hostile-%d\n\"}", i)
			o.Attempted(t.Context(), gateway.Attempt{Model: hostile, KeyID: hostile, Outcome: balancer.Outcome{Verdict: balancer.Verdict(i % 40)}}) //nolint:gosec // small
			o.Refused(t.Context(), gateway.Refusal{Reason: hostile, Model: hostile, UserID: hostile, UserName: hostile})
			o.Served(t.Context(), &usage.Record{Dialect: "openai", Model: hostile, Asked: hostile, Outcome: "ok", KeyID: hostile, UserID: hostile})
		}
	}
	must(t, w.app.shared.pool.SetLimits(nil))
	storm(0, 40*maxModels) // some verdicts are successes, so up to maxModels are learned
	full := series(t)
	var keys []balancer.NewKey
	for i := range 3000 {
		keys = append(keys, balancer.NewKey{Secret: fmt.Sprintf("AIzaSy-bounded-%06d", i), Name: "hostile", Proxy: fmt.Sprintf("http://hostile-%d.example:8080", i%200)})
	}
	_, err := w.app.shared.pool.Add(t.Context(), keys)
	must(t, err)
	storm(40*maxModels, 80*maxModels)
	after := series(t)
	if more := len(after) - len(full); more > 2*(maxRoutes+1) {
		t.Errorf("%d series more after a second storm and 3,000 keys", more)
	}
	if n := matching(after, "route_up{"); n > maxRoutes+1 {
		t.Errorf("%d routes", n)
	}
	known := *w.app.shared.models.known.Load()
	if len(known) > maxModels {
		t.Errorf("%d models are known", len(known))
	}
	for name := range after {
		if strings.Contains(name, "AIza") || strings.Contains(name, "key=") || strings.Contains(name, "user=") {
			t.Errorf("%s", name)
		}
	}
}

func TestModelNames(t *testing.T) {
	var names modelNames
	names.add("gemini-2.5-flash")
	names.learn(usage.Totals{ByModel: map[string]usage.Counts{
		"answered": {Requests: 3, Failed: 2}, "never": {Requests: 3, Failed: 3},
	}})
	for model, want := range map[string]string{
		"gemini-2.5-flash": "gemini-2.5-flash", "answered": "answered", "never": "other", "made up": "other", "": "",
	} {
		if got := names.label(model); got != want {
			t.Errorf("label of %q is %q, want %q", model, got, want)
		}
	}
	var adding sync.WaitGroup
	for g := range 4 {
		adding.Go(func() {
			for i := range 3 * maxModels {
				names.add(fmt.Sprint("m", g, i))
			}
		})
	}
	adding.Wait()
	if n := len(*names.known.Load()); n != maxModels {
		t.Errorf("%d names are known, want %d", n, maxModels)
	}
}

// TestHandles: one thing is made for each key, whoever asks at the same time.
func TestHandles(t *testing.T) {
	var made sync.Map
	h := handles[int, *int]{make: func(k int) *int {
		if _, twice := made.LoadOrStore(k, true); twice {
			t.Errorf("%d is made twice", k)
		}
		return &k
	}}
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			for k := range 100 {
				if got := h.of(k); *got != k {
					t.Errorf("%d for %d", *got, k)
				}
			}
		})
	}
	asking.Wait()
}

// TestMetrics_Documented: the table in the documentation has all metrics with their
// labels, and no others.
func TestMetrics_Documented(t *testing.T) {
	source, err := os.ReadFile("module.go")
	must(t, err)
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^// `([a-z_]+)` \\|((?: `[a-z]+`,?)*) ?$").FindAllStringSubmatch(string(source), -1) {
		labels := strings.Split(strings.NewReplacer("`", "", " ", "").Replace(m[2]), ",")
		slices.Sort(labels)
		documented[m[1]] = strings.Join(labels, ",")
	}
	have := metricLabels()
	for name, labels := range have {
		if got, there := documented[name]; !there || got != labels {
			t.Errorf("%s{%s} is documented as {%s}, %v", name, labels, got, there)
		}
	}
	for name := range documented {
		if _, there := have[name]; !there {
			t.Errorf("%s is documented and does not exist", name)
		}
	}
}

// metricLabels are the labels of all metrics, sorted, by name without the prefix.
func metricLabels() map[string]string {
	descs := make(chan *prometheus.Desc, 100)
	for _, c := range metrics.collectors() {
		c.Describe(descs)
	}
	close(descs)
	form := regexp.MustCompile(`fqName: "caddy_gemini_balance_([a-z_]+)".*variableLabels: {([^}]*)}`)
	have := map[string]string{}
	for d := range descs {
		m := form.FindStringSubmatch(d.String())
		labels := strings.Split(m[2], ",")
		slices.Sort(labels)
		have[m[1]] = strings.Join(labels, ",")
	}
	return have
}

// TestObserve_Allocations: counting a request and an attempt allocates nothing, and
// neither does tracing where nobody traces.
func TestObserve_Allocations(t *testing.T) {
	o, s, a := observed(t)
	ctx := context.Background()
	for name, f := range map[string]func(){
		"request":      func() { o.count(s) },
		"attempt":      func() { traceAttempt(ctx, &a, "ok", "host") },
		"wait":         func() { traceWait(ctx, &gateway.Wait{}) },
		"model series": func() { metrics.models.of(o.app.shared.models.label(testModel)).attempts.of("ok").Inc() },
		"other model":  func() { metrics.models.of(o.app.shared.models.label("who knows")).attempts.of("ok").Inc() },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func observed(t testing.TB) (observer, *served, gateway.Attempt) {
	a := &App{shared: &resource{}, logger: zap.NewNop()}
	a.shared.models.add(testModel)
	s := &served{Record: &usage.Record{
		Dialect: "openai", Model: testModel, Outcome: "ok", Attempts: 1, Input: 10, Output: 20, Cached: 5, Thoughts: 3, Priced: true, Cost: 1000,
		Duration: time.Second, FirstOutput: time.Millisecond,
	}}
	return observer{a, a.logger}, s, gateway.Attempt{Model: testModel, Duration: time.Second}
}

func BenchmarkCount(b *testing.B) {
	o, s, _ := observed(b)
	b.ReportAllocs()
	for b.Loop() {
		o.count(s)
	}
}

func BenchmarkCount_Parallel(b *testing.B) {
	o, s, _ := observed(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			o.count(s)
		}
	})
}

// BenchmarkScrape must not depend on how many keys there are.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			a := scraped(b, n)
			registry := prometheus.NewPedanticRegistry()
			must(b, registerMetrics(registry))
			for b.Loop() {
				if _, err := registry.Gather(); err != nil {
					b.Fatal(err)
				}
			}
			must(b, a.Cleanup())
		})
	}
}

// scraped is an App whose pool has n keys, used for ten models.
func scraped(b *testing.B, n int) *App {
	b.Helper()
	a := mustProvision(b, `{"store": {"backend": "memory"}, "probe": false}`)
	must(b, a.Start())
	keys := make([]balancer.NewKey, n)
	for i := range keys {
		keys[i].Secret = fmt.Sprintf("AIzaSy-scraped-%08d", i)
	}
	_, err := a.shared.pool.Add(b.Context(), keys)
	must(b, err)
	for i := range 10_000 {
		model := fmt.Sprint("gemini-", i%10)
		a.shared.models.add(model)
		l, err := a.shared.pool.Lease(b.Context(), balancer.Want{Model: model})
		must(b, err)
		l.Done(balancer.Outcome{})
	}
	must(b, a.shared.pool.Flush()) // what is written behind is not a scrape's
	return a
}
