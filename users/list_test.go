// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// naive is a list by the plainest means.
func naive(all []users.View, q users.Query, now time.Time) (page []string, total int) {
	var found []users.View
	for _, v := range all {
		has := func(text string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(q.Search)) }
		is := func(text string) bool { return strings.EqualFold(text, q.Label) }
		words := slices.Concat(v.Labels, v.Tags)
		switch {
		case q.Search != "" && !has(v.Name) && !has(v.ID) && !slices.ContainsFunc(words, has),
			q.Label != "" && !slices.ContainsFunc(words, is),
			q.Status == "" && v.Status == users.Deleted, q.Status != "" && v.Status != q.Status,
			q.Expiring > 0 && (v.ExpiresAt.IsZero() || !v.ExpiresAt.After(now) || v.ExpiresAt.After(now.Add(q.Expiring))),
			q.Unused > 0 && (v.LastUsed.After(now.Add(-q.Unused)) || v.Created.After(now.Add(-q.Unused))):
			continue
		}
		found = append(found, v)
	}
	times := func(a, b time.Time) int {
		switch {
		case a.IsZero() != b.IsZero():
			if a.IsZero() != q.Ascending { // last either way; turned around below
				return -1
			}
			return 1
		default:
			return a.Compare(b)
		}
	}
	slices.SortStableFunc(found, func(a, b users.View) int {
		order := a.Created.Compare(b.Created)
		switch q.Sort {
		case users.ByName:
			order = cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.ID, b.ID))
		case users.ByUsed:
			order = times(a.LastUsed, b.LastUsed)
		case users.ByExpiry:
			order = times(a.ExpiresAt, b.ExpiresAt)
		}
		if !q.Ascending {
			order = -order
		}
		return cmp.Or(order, b.Created.Compare(a.Created))
	})
	from := min(q.Offset, len(found))
	for _, v := range found[from:min(from+q.Limit, len(found))] {
		page = append(page, v.ID)
	}
	return page, len(found)
}

// TestList_IsAsNaive changes keys at random and compares random lists with what the
// plainest means find, from the index that followed the changes and from one that was
// read anew.
func TestList_IsAsNaive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 4))
		s := memory.New()
		r := open(t, s, users.Options{})
		var ids []string
		pick := func(words ...string) string { return words[rng.IntN(len(words))] }
		for round := range 60 {
			for range 12 {
				time.Sleep(time.Duration(1+rng.IntN(3*3600)) * time.Second)
				randomChange(t, rng, r, &ids, pick)
			}
			if err := r.Flush(); err != nil {
				t.Fatal(err)
			}
			q := users.Query{
				Limit: 1 + rng.IntN(20), Offset: rng.IntN(40), Search: pick("", "", "", "ALI", "bob", "x", "blu"),
				Label: pick("", "", "", "blue", "RED", "pool"), Status: users.Status(pick("", "", "active", "limited", "expired", "disabled", "deleted")),
				Sort: users.Sort(pick("", "created", "name", "last_used", "expires_at")), Ascending: rng.IntN(2) == 0,
				Expiring: time.Duration(rng.IntN(2)*rng.IntN(20)) * 24 * time.Hour, Unused: time.Duration(rng.IntN(2)*rng.IntN(5)) * 24 * time.Hour,
			}
			all := everyKey(t, s, r)
			want, total := naive(all, q, time.Now())
			for name, r := range map[string]*users.Registry{"followed": r, "anew": open(t, s, users.Options{})} {
				page, err := r.List(t.Context(), q)
				var got []string
				for _, v := range page.Keys {
					got = append(got, v.ID)
				}
				if err != nil || page.Total != total || !slices.Equal(got, want) {
					t.Fatalf("round %d, %s: %+v\n%v of %d\nwant %v of %d; %v", round, name, q, got, page.Total, want, total, err)
				}
			}
		}
	})
}

