// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// What is listed is what some key in service may serve: Google's list for a key counts
// only as far as the operator lets that key serve it.
func TestServable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openProbed(t, memory.New(), 3)
		first, second, third := KeyID(secretOf(0)), KeyID(secretOf(1)), KeyID(secretOf(2))
		set := func(id string, models ...string) {
			t.Helper()
			if err := p.Edit(t.Context(), id, Patch{Models: &models}); err != nil {
				t.Fatal(err)
			}
		}
		check := func(what string, models, has, lacks []string) {
			t.Helper()
			if got := p.Models(); !slices.Equal(got, models) {
				t.Errorf("%s: Models = %q, want %q", what, got, models)
			}
			s := p.Servable()
			for _, m := range has {
				if !s.Has(m) {
					t.Errorf("%s: nobody has %s", what, m)
				}
			}
			for _, m := range lacks {
				if s.Has(m) {
					t.Errorf("%s: somebody has %s", what, m)
				}
			}
		}
		check("nothing is known", nil, []string{"gemini-2.5-flash", "anything"}, nil)
		set(first, "gemini-2.5-*")
		set(second, "gemini-2.5-*")
		set(third, "gemini-2.5-*", "imagen-4")
		check("only the operator's words are known", nil, []string{"gemini-2.5-flash", "models/gemini-2.5-pro", "imagen-4"}, []string{"gemini-3-pro", "anything"})
		serveProbes(p, func(id string) (Outcome, []string) {
			if id == third {
				return ok, []string{"gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-pro", "imagen-4"}
			}
			return ok, []string{"gemini-2.5-flash", "gemini-3-pro", "imagen-4"}
		})
		check("all are restricted", []string{"gemini-2.5-flash", "gemini-2.5-pro", "imagen-4"}, []string{"gemini-2.5-tuned"}, []string{"gemini-3-pro", "anything"})
		set(first, "gemini-3-*")
		check("one may more", []string{"gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-pro", "imagen-4"}, []string{"gemini-3-pro"}, []string{"anything"})
		set(first)
		check("one may all", []string{"gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-pro", "imagen-4"}, []string{"anything"}, nil)
		if err := p.SetState(t.Context(), third, StateDisabled, "for a test"); err != nil {
			t.Fatal(err)
		}
		check("one is out of service", []string{"gemini-2.5-flash", "gemini-3-pro", "imagen-4"}, nil, []string{"gemini-2.5-pro"})
		for _, id := range []string{first, second, third} {
			if err := p.Delete(context.Background(), id); err != nil {
				t.Fatal(err)
			}
		}
		check("no key is left", nil, []string{"anything"}, nil)
	})
}
