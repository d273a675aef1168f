// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/gateway"
)

const (
	dashboardFile = "deploy/grafana/gemini-balance.json"
	rulesFile     = "deploy/prometheus/gemini-balance.rules.yml"
)

// dashboard is what is checked of Grafana's form.
type dashboard struct {
	UID, Title string
	Panels     []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ X, Y, W, H int }
		Targets                  []struct{ Expr, LegendFormat string }
	}
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	data, err := os.ReadFile(dashboardFile)
	must(t, err)
	must(t, json.Unmarshal(data, &d))
	return d
}

// TestDeploy_Metrics: dashboard and alerts use metrics that there are, with labels that
// they have and, where labels are words of ours, with words that there are.
func TestDeploy_Metrics(t *testing.T) {
	d := readDashboard(t)
	used := map[string]bool{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			checkQuery(t, p.Title, target.Expr, used)
		}
	}
	for _, v := range d.Templating.List {
		checkQuery(t, "variable "+v.Name, v.Definition, used)
	}
	var unseen []string
	for name := range metricLabels() {
		if !used[name] && name != "quota_unknown_projects" { // of the alerts only
			unseen = append(unseen, name)
		}
	}
	if len(unseen) > 0 {
		t.Errorf("no panel shows %q", unseen)
	}
	rules, err := os.ReadFile(rulesFile)
	must(t, err)
	for _, file := range []string{rulesFile, "deploy/prometheus/gemini-balance.rules.test.yml"} {
		text, err := os.ReadFile(file)
		must(t, err)
		for i, part := range regexp.MustCompile(`- (alert|name):`).Split(string(text), -1) {
			checkQuery(t, fmt.Sprintf("%s, part %d", file, i), part, used) // by itself: labels are those of its metrics
		}
	}
	for _, doc := range []string{"docs/observability.md", "docs/observability.zh-CN.md"} {
		text, err := os.ReadFile(doc)
		must(t, err)
		for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
			if !strings.Contains(string(text), m[1]) {
				t.Errorf("%s does not say what to do about %s", doc, m[1])
			}
		}
		for name := range metricLabels() {
			if !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("%s does not explain %s", doc, name)
			}
		}
		for _, name := range eventNames {
			if !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("%s does not explain %s", doc, name)
			}
		}
	}
}

var (
	usedMetric   = regexp.MustCompile(`caddy_gemini_balance_([a-z_]+)(?:{([^}]*)})?`)
	usedMatcher  = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	usedGrouping = regexp.MustCompile(`(?:by|on) \(([a-z_, ]+)\)`)
)

// checkQuery looks at the metrics and labels in a text of queries.
func checkQuery(t *testing.T, where, text string, used map[string]bool) {
	t.Helper()
	have := metricLabels()
	known := map[string]bool{"instance": true, "job": true, "le": true, "alertname": true}
	for _, m := range usedMetric.FindAllStringSubmatch(text, -1) {
		name := m[1]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base := strings.TrimSuffix(name, suffix); base != name && strings.HasSuffix(base, "_seconds") {
				name = base
			}
		}
		labels, there := have[name]
		if !there {
			t.Errorf("%s: there is no metric %s", where, m[1])
			continue
		}
		used[name] = true
		own := strings.Split(labels, ",")
		for _, label := range own {
			known[label] = true
		}
		for _, matcher := range usedMatcher.FindAllStringSubmatch(m[2], -1) {
			label, value := matcher[1], matcher[3]
			if label != "instance" && label != "le" && !slices.Contains(own, label) {
				t.Errorf("%s: %s has no label %s", where, name, label)
			}
			for word := range strings.SplitSeq(value, "|") {
				if !wordOf(name, label, word) {
					t.Errorf("%s: no %s of %s is %q", where, label, name, word)
				}
			}
		}
	}
	for _, m := range usedGrouping.FindAllStringSubmatch(text, -1) {
		for label := range strings.SplitSeq(m[1], ",") {
			if !known[strings.TrimSpace(label)] {
				t.Errorf("%s: none of the metrics has a label %s", where, label)
			}
		}
	}
}

// wordOf reports whether a label can have a value, as far as the words are ours.
func wordOf(metric, label, word string) bool {
	words := map[string][]string{
		"state": {"active", "untested", "invalid", "leaked", "suspended", "misconfigured", "disabled"},
		"scope": {"project_model", "project", "key", "model", "route"}, "kind": {"cooling", "exhausted", "unavailable", "broken"},
		"window": {"day", "minute"}, "part": partWords[:],
	}[label]
	switch {
	case strings.Contains(word, "$"):
		return true
	case metric == "refusals_total" && label == "reason":
		return refusalWords[word]
	case metric == "requests_total" && label == "outcome":
		return slices.Contains(gatewayOutcomes(), word)
	case metric == "attempts_total" && label == "outcome":
		return slices.Contains(attemptOutcomes(), word)
	case words == nil:
		return true
	}
	return slices.Contains(words, word)
}

// attemptOutcomes are the words for the ends of attempts.
func attemptOutcomes() (words []string) {
	for v := range balancer.Unclassified + 1 {
		words = append(words, gateway.VerdictWord(v))
	}
	return words
}

// gatewayOutcomes are the words for the ends of requests, as the source has them.
func gatewayOutcomes() []string {
	source, err := os.ReadFile("gateway/refuse.go")
	if err != nil {
		panic(err)
	}
	_, table, _ := strings.Cut(string(source), "var outcomes = ")
	table, _, _ = strings.Cut(table, "\n}")
	words := []string{"ok"}
	for _, m := range regexp.MustCompile(`"([a-z_]+)"`).FindAllStringSubmatch(table, -1) {
		words = append(words, m[1])
	}
	return words
}

// TestDeploy_Dashboard: panels say what they show, and none lies on another.
func TestDeploy_Dashboard(t *testing.T) {
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" || len(d.Panels) < 20 {
		t.Fatalf("%q %q, %d panels", d.UID, d.Title, len(d.Panels))
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 {
			t.Errorf("%s has the id %d of another", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.Title == "" || p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("panel %d (%s) has no title, description or query", p.ID, p.Title)
		}
		if g := p.GridPos; g.X+g.W > 24 || g.W == 0 || g.H == 0 {
			t.Errorf("%s is at %+v", p.Title, g)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := cells[cell]; other != "" {
					t.Fatalf("%s lies on %s", p.Title, other)
				}
				cells[cell] = p.Title
			}
		}
	}
}

// TestDeploy_Promtool checks the syntax of all queries and that alerts fire when they
// should, with Prometheus' own tool.
func TestDeploy_Promtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian package: prometheus): queries and alerts are not run")
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil { //nolint:gosec // what LookPath found
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("check", "rules", rulesFile)
	run("test", "rules", "deploy/prometheus/gemini-balance.rules.test.yml")
	run("check", "config", "--syntax-only", "deploy/prometheus/prometheus.yml")
	// The dashboard's queries as recording rules, with what Grafana puts in.
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	fill := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$model", ".*")
	n := 0
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			n++
			expr, err := json.Marshal(fill.Replace(target.Expr))
			must(t, err)
			fmt.Fprintf(&rules, "  - {record: 'panel:%d', expr: %s}\n", n, expr)
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	must(t, os.WriteFile(file, []byte(rules.String()), 0o600))
	run("check", "rules", file)
}