func everyKey(t *testing.T, s store.Store, r *users.Registry) (all []users.View) {
	t.Helper()
	err := s.Scan("users/key/", "", func(key string, value []byte) bool {
		id := strings.TrimPrefix(key, "users/key/")
		v, err := r.View(id)
		if errors.Is(err, users.ErrNotFound) {
			if err = json.Unmarshal(value, &v.Key); err == nil {
				v.Status = users.Deleted
				page, _ := r.List(t.Context(), users.Query{Search: id, Status: users.Deleted, Limit: 1})
				v.LastUsed = page.Keys[0].LastUsed
			}
		}
		if err != nil {
			t.Error(err)
		}
		all = append(all, v)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func randomChange(t *testing.T, rng *rand.Rand, r *users.Registry, ids *[]string, pick func(...string) string) {
	t.Helper()
	var err error
	id := ""
	if len(*ids) > 0 {
		id = (*ids)[rng.IntN(len(*ids))]
	}
	switch n := rng.IntN(10); {
	case id == "" || n < 4:
		spec := users.Spec{Name: pick("Alice", "bob", "Zoë", "") + strconv.Itoa(rng.IntN(30)), Labels: []string{pick("blue", "Red")}, Tags: []string{pick("pool", "x")}, Unlimited: true, Limits: users.Limits{RPD: 1}}
		if rng.IntN(2) == 0 {
			spec.ExpiresAt = time.Now().Add(time.Duration(1+rng.IntN(30*24)) * time.Hour)
		}
		var key users.Key
		key, _, err = r.Create(t.Context(), spec)
		*ids = append(*ids, key.ID)
	case n < 5:
		_, err = r.Edit(t.Context(), id, func(s *users.Spec) error { s.Name = pick("carol", "Dora", "alice 2"); return nil })
	case n < 6:
		_, err = r.SetEnabled(t.Context(), id, rng.IntN(2) == 0)
	case n < 7:
		err = r.Delete(t.Context(), id)
	case n < 8:
		_, err = r.Restore(t.Context(), id)
	default:
		if a, authErr := r.Account(id); authErr == nil {
			admit(a, 1)
		}
	}
	if err != nil && !errors.Is(err, users.ErrNotFound) {
		t.Fatal(err)
	}
	if rng.IntN(20) == 0 {
		if err := r.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestList_Counts are by status, whichever was asked for.
func TestList_Counts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), users.Options{})
		make5 := func(spec users.Spec) (id, secret string) {
			key, secret := create(t, r, spec)
			return key.ID, secret
		}
		make5(users.Spec{Name: "alpha-x"})
		off, _ := make5(users.Spec{Name: "alpha-x"})
		_, _ = make5(users.Spec{Name: "alpha-x", ExpiresAt: time.Now().Add(time.Minute)})
		gone, _ := make5(users.Spec{Name: "alpha-x"})
		_, poor := make5(users.Spec{Name: "alpha-x", Unlimited: true, Limits: users.Limits{RPD: 1}})
		make5(users.Spec{Name: "other"})
		_, offErr := r.SetEnabled(t.Context(), off, false)
		if err := errors.Join(offErr, r.Delete(t.Context(), gone)); err != nil {
			t.Fatal(err)
		}
		admit(account(t, r, poor), 1)
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		want := map[string]int{"all": 4, "active": 1, "limited": 1, "expired": 1, "disabled": 1, "deleted": 1}
		for status, total := range map[users.Status]int{"": 4, users.Limited: 1, users.Deleted: 1} {
			page, err := r.List(t.Context(), users.Query{Search: "ALPHA-X", Status: status, Limit: 10})
			if err != nil || page.Total != total || fmt.Sprint(page.Counts) != fmt.Sprint(want) {
				t.Errorf("%q: %d, %v, %v; want %d, %v", status, page.Total, page.Counts, err, total, want)
			}
			for _, v := range page.Keys {
				if status != "" && v.Status != status {
					t.Errorf("%s in the list of %s", v.Status, status)
				}
			}
		}
	})
}

// TestList_Finds a key by what a person may have of it.
func TestList_Finds(t *testing.T) {
	r := open(t, memory.New(), users.Options{})
	key, secret := create(t, r, users.Spec{Name: "alice"})
	create(t, r, users.Spec{Name: "bob"})
	for _, search := range []string{secret, key.Hint(), key.ID, "gb-" + key.ID, " ALICE ", key.ID[3:9]} {
		page, err := r.List(t.Context(), users.Query{Search: search, Limit: 10})
		if err != nil || page.Total != 1 || page.Keys[0].ID != key.ID {
			t.Errorf("%q: %+v, %v", search, page, err)
		}
	}
}

