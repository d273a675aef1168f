// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestEvents: each event comes from what it is about, with the data that is documented
// for it, and without a secret.
func TestEvents(t *testing.T) {
	first := balancer.KeyID(fakegemini.DemoKey(1))
	state := func(s fakegemini.KeyState) func(*fakegemini.Config) {
		return func(c *fakegemini.Config) { c.Keys[0].State = s }
	}
	set := func(w *world, s balancer.State) {
		must(w.t, w.app.shared.pool.SetState(w.t.Context(), first, s, "a test"))
	}
	ask := func(n int) func(*world) {
		return func(w *world) {
			for range n {
				w.chat(w.secret, "hello", "")
			}
		}
	}
	for name, tc := range map[string]struct {
		google func(*fakegemini.Config)
		drive  func(*world)
		want   map[string]any // what must be there; nil stands for anything
	}{
		eventKeyInvalid: {state(fakegemini.KeyInvalid), ask(1), map[string]any{
			"key_id": first, "name": "key 0", "project": first, "from": "untested", "to": "invalid", "reason": nil}},
		eventKeyDisabled: {nil, func(w *world) { set(w, balancer.StateDisabled) }, map[string]any{
			"key_id": first, "name": "key 0", "project": first, "from": "untested", "to": "disabled", "reason": "a test"}},
		eventKeyRecovered: {nil, func(w *world) { set(w, balancer.StateDisabled); set(w, balancer.StateActive) }, map[string]any{
			"key_id": first, "name": "key 0", "project": first, "from": "disabled", "to": "active", "reason": "a test"}},
		eventKeyExhausted: {func(c *fakegemini.Config) { c.Limits.RPD = 1 }, ask(2), map[string]any{
			"project": nil, "model": testModel, "keys": 1, "reason": nil, "until": nil}},
		eventProjectUnfunded: {state(fakegemini.KeyDepleted), ask(1), map[string]any{
			"project": nil, "keys": 1, "reason": "billing or credits", "until": nil}},
		eventRouteDown: {state(fakegemini.KeyRobot), ask(1), map[string]any{
			"route": "direct", "reason": "egress route blocked", "until": nil}},
		eventKeysExhausted: {func(c *fakegemini.Config) { c.Limits.RPD = 1 }, ask(3), map[string]any{
			"model": testModel, "reason": "all_exhausted", "until": nil}},
		eventBudgetSpent: {nil, func(w *world) {
			poor := w.user(users.Spec{Name: "poor", Limits: users.Limits{Budget: &users.Budget{Day: 1}}})
			for range 3 {
				w.chat(poor, "hello", "")
			}
		}, map[string]any{"user_id": nil, "name": "poor", "limit": "budget.day", "until": nil}},
		eventStoreFailing: {nil, func(w *world) { w.app.shared.storeFailed(partUsers)(errors.New("disk full")) }, map[string]any{
			"part": "users", "error": "disk full"}},
		eventStoreRecovered: {nil, func(w *world) { w.app.shared.storeFailed(partUsage)(nil) }, map[string]any{"part": "usage"}},
	} {
		t.Run(name, func(t *testing.T) {
			google := googleKeys(1)
			if tc.google != nil {
				tc.google(&google)
			}
			w := newWorld(t, google, `, "retry": {"wait": 0}`)
			tc.drive(w)
			data := w.event(name)
			if got, want := slices.Sorted(maps.Keys(data)), slices.Sorted(maps.Keys(tc.want)); !slices.Equal(got, want) {
				t.Errorf("data has %q, want %q", got, want)
			}
			for k, v := range tc.want {
				if v == nil && fmt.Sprint(data[k]) == "" || v != nil && data[k] != v {
					t.Errorf("%s is %v, want %v", k, data[k], v)
				}
			}
			if until, there := data["until"].(string); there {
				if at, err := time.Parse(time.RFC3339, until); err != nil || at.Before(time.Now().Add(-time.Second)) {
					t.Errorf("until %q, %v", until, err)
				}
			}
			if text := fmt.Sprint(data); strings.Contains(text, fakegemini.DemoKey(1)) || strings.Contains(text, w.secret) {
				t.Errorf("a secret is in %s", text)
			}
		})
	}
	source, err := os.ReadFile("module.go")
	must(t, err)
	for _, name := range eventNames {
		if !strings.Contains(string(source), "`"+name+"`") {
			t.Errorf("%s is not documented", name)
		}
	}
}

// TestEvents_FewRefusals: however many requests are refused for one reason, it is told
// once.
func TestEvents_FewRefusals(t *testing.T) {
	w := newWorld(t, googleKeys(1, func(c *fakegemini.Config) { c.Limits.RPD = 1 }), `, "retry": {"wait": 0}`)
	poor := w.user(users.Spec{Name: "poor", Limits: users.Limits{Budget: &users.Budget{Day: 1}}})
	for range 20 {
		w.chat(poor, "hello", "")
		w.chat(w.secret, "hello", "")
	}
	w.app.shared.storeFailed(partUsage)(nil) // in order: what comes before it was all
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		w.mu.Lock()
		done := len(w.seen) > 0 && w.seen[len(w.seen)-1].Name() == eventStoreRecovered
		w.mu.Unlock()
		if done {
			break
		}
	}
	told := map[string]int{}
	for _, e := range w.seen {
		told[e.Name()]++
	}
	if told[eventKeysExhausted] != 1 || told[eventBudgetSpent] != 1 || told[eventStoreRecovered] != 1 {
		t.Errorf("told %v", told)
	}
}

// TestEvents_Bounded: a pool that dies at once is some events, the next of which says
// how many there were more; who handles none of them holds up nobody.
func TestEvents_Bounded(t *testing.T) {
	e := newEvents()
	for i := range 1000 {
		e.offer(eventKeyInvalid, map[string]any{"n": i})
	}
	if n := len(e.queue); n != eventBurst {
		t.Errorf("%d of 1,000 are queued, want %d", n, eventBurst)
	}
	e.mu.Lock()
	e.allowances[eventKeyInvalid].at = time.Now().Add(-eventEvery)
	e.mu.Unlock()
	for range eventBurst {
		<-e.queue
	}
	e.offer(eventKeyInvalid, map[string]any{})
	if next := <-e.queue; next.data["suppressed"] != 1000-eventBurst {
		t.Errorf("the next says %v", next.data)
	}
	for i := range 2 * eventQueue {
		e.offer(fmt.Sprint("name", i), map[string]any{}) // nobody takes them
	}
	if n := len(e.queue); n != eventQueue {
		t.Errorf("%d wait", n)
	}
	for i := range 2 * maxRemembered {
		e.once(fmt.Sprint("user ", i), time.Hour)
	}
	if n := len(e.told); n > maxRemembered {
		t.Errorf("%d are remembered", n)
	}
}
