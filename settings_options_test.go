// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/admin"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestSettings_DefaultsAgree holds the table of settings and the rooms together
// that have defaults of their own.
func TestSettings_DefaultsAgree(t *testing.T) {
	d := settings.Defaults()
	if got, want := defaultLimits(&d.Limits), users.DefaultLimits; got != want {
		t.Errorf("limits are %+v, want %+v", got, want)
	}
	for _, mode := range bodyModes {
		if m := usage.BodyMode(mode); m != usage.BodiesOff && m != usage.BodiesErrors && m != usage.BodiesAll {
			t.Errorf("the log does not know bodies %q", mode)
		}
	}
}

// TestSettings_ReachTheRooms: what is changed at run time holds for the next key,
// row, probe and connection, without a reload.
func TestSettings_ReachTheRooms(t *testing.T) {
	a := mustProvision(t, `{"store": {"backend": "memory"}, "timeouts": {"connect": 7000000000}}`)
	must(t, a.Start())
	t.Cleanup(func() { must(t, a.Cleanup()) })
	r := a.shared
	must(t, r.settings.Update(settings.Patch{
		"limits.rpm": int64(7), "limits.tpd": int64(1000), "limits.budget.day": int64(1_500_000_000),
		"request_log.retention": 48 * time.Hour, "request_log.max_size": int64(5 << 20), "request_log.bodies": settings.BodiesErrors,
		"probe.enabled": false, "strategy": "round_robin",
	}))
	key, _, err := r.users.Create(t.Context(), users.Spec{Name: "x"})
	must(t, err)
	if l := key.Limits; l.RPM != 7 || l.TPD != 1000 || l.TPM != users.DefaultLimits.TPM || l.Budget == nil || l.Budget.Day != 1_500_000_000 {
		t.Errorf("a new user key gets %+v", l)
	}
	if k := r.usage.Log().Kept(); k.Retention != 48*time.Hour || k.MaxSize != 5<<20 || r.usage.Log().Bodies() != usage.BodiesErrors {
		t.Errorf("the log keeps %+v and bodies of %s", k, r.usage.Log().Bodies())
	}
	if r.pool.Probed() {
		t.Error("keys are probed although that is off")
	}
	must(t, r.settings.Update(settings.Patch{"probe.enabled": true}))
	if !r.pool.Probed() {
		t.Error("keys are not probed although that is on again")
	}
	if err := r.settings.Update(settings.Patch{"timeouts.connect": time.Second}); err == nil {
		t.Error("what the configuration sets was changed")
	}
}

// TestReload_LocksFollowTheConfiguration: a lock comes and goes with the option,
// and what was set at run time is there again after it.
func TestReload_LocksFollowTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	config := func(more string) string {
		return `{"store": {"backend": "badger", "dir": ` + quoted(dir) + `}` + more + `}`
	}
	open := mustProvision(t, config(""))
	must(t, open.Start())
	must(t, open.shared.settings.Update(settings.Patch{"retry.attempts": int64(5), "limits.rpm": int64(9)}))
	etag := open.shared.settings.Snapshot().ETag

	locked := mustProvision(t, config(`, "retry": {"attempts": 2}, "limits": {"budget": {"month": "3.25"}}`))
	must(t, locked.Start())
	must(t, open.Cleanup())
	s := locked.shared.settings
	if v := s.Current(); v.Retry.Attempts != 2 || v.Limits.RPM != 9 || v.Limits.Budget.Month != 3_250_000_000 {
		t.Errorf("after the lock: %+v", *v)
	}
	err := s.Update(settings.Patch{"retry.attempts": int64(3)})
	if refused, ok := errors.AsType[*settings.LockedError](err); !ok || refused.Fields[0] != "retry.attempts" {
		t.Errorf("a locked field: %v", err)
	}
	if err := s.UpdateIf(settings.Patch{"heartbeat": time.Second}, etag); !errors.Is(err, settings.ErrChanged) {
		t.Errorf("a change for the state before the reload: %v", err)
	}
	must(t, s.Update(settings.Patch{"heartbeat": time.Second}))

	again := mustProvision(t, config(""))
	must(t, again.Start())
	must(t, locked.Cleanup())
	if v := s.Current(); v.Retry.Attempts != 5 || v.Limits.Budget.Month != 0 || v.Heartbeat != time.Second {
		t.Errorf("after the lock is gone: %+v", *v)
	}
	must(t, s.Update(settings.Patch{"retry.attempts": int64(3)}))
	must(t, again.Cleanup())
}