// TestList_Search finds what texts of keys have, and nothing over the ends of them: in
// keys that were read, made, renamed and removed since, and after those removed are
// forgotten.
func TestList_Search(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		made, err := open(t, s, users.Options{}).CreateMany(t.Context(), users.Spec{Name: "read", Labels: []string{"blue"}}, 1000)
		more, err2 := open(t, s, users.Options{}).CreateMany(t.Context(), users.Spec{Name: "read"}, 1000)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		made = append(made, more...)
		r := open(t, s, users.Options{})
		check := func(when string) {
			t.Helper()
			all := everyKey(t, s, r)
			for _, search := range []string{"READ 1", "read 10", "e", "d", "blue", "blue\nread", "new", "renamed", "nobody", made[5].Key.ID, made[1999].Key.ID, made[1999].Key.ID[2:]} {
				want, total := naive(all, users.Query{Search: search, Limit: 10_000}, time.Now())
				page, err := r.List(t.Context(), users.Query{Search: search, Limit: 10_000})
				if err != nil || page.Total != total || len(page.Keys) != len(want) {
					t.Errorf("%s, %q: %d keys, want %d; %v", when, search, page.Total, total, err)
				}
			}
		}
		check("read")
		create(t, r, users.Spec{Name: "new", Labels: []string{"blue"}})
		for _, m := range made[:700] {
			if _, err := r.Edit(t.Context(), m.Key.ID, func(s *users.Spec) error { s.Name = "renamed"; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		check("renamed")
		for _, m := range made[300:1500] {
			if err := r.Delete(t.Context(), m.Key.ID); err != nil {
				t.Fatal(err)
			}
		}
		check("deleted")
		time.Sleep(25 * time.Hour)
		if err := r.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		check("forgotten")
		create(t, r, users.Spec{Name: "new again"})
		check("made after that")
	})
}

// TestList_WhileRead changes keys while the index is read from the store.
func TestList_WhileRead(t *testing.T) {
	s := memory.New()
	first := open(t, s, users.Options{})
	made, err := first.CreateMany(t.Context(), users.Spec{Name: "old"}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		r := open(t, s, users.Options{})
		var both sync.WaitGroup
		both.Go(func() {
			if _, err := r.List(t.Context(), users.Query{}); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			for i := range 10 {
				key, _ := create(t, r, users.Spec{Name: "new"})
				_, editErr := r.Edit(t.Context(), made[i].Key.ID, func(s *users.Spec) error { s.Name += "x"; return nil })
				if err := errors.Join(editErr, r.Delete(t.Context(), key.ID)); err != nil {
					t.Error(err)
				}
			}
		})
		both.Wait()
		q := users.Query{Limit: 100, Sort: users.ByName}
		followed, err := r.List(t.Context(), q)
		anew, err2 := open(t, s, users.Options{}).List(t.Context(), q)
		if err := errors.Join(err, err2); err != nil || fmt.Sprint(followed.Counts) != fmt.Sprint(anew.Counts) || followed.Keys[0].Name != anew.Keys[0].Name {
			t.Fatalf("%v, want %v; %v", followed.Counts, anew.Counts, err)
		}
	}
}

// TestList_LoadFails: a list says so, and the next one works.
func TestList_LoadFails(t *testing.T) {
	s := memory.New()
	r := open(t, s, users.Options{})
	create(t, r, users.Spec{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.List(ctx, users.Query{Limit: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if page, err := r.List(t.Context(), users.Query{Limit: 1}); err != nil || page.Total != 1 {
		t.Errorf("%+v, %v", page, err)
	}
}

// BenchmarkList needs GB_LIST_KEYS keys, 20,000 if that is not set; bench/README.md has
// the figures at a million. It reports the worst of a hundred, the time that a start
// reads the index in the background, and the memory of it.
func BenchmarkList(b *testing.B) {
	n, _ := strconv.Atoi(os.Getenv("GB_LIST_KEYS"))
	n = cmp.Or(n, 20_000)
	s := memory.New()
	fill(b, s, n)
	r := open(b, s, users.Options{})
	before, began := heap(), time.Now()
	if _, err := r.List(b.Context(), users.Query{}); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	b.Logf("%d keys: index read in %v, %d bytes a key", n, took, (heap()-before)/int64(n))
	for _, c := range []struct {
		name string
		q    users.Query
	}{
		{"newest", users.Query{Limit: 100}},
		{"deep", users.Query{Limit: 100, Offset: n / 2}},
		{"search", users.Query{Limit: 100, Search: "USER 77"}},
		{"search nothing", users.Query{Limit: 100, Search: "nobody"}},
		{"by name", users.Query{Limit: 100, Offset: n / 2, Sort: users.ByName}},
		{"by last use", users.Query{Limit: 100, Offset: n / 2, Sort: users.ByUsed}},
		{"filtered", users.Query{Limit: 100, Label: "label 7", Status: users.Active, Sort: users.ByExpiry, Expiring: 7 * 24 * time.Hour}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if page, err := r.List(b.Context(), c.q); err != nil || c.name != "search nothing" && len(page.Keys) == 0 {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
	runtime.KeepAlive(r)
}

// fill writes records of keys as Create would, without making secrets.
func fill(b *testing.B, s store.Store, n int) {
	rng := rand.New(rand.NewPCG(1, 1))
	var batch store.Batch
	for i := range n {
		id := fmt.Sprintf("%012s", strconv.FormatUint(rng.Uint64N(1<<61), 36))
		created := time.Now().Add(-time.Duration(n-i) * time.Second).UTC()
		record := fmt.Sprintf(`{"id":%q,"name":"user %06d","limits":{"rpm":600,"tpm":4000000,"rpd":100000,"concurrency":50},"labels":["label %d"],"expires_at":%q,"created":%q,"enabled":true,"tail":"x7Qp","hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`,
			id, rng.IntN(1_000_000), i%100, created.Add(time.Duration(n+rng.IntN(1_000_000))*time.Second).Format(time.RFC3339), created.Format(time.RFC3339Nano))
		batch.Ops = append(batch.Ops, store.Op{Key: "users/key/" + id, Value: []byte(record)})
		if i%2 == 0 {
			sums := fmt.Sprintf("1 %d 192.0.2.1 0 20000 3 0 20000 500 0 24000 500 0 20000 77 0 24000 77 0 0 77 0", created.Unix())
			batch.Ops = append(batch.Ops, store.Op{Key: "users/sum/" + id, Value: []byte(sums)})
		}
		if len(batch.Ops) > 4000 || i == n-1 {
			if err := s.Write(batch); err != nil {
				b.Fatal(err)
			}
			batch = store.Batch{}
		}
	}
}
