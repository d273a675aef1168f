// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

func TestAdd(t *testing.T) {
	p := open(t, nil, 0)
	results, err := p.Add(t.Context(), []NewKey{
		{Secret: " one\n", Name: "first", Tags: []string{"b", "a", "b"}, Paid: true, Proxy: "socks5://u:p@host:1"},
		{Secret: "one"},
		{Secret: ""},
		{Secret: "two words"},
		{Secret: "ключ"},
		{Secret: strings.Repeat("x", maxSecret+1)},
		{Secret: "three", Proxy: "ftp://u:hunter2@host"},
		{Secret: "four", Proxy: "http://u:hunter2@ho st"},
		{Secret: "five"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "duplicate", "empty", "position 4", "position 1", "has 513 bytes", `scheme "ftp"`, "no URL", ""} {
		r := results[i]
		switch {
		case want == "":
			if r.Err != nil || r.Duplicate || r.Key.ID == "" || r.Key.State != StateUntested || r.Key.Source != SourceStore {
				t.Errorf("item %d: %+v", i, r)
			}
		case want == "duplicate":
			if !r.Duplicate || r.Key.ID != results[0].Key.ID {
				t.Errorf("item %d: %+v", i, r)
			}
		case r.Err == nil || !strings.Contains(r.Err.Error(), want) || strings.Contains(r.Err.Error(), "hunter2"):
			t.Errorf("item %d: %v, want an error with %q", i, r.Err, want)
		}
	}
	k, _ := p.Get(KeyID("one"))
	if k.Name != "first" || !slices.Equal(k.Tags, []string{"a", "b"}) || !k.Paid || k.Proxy == "" {
		t.Errorf("%+v", k)
	}
	again, err := p.Add(t.Context(), []NewKey{{Secret: "one", Name: "other"}})
	if err != nil || !again[0].Duplicate || again[0].Key.Name != "first" {
		t.Errorf("second Add: %+v, %v", again, err)
	}
	if s := p.Stats(); s.Keys != 2 || s.States[StateUntested] != 2 || s.Usable != 2 {
		t.Errorf("%+v", s)
	}
}

// broken is a store that refuses to write.
type broken struct {
	store.Store
	err error
}

func (b *broken) Write(batch store.Batch) error {
	if b.err != nil {
		return b.err
	}
	return b.Store.Write(batch)
}

func TestChangesAreDurableOrNotMade(t *testing.T) {
	s := &broken{Store: memory.New()}
	p := open(t, s, 1)
	id := KeyID(secretOf(0))
	s.err = errors.New("disk full")
	results, err := p.Add(t.Context(), []NewKey{{Secret: "new"}, {Secret: "new"}, {Secret: secretOf(0)}, {Secret: ""}})
	if !errors.Is(err, s.err) || !errors.Is(results[0].Err, s.err) || !errors.Is(results[1].Err, s.err) || !results[2].Duplicate || results[3].Err == nil {
		t.Errorf("Add: %+v, %v", results, err)
	}
	if err := p.Delete(t.Context(), id); !errors.Is(err, s.err) {
		t.Errorf("Delete: %v", err)
	}
	if err := p.SetState(t.Context(), id, StateDisabled, ""); !errors.Is(err, s.err) {
		t.Errorf("SetState: %v", err)
	}
	if err := p.Reset(t.Context(), id); !errors.Is(err, s.err) {
		t.Errorf("Reset: %v", err)
	}
	if k, found := p.Get(id); !found || k.State != StateUntested || p.Stats().Keys != 1 {
		t.Errorf("a change that was not kept is visible: %+v", p.Stats())
	}
	lease(t, p, Want{}).Done(invalid)
	if err := p.Flush(); !errors.Is(err, s.err) {
		t.Errorf("Flush: %v", err)
	}
	s.err = nil
	if err := p.Flush(); err != nil {
		t.Error(err)
	}
	if k, _ := open(t, s, 0).Get(id); k.State != StateInvalid {
		t.Errorf("what could not be written was lost: %+v", k)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Add(ctx, newKeys(3)); !errors.Is(err, context.Canceled) {
		t.Errorf("Add with an ended context: %v", err)
	}
}

func TestDelete(t *testing.T) {
	s := memory.New()
	p := open(t, s, 3)
	l := lease(t, p, Want{})
	if err := p.Delete(t.Context(), l.KeyID()); err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(t.Context(), l.KeyID()); !errors.Is(err, ErrNotFound) {
		t.Errorf("second Delete: %v", err)
	}
	fair(t, turns(t, p, 20, Want{}), 2, 10, 0)
	for _, o := range []Outcome{invalid, minuteFull, {Blame: ScopeKey, Rest: 1}} { // late, and without effect
		l.done.Store(false)
		l.entry.inFlight.Add(1)
		p.inFlight.Add(1)
		l.Done(o)
	}
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	p = open(t, s, 0)
	if _, found := p.Get(l.KeyID()); found || p.Stats().Keys != 2 {
		t.Error("the key is back after a restart")
	}
	add(t, p, NewKey{Secret: l.Secret()})
	if k, _ := p.Get(l.KeyID()); k.State != StateUntested {
		t.Errorf("added again it is %+v", k)
	}
	fair(t, turns(t, p, 30, Want{Model: "fresh"}), 3, 10, 0)
}

func TestDeclare(t *testing.T) {
	s := memory.New()
	p := open(t, s, 0)
	add(t, p, NewKey{Secret: "both", Name: "stored"})
	p.Declare([]NewKey{{Secret: "one", Name: "1"}, {Secret: "both", Name: "declared"}, {Secret: ""}, {Secret: "one"}})
	if got := p.Stats().Keys; got != 2 {
		t.Errorf("%d keys, want 2", got)
	}
	k, _ := p.Get(KeyID("both"))
	if k.Source != SourceConfig || k.Name != "declared" {
		t.Errorf("%+v", k)
	}
	for _, secret := range []string{"one", "both"} {
		if err := p.Delete(t.Context(), KeyID(secret)); !errors.Is(err, ErrReadOnly) {
			t.Errorf("Delete of a declared key: %v", err)
		}
	}
	if err := p.SetState(t.Context(), KeyID("one"), StateDisabled, "by hand"); err != nil {
		t.Error(err)
	}
	lease(t, p, Want{}).Done(invalid) // the other one
	p.Declare([]NewKey{{Secret: "one", Name: "1b"}})
	if k, _ := p.Get(KeyID("one")); k.State != StateDisabled || k.Name != "1b" {
		t.Errorf("a key that stays: %+v", k)
	}
	if k, _ := p.Get(KeyID("both")); k.Source != SourceStore || k.Name != "stored" || k.State != StateInvalid {
		t.Errorf("a stored key that is no longer declared: %+v", k)
	}
	p.Declare(nil)
	if _, found := p.Get(KeyID("one")); found {
		t.Error("a key that is no longer declared is still there")
	}
	p.Declare([]NewKey{{Secret: "one"}})
	if k, _ := p.Get(KeyID("one")); k.State != StateDisabled || k.StateReason != "by hand" {
		t.Errorf("a key that returns: %+v", k)
	}
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	p = open(t, s, 0)
	p.Declare([]NewKey{{Secret: "one"}})
	if k, _ := p.Get(KeyID("one")); k.State != StateDisabled || k.StateReason != "by hand" {
		t.Errorf("after a restart: %+v", k)
	}
}

func TestSetState(t *testing.T) {
	p := open(t, nil, 1)
	id := KeyID(secretOf(0))
	if err := p.SetState(t.Context(), "gk_none", StateActive, ""); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := p.SetState(t.Context(), id, "asleep", ""); err == nil || !strings.Contains(err.Error(), "asleep") {
		t.Error(err)
	}
	l := lease(t, p, Want{})
	if err := p.SetState(t.Context(), id, StateDisabled, "by hand"); err != nil {
		t.Fatal(err)
	}
	l.Done(ok) // must not bring it back
	if u := refused(t, p, Want{}); u.Reason != AllDead {
		t.Errorf("%+v", u)
	}
	if err := p.SetState(t.Context(), id, StateActive, ""); err != nil {
		t.Fatal(err)
	}
	lease(t, p, Want{}).Done(ok)
}

// told records what an observer hears, and asks the pool in turn: that must not
// lock up.
type told struct {
	p      *Pool
	seen   []StateChange
	rested []string
}

func (o *told) StoreFailed(error) {}

func (o *told) Rested(r Rest) {
	o.p.Gauges()
	o.rested = append(o.rested, r.Scope+" "+r.Kind+" "+r.Why)
}

func (o *told) StateChanged(c StateChange) {
	k, _ := o.p.Get(c.KeyID)
	o.p.Stats()
	o.p.List(Query{})
	c.At = k.StateSince
	o.seen = append(o.seen, c)
}

func TestObserver(t *testing.T) {
	o := &told{}
	p, err := Open(Options{Store: memory.New(), Sealer: sealer(t), Observer: o})
	if err != nil {
		t.Fatal(err)
	}
	o.p = p
	id := add(t, p, NewKey{Secret: "one"})[0]
	lease(t, p, Want{}).Done(ok)
	lease(t, p, Want{}).Done(ok)
	lease(t, p, Want{}).Done(invalid)
	if err := p.SetState(t.Context(), id, StateUntested, "try again"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range o.seen {
		got = append(got, fmt.Sprintf("%s>%s %s", c.From, c.To, c.Reason))
	}
	want := []string{"untested>active ", "active>invalid 400 API_KEY_INVALID", "invalid>untested try again"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// No way to print the pool or what comes of it shows a secret.
func TestSecretsAreNotPrinted(t *testing.T) {
	s := memory.New()
	p := open(t, s, 3)
	p.Declare([]NewKey{{Secret: "AIzaCanaryDeclared", Proxy: "http://u:Canary@host"}})
	l := lease(t, p, Want{Tried: new(Tried)})
	if !strings.Contains(l.Secret(), "Canary") {
		t.Fatal("the lease does not give the secret")
	}
	k, _ := p.Get(l.KeyID())
	results, _ := p.Add(t.Context(), newKeys(3))
	wrapped := struct {
		p *Pool
		l *Lease
		e entry
		k []NewKey
		n NewKey
	}{p, l, entry{secret: l.entry.secret}, newKeys(1), newKeys(1)[0]}
	var out bytes.Buffer
	for _, v := range []any{p, l, k, results, newKeys(1), newKeys(1)[0], &newKeys(1)[0], l.entry, l.tried, wrapped.e.secret, &wrapped.l, wrapped.p} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	b, err := json.Marshal([]any{k, results, p.Rests(0), p.Stats()})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	l.Done(Outcome{Verdict: InvalidKey, Blame: ScopeKey, State: StateInvalid, Reason: "Consumer 'api_key:" + l.Secret() + "' is bad"})
	k, _ = p.Get(l.KeyID())
	fmt.Fprintf(&out, "%+v", k)
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	err = s.Scan("", "", func(key string, value []byte) bool { out.WriteString(key); out.Write(value); return true })
	if err != nil {
		t.Fatal(err)
	}
	for _, canary := range []string{"Canary", fmt.Sprintf("%x", "Canary")} {
		if i := strings.Index(out.String(), canary); i >= 0 {
			t.Errorf("a secret was printed: …%.200s", out.String()[max(0, i-100):])
		}
	}
}

func TestList(t *testing.T) {
	p := open(t, nil, 0)
	var keys []NewKey
	for i := range 250 {
		keys = append(keys, NewKey{Secret: secretOf(i), Name: fmt.Sprintf("Name %03d", 249-i), Tags: []string{fmt.Sprintf("t%d", i%10)}})
	}
	ids := add(t, p, keys...)
	if err := p.SetState(t.Context(), ids[7], StateDisabled, ""); err != nil {
		t.Fatal(err)
	}
	names := func(keys []Key) (out []string) {
		for _, k := range keys {
			out = append(out, k.Name)
		}
		return out
	}
	for _, c := range []struct {
		name  string
		q     Query
		total int
		n     int
		first string
	}{
		{"default", Query{}, 250, 100, "Name 249"},
		{"second page", Query{Offset: 100}, 250, 100, "Name 149"},
		{"last page", Query{Offset: 200}, 250, 50, "Name 049"},
		{"behind the end", Query{Offset: 300}, 250, 0, ""},
		{"limit", Query{Limit: 3}, 250, 3, "Name 249"},
		{"reverse", Query{Limit: 3, Order: "desc"}, 250, 3, "Name 000"},
		{"by name", Query{Sort: "name"}, 250, 100, "Name 000"},
		{"by name, reverse", Query{Sort: "name", Order: "desc", Offset: 1}, 250, 100, "Name 248"},
		{"by state", Query{Sort: "state", Order: "desc", Limit: 1}, 250, 1, "Name 242"},
		{"state", Query{State: StateDisabled}, 1, 1, "Name 242"},
		{"search by name", Query{Search: "nAmE 24"}, 10, 10, "Name 249"},
		{"search by tag", Query{Search: "T3"}, 25, 25, "Name 246"},
		{"search by id", Query{Search: ids[0]}, 1, 1, "Name 249"},
		{"search by secret", Query{Search: "Canary"}, 0, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			page, total, counts := p.List(c.q)
			if total != c.total || len(page) != c.n || c.n > 0 && page[0].Name != c.first {
				t.Errorf("%d of %d: %v", len(page), total, names(page))
			}
			if counts[StateUntested] != 249 || counts[StateDisabled] != 1 || len(counts) != 2 {
				t.Errorf("counts: %v", counts)
			}
		})
	}
}
