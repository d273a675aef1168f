// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func status(p *Pool, id string) Status {
	v, _ := p.View(id)
	return v.Status
}

// The status of a key follows its state, its rests, and what is left of the models
// that it is used for.
func TestStatus(t *testing.T) {
	outcome := func(o Outcome, model string) func(*testing.T, *Pool, string) {
		return func(t *testing.T, p *Pool, _ string) { lease(t, p, Want{Model: model}).Done(o) }
	}
	for _, c := range []struct {
		name string
		do   []func(*testing.T, *Pool, string)
		want Status
		back time.Duration // when it is active again; 0 for not by itself
	}{
		{"new", nil, StatusUntested, 0},
		{"served", []func(*testing.T, *Pool, string){outcome(ok, "a")}, StatusActive, 0},
		{"one model rests", []func(*testing.T, *Pool, string){outcome(ok, "a"), outcome(minuteFull, "b")}, StatusActive, 0},
		{"the only model rests", []func(*testing.T, *Pool, string){outcome(minuteFull, "a")}, StatusCooling, 30 * time.Second},
		{"both models rest", []func(*testing.T, *Pool, string){outcome(ok, "a"), outcome(ok, "b"), outcome(minuteFull, "a"), outcome(throttled, "b")}, StatusCooling, 5 * time.Second},
		{"the day of one is used up, the other rests", []func(*testing.T, *Pool, string){outcome(minuteFull, "a"), outcome(dayFull, "b")}, StatusExhausted, 30 * time.Second},
		{"the day is used up", []func(*testing.T, *Pool, string){outcome(dayFull, "a")}, StatusExhausted, 25 * time.Hour},
		{"a model that it does not have", []func(*testing.T, *Pool, string){outcome(ok, "a"), outcome(noModel, "b")}, StatusActive, 0},
		{"nothing but a model that it does not have", []func(*testing.T, *Pool, string){outcome(ok, ""), outcome(noModel, "b")}, StatusActive, 0},
		{"no money", []func(*testing.T, *Pool, string){outcome(ok, "a"), outcome(noMoney, "a")}, StatusCooling, time.Hour},
		{"the route rests", []func(*testing.T, *Pool, string){outcome(ok, "a"), outcome(routeOut, "a")}, StatusCooling, time.Minute},
		{"invalid", []func(*testing.T, *Pool, string){outcome(invalid, "a")}, StatusInvalid, 0},
		{"disabled", []func(*testing.T, *Pool, string){outcome(dayFull, "a"), func(t *testing.T, p *Pool, id string) {
			if err := p.SetState(t.Context(), id, StateDisabled, "by hand"); err != nil {
				t.Fatal(err)
			}
		}}, StatusDisabled, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, nil, 1)
				id := KeyID(secretOf(0))
				for _, do := range c.do {
					do(t, p, id)
				}
				v, _ := p.View(id)
				page := p.Page(Query{Status: c.want})
				if v.Status != c.want || page.Total != 1 || page.Statuses[c.want] != 1 || page.All != 1 {
					t.Fatalf("%s (%s), until %s; %+v", v.Status, v.Reason, v.Until, page)
				}
				if v.Until.IsZero() != (c.back == 0) {
					t.Errorf("until %s", v.Until)
				}
				if c.back == 0 {
					return
				}
				if v.Reason == "" {
					t.Error("no reason")
				}
				if at := time.Until(v.Until); at > c.back {
					t.Errorf("over in %s", at)
				}
				time.Sleep(time.Until(v.Until))
				if s := status(p, id); s == c.want && s == StatusCooling {
					t.Errorf("still %s", s)
				}
				if n := p.Page(Query{}).Statuses[status(p, id)]; n != 1 {
					t.Error("the table lags behind")
				}
			})
		})
	}
}

// The table says of each key what a look at the key says.
func TestStatusTable(t *testing.T) {
	p := mixed(t, 500)
	now := p.now()
	table := p.makeStatusTable()
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[uint8]int{}
	for _, e := range p.byID {
		want := p.condition(e, now).status
		seen[want]++
		if got := table.status[e.slot]; got != want {
			t.Errorf("%s: %s; want %s", e.id, Statuses[got], Statuses[want])
		}
	}
	if len(seen) != len(Statuses) {
		t.Errorf("not all statuses were there: %v", seen)
	}
}

