// SPDX-License-Identifier: Apache-2.0

package balancer

import "testing"

// TestOffering_Globs: a key has a model where Google lists it and the operator lets the
// key serve it.
func TestOffering_Globs(t *testing.T) {
	p := openProbed(t, nil, 0)
	some := newKeys(5)
	some[0].Models = []string{"gemini-2.5-*"}
	some[1].Models = []string{"gemini-2.5-*"}
	some[2].Models = []string{"gemini-2.5-pro", "imagen-4"}
	some[4].Models = []string{"no-such"}
	add(t, p, some...)
	serveProbes(p, func(id string) (Outcome, []string) {
		if id == KeyID(some[1].Secret) {
			return invalid, nil // of no use, and its list is not known
		}
		return ok, []string{"gemini-2.5-flash", "gemini-2.5-pro", "imagen-4"}
	})
	check := func(when string, want map[string]Offering) {
		t.Helper()
		got := p.Offering()
		for name, o := range want {
			if got[name] != o {
				t.Errorf("%s: %s is offered by %+v, want %+v", when, name, got[name], o)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %v", when, got)
		}
	}
	want := map[string]Offering{"gemini-2.5-flash": {2, 2}, "gemini-2.5-pro": {3, 3}, "imagen-4": {2, 2}}
	check("never asked for", want)
	lease(t, p, Want{Model: "gemini-2.5-flash"}).Done(ok)
	check("after a request", want)
	only := []string{"imagen-4"}
	if err := p.Edit(t.Context(), KeyID(some[3].Secret), Patch{Models: &only}); err != nil {
		t.Fatal(err)
	}
	check("after a change", map[string]Offering{"gemini-2.5-flash": {1, 1}, "gemini-2.5-pro": {2, 2}, "imagen-4": {2, 2}})
}
