// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

const canary = "AIzaCanary-of-the-trash-x7Qp"

func restore(t *testing.T, p *Pool, id string) error {
	t.Helper()
	var got error
	if err := p.Restore(t.Context(), []string{id}, func(_ string, err error) { got = err }); err != nil {
		t.Fatal(err)
	}
	return got
}

// A deleted key serves nothing, is kept sealed for a day, comes back as it was, and
// is then gone for good, over restarts, too.
func TestTrash(t *testing.T) {
	for name, restart := range map[string]bool{"running": false, "restarted": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := memory.New()
				p := open(t, s, 0)
				again := func() {
					if restart {
						p = open(t, s, 0)
					}
				}
				id := add(t, p, NewKey{Secret: canary, Name: "n", Note: "o", Tags: []string{"t"}, Weight: 4, Proxy: "http://u:hunter2@h:1", Batch: "b", Models: []string{"gemini-*"}})[0]
				if err := p.SetState(t.Context(), id, StateDisabled, "by hand"); err != nil {
					t.Fatal(err)
				}
				before, _ := p.Get(id)
				if err := p.Delete(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				again()
				if u := refused(t, p, Want{}); u.Reason != NoKeys {
					t.Errorf("%+v", u)
				}
				if tags := p.Tags(); len(tags) != 0 {
					t.Errorf("tags: %v", tags)
				}
				page, total := p.Deleted("", 0, 0)
				if total != 1 || page[0].ID != id || page[0].Mask != "AIza…x7Qp" || page[0].Deleted.IsZero() || page[0].Name != "n" {
					t.Errorf("deleted: %+v", page)
				}
				if _, total := p.Deleted("other", 0, 0); total != 0 {
					t.Error("another batch has it, too")
				}
				unread(t, s, "Canary", "hunter2")
				time.Sleep(trashFor - time.Second)
				if err := restore(t, p, id); err != nil {
					t.Fatal(err)
				}
				again()
				after, _ := p.Get(id)
				if said(after) != said(before) || after.State != StateDisabled || after.Proxy != before.Proxy || after.Batch != "b" {
					t.Errorf("before %+v\nafter %+v", before, after)
				}
				if err := restore(t, p, id); !errors.Is(err, ErrNotFound) {
					t.Errorf("restored twice: %v", err)
				}
				if d, _ := p.Detail(id); !slices.ContainsFunc(d.History, func(v Event) bool { return v.What == eventRestored }) {
					t.Errorf("history: %+v", d.History)
				}
				if err := p.Delete(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				time.Sleep(trashFor + time.Second)
				again()
				if err := restore(t, p, id); !errors.Is(err, ErrNotFound) {
					t.Errorf("after a day: %v", err)
				}
				if _, total := p.Deleted("", 0, 0); total != 0 {
					t.Error("it is still there")
				}
				if err := p.Flush(); err != nil {
					t.Fatal(err)
				}
				if len(p.trash) != 0 {
					t.Error("it takes memory still")
				}
				_ = s.Scan("", "", func(key string, _ []byte) bool {
					if strings.Contains(key, id) {
						t.Errorf("%s is left in the store", key)
					}
					return true
				})
			})
		})
	}
}

func unread(t *testing.T, s *memory.Store, secrets ...string) {
	t.Helper()
	_ = s.Scan("", "", func(key string, value []byte) bool {
		for _, secret := range secrets {
			if bytes.Contains(value, []byte(secret)) || strings.Contains(key, secret) {
				t.Errorf("%s holds %s", key, secret)
			}
		}
		return true
	})
}

func TestTrash_AddedAndDeclared(t *testing.T) {
	p := open(t, nil, 0)
	id := add(t, p, NewKey{Secret: canary, Name: "old"})[0]
	del := func() {
		t.Helper()
		if err := p.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	del()
	p.Declare([]NewKey{{Secret: canary}})
	if err := restore(t, p, id); !errors.Is(err, ErrInPool) {
		t.Errorf("restored over a declared key: %v", err)
	}
	p.Declare(nil)
	add(t, p, NewKey{Secret: canary, Name: "new"})
	if _, total := p.Deleted("", 0, 0); total != 0 {
		t.Error("added again, it is still among the deleted")
	}
	if k, _ := p.Get(id); k.Name != "new" || k.State != StateUntested {
		t.Errorf("%+v", k)
	}
	del()
	if err := p.Purge(t.Context(), []string{id, "gk_none"}); err != nil {
		t.Fatal(err)
	}
	if err := restore(t, p, id); !errors.Is(err, ErrNotFound) {
		t.Errorf("restored after the purge: %v", err)
	}
}