// mixed is a pool of n keys in all kinds of conditions.
func mixed(tb testing.TB, n int) *Pool {
	tb.Helper()
	p := open(tb, nil, 0)
	keys := newKeys(n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range keys {
		keys[i].Name, keys[i].Weight = fmt.Sprintf("Key %d", r.IntN(n)), 1+r.IntN(5)
		keys[i].Tags = []string{fmt.Sprint("t", i%10)}
		keys[i].Batch = fmt.Sprint("b", i%4)
		keys[i].Disabled = i%11 == 10
	}
	add(tb, p, keys...)
	outcomes := []Outcome{ok, ok, ok, minuteFull, dayFull, invalid}
	for range n / 2 {
		l, err := p.Lease(context.Background(), Want{Model: flash})
		if err == nil {
			l.Done(outcomes[r.IntN(len(outcomes))])
		}
	}
	return p
}

// Every page of every order is what sorting all would give.
func TestPage_Orders(t *testing.T) {
	p := mixed(t, 700)
	all := p.find(Filter{}).entries
	measure := func(id string) int64 { return int64(id[5]) }
	for _, by := range append([]string{"", byMeasure}, Sorts...) {
		for _, order := range []string{"asc", "desc"} {
			want := slices.Clone(all)
			if f := sorts[by]; f != nil {
				slices.SortStableFunc(want, func(a, b *entry) int {
					x, s := f(a)
					y, u := f(b)
					return cmp.Or(cmp.Compare(x, y), strings.Compare(s, u))
				})
			}
			if by == byMeasure {
				slices.SortStableFunc(want, func(a, b *entry) int { return cmp.Compare(measure(a.id), measure(b.id)) })
			}
			if by == byQuota {
				shares := p.byQuota(all)
				slices.SortStableFunc(want, func(a, b *entry) int {
					x, _ := shares(a)
					y, _ := shares(b)
					return cmp.Compare(x, y)
				})
			}
			if by == byStatus {
				table := p.statusTable()
				slices.SortStableFunc(want, func(a, b *entry) int { return cmp.Compare(table.of(p, a), table.of(p, b)) })
			}
			if order == "desc" {
				slices.Reverse(want)
			}
			for _, offset := range []int{0, 1, 99, 350, 699, 700, 900} {
				for _, limit := range []int{1, 7, 500} {
					page := p.Page(Query{Sort: by, Order: order, Offset: offset, Limit: limit, Measure: measure})
					to := min(offset+limit, len(want))
					if offset < len(want) && len(page.Keys) != to-offset || offset >= len(want) && len(page.Keys) > 0 {
						t.Fatalf("%s %s %d+%d: %d keys", by, order, offset, limit, len(page.Keys))
					}
					for i, k := range page.Keys {
						if k.ID != want[offset+i].id {
							t.Fatalf("%s %s %d+%d: another key at %d", by, order, offset, limit, i)
						}
					}
				}
			}
		}
	}
}

func TestPage_Filter(t *testing.T) {
	p := open(t, nil, 0)
	ids := add(t, p,
		NewKey{Secret: "AIzaSyFirst-0123456789-abcdef-x7Qp", Name: "Näme", Tags: []string{"eu", "b"}, Batch: "one"},
		NewKey{Secret: "AIzaSySecond-123456789-abcdef-x7Qq", Tags: []string{"eu"}, Project: "Blue"},
		NewKey{Secret: "AIzaSyThird-0123456789-abcdef-eu00", Batch: "one", Disabled: true},
	)
	for _, c := range []struct {
		name string
		f    Filter
		want []int
	}{
		{"all", Filter{}, []int{0, 1, 2}},
		{"last four", Filter{Search: "x7Qp"}, []int{0}},
		{"last four, other case", Filter{Search: "X7QQ"}, []int{1}},
		{"masked", Filter{Search: "AIza…x7Qp"}, []int{0}},
		{"masked with dots", Filter{Search: "AIza...eu00"}, []int{2}},
		{"three of the last four", Filter{Search: "7Qp"}, nil},
		{"five last", Filter{Search: "-x7Qp"}, nil},
		{"middle of the secret", Filter{Search: "abcdef"}, nil},
		{"whole secret", Filter{Search: " AIzaSySecond-123456789-abcdef-x7Qq\n"}, []int{1}},
		{"another's secret", Filter{Search: "AIzaSySecond-123456789-abcdef-x7Qx"}, nil},
		{"name in another case", Filter{Search: "nÄM"}, []int{0}},
		{"project", Filter{Search: "blu"}, []int{1}},
		{"tag", Filter{Tag: "eu"}, []int{0, 1}},
		{"unknown tag", Filter{Tag: "e"}, nil},
		{"batch", Filter{Batch: "one"}, []int{0, 2}},
		{"batch and status", Filter{Batch: "one", Status: StatusUntested}, []int{0}},
		{"state", Filter{State: StateDisabled}, []int{2}},
		{"id", Filter{Search: ids[1]}, []int{1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := p.Select(Selection{Filter: &c.f})
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, i := range c.want {
				want = append(want, ids[i])
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v; want %v", got, want)
			}
		})
	}
	page := p.Page(Query{Batch: "one", Status: StatusDisabled})
	if page.Total != 1 || page.All != 2 || page.Statuses[StatusUntested] != 1 || page.Statuses[StatusDisabled] != 1 || page.States[StateDisabled] != 1 {
		t.Errorf("the counts are of the search without the status: %+v", page)
	}
}

func TestSelect(t *testing.T) {
	p := open(t, nil, 5)
	ids, _ := p.Select(Selection{Filter: &Filter{}})
	got, err := p.Select(Selection{Filter: &Filter{}, Except: ids[1:3], Expected: new(3)})
	if err != nil || !slices.Equal(got, []string{ids[0], ids[3], ids[4]}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := p.Select(Selection{IDs: []string{ids[2], ids[0], ids[2], "gk_none"}, Expected: new(3)}); err != nil || !slices.Equal(got, []string{ids[2], ids[0], "gk_none"}) {
		t.Errorf("%v, %v", got, err)
	}
	_, err = p.Select(Selection{Filter: &Filter{}, Expected: new(4)})
	if _, ok := err.(*CountChangedError); !ok {
		t.Errorf("another count: %v", err)
	}
}

func TestBulk(t *testing.T) {
	p := open(t, nil, 3)
	p.Declare([]NewKey{{Secret: "declared", Tags: []string{"c"}}})
	ids, _ := p.Select(Selection{Filter: &Filter{}})
	ids = append(ids, "gk_none")
	bulk := func(action BulkAction, patch Patch) (changed, same, failed int) {
		err := p.Bulk(t.Context(), action, ids, patch, func(_ string, err error) {
			switch {
			case err == nil:
				changed++
			case Unchanged(err):
				same++
			default:
				failed++
			}
		})
		if err != nil {
			t.Error(err)
		}
		return changed, same, failed
	}
	for _, c := range []struct {
		name                  string
		action                BulkAction
		patch                 Patch
		changed, same, failed int
	}{
		{"enable what serves", BulkEnable, Patch{}, 0, 4, 1},
		{"disable", BulkDisable, Patch{}, 4, 0, 1},
		{"disable again", BulkDisable, Patch{}, 0, 4, 1},
		{"enable", BulkEnable, Patch{}, 4, 0, 1},
		{"tag", BulkEdit, Patch{AddTags: []string{"x"}}, 3, 0, 2},
		{"tag again", BulkEdit, Patch{AddTags: []string{"x"}}, 0, 3, 2},
		{"untag", BulkEdit, Patch{RemoveTags: []string{"x"}}, 3, 1, 1},
		{"weight", BulkEdit, Patch{Weight: new(9)}, 4, 0, 1},
		{"reset", BulkReset, Patch{}, 4, 0, 1},
		{"delete", BulkDelete, Patch{}, 3, 0, 2},
		{"restore", BulkRestore, Patch{}, 3, 0, 2},
	} {
		changed, same, failed := bulk(c.action, c.patch)
		if changed != c.changed || same != c.same || failed != c.failed {
			t.Errorf("%s: %d changed, %d as they were, %d failed", c.name, changed, same, failed)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Bulk(ctx, BulkDisable, ids, Patch{}, nil); err == nil {
		t.Error("it went on although its context had ended")
	}
	if err := p.Bulk(t.Context(), "explode", ids, Patch{}, nil); err == nil {
		t.Error("unknown action")
	}
}

// Whatever operators do to all keys at once, requests go on and nothing breaks.
func TestBulk_UnderTraffic(t *testing.T) {
	const n = 600
	p := open(t, nil, n)
	ids, _ := p.Select(Selection{Filter: &Filter{}})
	done := make(chan struct{})
	var traffic sync.WaitGroup
	for i := range 4 {
		traffic.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-done:
					return
				default:
				}
				l, err := p.Lease(context.Background(), Want{Model: fmt.Sprint("m", k%3)})
				if err != nil {
					continue
				}
				if k%50 == i {
					l.Done(minuteFull)
				} else {
					l.Done(ok)
				}
			}
		})
	}
	traffic.Go(func() {
		w := p.Watch()
		for {
			select {
			case <-done:
				return
			default:
				p.Page(Query{Sort: "last_used", Order: "desc"})
				w.Next()
			}
		}
	})
	for round := range 4 {
		for _, action := range []BulkAction{BulkDisable, BulkEnable, BulkEdit, BulkDelete, BulkRestore, BulkReset} {
			patch := Patch{Weight: new(1 + round), Tags: &[]string{fmt.Sprint("r", round)}, Models: &[]string{"m*"}}
			if err := p.Bulk(t.Context(), action, ids, patch, func(id string, err error) {
				if err != nil && !Unchanged(err) {
					t.Errorf("%s %s: %v", action, id, err)
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(done)
	traffic.Wait()
	page := p.Page(Query{})
	if statuses, states, all := p.Counts(); all != n || !maps.Equal(statuses, page.Statuses) || !maps.Equal(states, page.States) {
		t.Errorf("%d keys, %v, %v; the page has %v, %v", all, statuses, states, page.Statuses, page.States)
	}
	if page.All != n || p.Stats().InFlight != 0 {
		t.Errorf("%d keys, %d in flight", page.All, p.Stats().InFlight)
	}
	if tags := p.Tags(); len(tags) != 1 || tags[0] != (TagCount{"r3", n}) {
		t.Errorf("tags: %v", tags)
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 300)
		w := p.Watch()
		ids, _ := p.Select(Selection{Filter: &Filter{}})
		next := func(what string, want ...string) {
			t.Helper()
			slices.Sort(want)
			if got, many := w.Next(); many || !slices.Equal(got, want) {
				t.Errorf("%s: %v, many %t; want %v", what, got, many, want)
			}
		}
		next("nothing")
		if err := p.SetState(t.Context(), ids[3], StateDisabled, ""); err != nil {
			t.Fatal(err)
		}
		if err := p.Edit(t.Context(), ids[5], Patch{Name: new("x")}); err != nil {
			t.Fatal(err)
		}
		next("disabled and edited", ids[3], ids[5])
		l := lease(t, p, Want{})
		l.Done(minuteFull)
		next("rests", l.KeyID())
		time.Sleep(31 * time.Second)
		next("is back", l.KeyID())
		next("nothing more")
		if err := p.Delete(t.Context(), ids[9]); err != nil {
			t.Fatal(err)
		}
		next("deleted", ids[9])
		if err := p.Bulk(t.Context(), BulkDisable, ids, Patch{}, func(string, error) {}); err != nil {
			t.Fatal(err)
		}
		if got, many := w.Next(); !many || got != nil {
			t.Errorf("all: %v, many %t", got, many)
		}
		next("nothing after many")
	})
}