// TestSites_LockWhatAllSay: a field is locked when every site says it.
func TestSites_LockWhatAllSay(t *testing.T) {
	on := true
	a := &App{handlers: []*Handler{
		{Heartbeat: -1, Reasoning: "off", MaxRequestSize: 5000, FetchImages: &on},
		{Heartbeat: -1, MaxRequestSize: 9000},
	}}
	p, err := a.declaredSettings()
	must(t, err)
	if len(p) != 2 || p["heartbeat"] != time.Duration(0) || p["max_request_size"] != int64(5000) {
		t.Errorf("declared %v", p)
	}
}

func TestPrices(t *testing.T) {
	file := filepath.Join(t.TempDir(), "prices.json")
	row := `{"models": ["m"], "source": "https://example.com", "date": "2026-10-07", "input": 100, "output": 200}`
	load := func(text string) (*App, error) {
		t.Helper()
		write(t, file, text)
		return provision(t, `{"store": {"backend": "memory"}, "prices": `+quoted(file)+`}`)
	}
	a, err := load(`{"unit": "nano-USD per token", "prices": [` + row + `]}`)
	must(t, err)
	if p := a.prices.Find("m", time.Now()); p == nil || p.Source != "https://example.com" {
		t.Errorf("the price is %+v", p)
	}
	if a.prices.Find("gemini-2.5-flash", time.Now()) != nil {
		t.Error("the built-in prices count beside the file's")
	}
	b, err := load(`{"unit": "nano-USD per token", "prices": [` + strings.ReplaceAll(row, "100", "300") + `]}`)
	must(t, err)
	if input, _ := b.prices.Find("m", time.Now()).PerMillion(); input != 300_000_000 {
		t.Errorf("after a reload the input costs %d", input)
	}
	_, err = load(`{"unit": "nano-USD per token", "prices": [` + row + `,` + strings.ReplaceAll(row, "200", `"much"`) + `]}`)
	for _, want := range []string{file, "row 2", "output"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
}

// TestChecks_OfAStartedApp: each check answers, and what can be known without
// Google is.
func TestChecks_OfAStartedApp(t *testing.T) {
	dir := t.TempDir()
	a := mustProvision(t, `{"store": {"backend": "badger", "dir": `+quoted(dir)+`}, "upstream": "http://127.0.0.1:9"}`)
	must(t, a.Start())
	t.Cleanup(func() { must(t, a.Cleanup()) })
	want := map[string]string{"storage": admin.CheckOK, "disk": "", "upstream": admin.CheckBad, "models": admin.CheckWarn, "clock": admin.CheckWarn, "config": admin.CheckOK, "restore": admin.CheckOK}
	for _, check := range a.checks() {
		got := check.Run(t.Context())
		status, known := want[check.ID]
		if !known || status != "" && got.Status != status || got.Message == "" || got.Status != admin.CheckOK && got.Status != admin.CheckWarn && got.Status != admin.CheckBad {
			t.Errorf("%s: %+v", check.ID, got)
		}
		if got.Status == admin.CheckBad && got.Advice == "" {
			t.Errorf("%s does not say what to do", check.ID)
		}
		delete(want, check.ID)
	}
	if len(want) > 0 {
		t.Errorf("not checked: %v", want)
	}
	write(t, filepath.Join(dir, restoreFile), "x")
	if got := a.checkRestore(t.Context()); got.Status != admin.CheckWarn {
		t.Errorf("a restore that waits: %+v", got)
	}
	if was, err := cancelRestore(dir); !was || err != nil {
		t.Errorf("taking it back: %v, %v", was, err)
	}
}
