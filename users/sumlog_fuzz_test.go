// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// FuzzSumLog: whatever a record of the log and a key's own have, a start gets by with
// it, and the key can be used.
func FuzzSumLog(f *testing.F) {
	s := memory.New()
	r := open(f, s, users.Options{})
	made, err := r.CreateMany(f.Context(), users.Spec{Name: "k", Unlimited: true}, 1)
	if err != nil {
		f.Fatal(err)
	}
	id := made[0].Key.ID
	spend(f, r, made[0].Secret, 7)
	if err := r.Flush(); err != nil {
		f.Fatal(err)
	}
	if err := s.Scan("users/sumlog/", "", func(_ string, value []byte) bool {
		_, line, _ := strings.Cut(strings.TrimSuffix(string(value), "\n"), " ")
		f.Add(string(value), line)
		f.Add(id+" "+line+"\n"+id+" "+line+"\nu_gone "+line+"\n", "")
		return true
	}); err != nil {
		f.Fatal(err)
	}
	var key []byte
	if key, err = s.Get("users/key/" + id); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, log, own string) {
		s := memory.New()
		open(t, s, users.Options{})
		if err := s.Write(store.Batch{Ops: []store.Op{
			{Key: "users/key/" + id, Value: key}, {Key: "users/sum/" + id, Value: []byte(own)}, {Key: "users/sumlog/0000000000000000", Value: []byte(log)},
		}}); err != nil {
			t.Fatal(err)
		}
		r := open(t, s, users.Options{})
		if _, err := r.View(id); err != nil {
			return // it says that it is damaged
		}
		spend(t, r, made[0].Secret, 3)
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
	})
}
