// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/badger"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// logPage is a page of the request log.
type logPage struct {
	Items []struct {
		ID string
		At time.Time
	}
	Next string
	Kept struct {
		Rows  int64
		Bytes int64
	}
}

// page reads a page of the request log.
func (s *server) page(query string) (p logPage) {
	s.t.Helper()
	if status := s.call(http.MethodGet, "/admin/requests?"+query, "", &p); status != http.StatusOK {
		s.t.Errorf("%s: %d", query, status)
	}
	return p
}

func (s *server) configure(patch string) {
	s.t.Helper()
	if status := s.call(http.MethodPatch, "/admin/config", patch, nil); status != http.StatusOK {
		s.t.Fatalf("%s: %d", patch, status)
	}
}

// requests is how many requests the sums have, since the beginning.
func (s *server) requests() int64 {
	s.t.Helper()
	var stats booked
	s.call(http.MethodGet, "/admin/stats?window=all", "", &stats)
	return stats.Requests
}

// seed puts requests of hours ago into the store of a server that does not run.
func (s *server) seed(store string, rows int, at time.Time) {
	s.t.Helper()
	db, err := badger.Open(s.storeDir(store), badger.Options{})
	must(s.t, err)
	ledger, err := usage.Open(db, usage.Options{Now: func() time.Time { return at }})
	must(s.t, err)
	for i := range rows {
		ledger.Add(usage.Record{At: at.Add(-time.Minute), RequestID: fmt.Sprint("old-", i), Model: model, Status: 200, Outcome: "ok", Attempts: 1})
	}
	must(s.t, ledger.Flush())
	must(s.t, db.Close())
}

// walk reads the whole log.
func (s *server) walk() map[string]bool {
	s.t.Helper()
	seen := map[string]bool{}
	for cursor := ""; ; {
		p := s.page("limit=500" + cursor)
		for _, r := range p.Items {
			if seen[r.ID] {
				s.t.Errorf("%s is there twice", r.ID)
			}
			seen[r.ID] = true
		}
		if p.Next == "" {
			return seen
		}
		cursor = "&cursor=" + p.Next
	}
}

// TestLog_Bounds: what is older than a retention that is changed while the server runs is
// not shown any more at once; that, and what is more than a size that is changed, is gone
// from the store when the minute is over, whose sums need its rows. The sums stay, and so
// do newer requests, under load.
func TestLog_Bounds(t *testing.T) {
	t.Parallel() // it waits, most of its time
	const rows, limit = 1500, 1 << 20
	s := newServer(t, 2)
	config := s.config(s.store("a")+"key {env.GB_KEY_0}\nkey {env.GB_KEY_1}\n", "")
	s.start(config)
	s.addUser()
	must(t, s.signal(os.Interrupt))
	old := time.Now().Add(-3 * time.Hour)
	s.seed("a", rows, old)
	s.start(config)
	if p := s.page("limit=5"); len(p.Items) != 5 || !strings.HasPrefix(p.Items[0].ID, "old-") {
		t.Fatalf("the old ones are not there: %+v", p.Items)
	}

	s.configure(`{"request_log.bodies": "all"}`)
	client := raceClient(t)
	prompt := "[[size 900]] " + strings.Repeat("many words ", 100)
	var asked atomic.Int64
	load := func(n int64, pause time.Duration) {
		var all sync.WaitGroup
		target := asked.Load() + n
		for range 16 {
			all.Go(func() {
				for asked.Add(1) <= target {
					if status := s.try(t.Context(), client, s.user, prompt); status != http.StatusOK {
						t.Errorf("%d", status)
						return
					}
					time.Sleep(pause) //nolint:forbidigo // a slower load
				}
				asked.Add(-1)
			})
		}
		all.Wait()
	}
	load(2500, 0)
	eventually(t, "all are in the log", func() bool { return s.page("limit=1").Kept.Rows == rows+asked.Load() })
	if p := s.page("limit=1"); p.Kept.Bytes < 2*limit {
		t.Fatalf("%d bytes: the test proves nothing", p.Kept.Bytes)
	}

	s.configure(fmt.Sprintf(`{"request_log.bodies": "off", "request_log.retention": "1h", "request_log.max_size": %d}`, limit))
	for id := range s.walk() {
		if strings.HasPrefix(id, "old-") {
			t.Errorf("%s is shown", id)
			break
		}
	}
	var last logPage
	for deadline := time.Now().Add(100 * time.Second); ; {
		load(4, 200*time.Millisecond)
		if last = s.page("limit=1"); last.Kept.Bytes <= limit && last.Kept.Rows <= asked.Load() {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("kept are %+v after the minute", last.Kept)
		}
	}
	if status := s.call(http.MethodGet, "/admin/requests/old-7", "", nil); status != http.StatusNotFound {
		t.Errorf("one of the old ones: %d", status)
	}
	eventually(t, "all are counted", func() bool { return s.requests() == rows+asked.Load() })
	seen := s.walk()
	if kept := s.page("limit=1").Kept; kept.Bytes > limit || kept.Rows == 0 || int64(len(seen)) != kept.Rows {
		t.Errorf("%d rows can be read of %+v", len(seen), kept)
	}
	newest := s.page("limit=1").Items
	must(t, s.signal(os.Interrupt))
	s.start(config)
	if n, p := s.requests(), s.page("limit=1"); n != rows+asked.Load() || len(p.Items) != 1 || p.Items[0].ID != newest[0].ID || p.Kept.Bytes > limit {
		t.Errorf("after a restart the sums have %d requests, the log %+v", n, p)
	}
}

// TestLog_ReadUnderLoad: who pages through the log while 16 clients fill it gets each
// request that had ended before once, in order, and no error.
func TestLog_ReadUnderLoad(t *testing.T) {
	s := newServer(t, 2)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\nkey {env.GB_KEY_1}\n", ""))
	s.addUser()
	client := raceClient(t)
	var mu sync.Mutex
	ended := map[string]time.Time{}
	var writers, readers sync.WaitGroup
	until := time.Now().Add(5 * time.Second)
	for range 16 {
		writers.Go(func() {
			for time.Now().Before(until) {
				a, ok := s.loadOne(client, s.user)
				if !ok {
					t.Error("a request failed")
					return
				}
				mu.Lock()
				ended[a.id] = a.at
				mu.Unlock()
			}
		})
	}
	check := func(begun time.Time, seen map[string]int) {
		mu.Lock()
		defer mu.Unlock()
		missing := 0
		for id, at := range ended {
			if at.Before(begun.Add(-time.Second)) && seen[id] == 0 {
				missing++
			}
		}
		for id, n := range seen {
			if n > 1 {
				t.Errorf("%s is there %d times", id, n)
				return
			}
		}
		if missing > 0 {
			t.Errorf("%d of the requests that had ended are missing in %d rows", missing, len(seen))
		}
	}
	var walks atomic.Int64
	for range 3 {
		readers.Go(func() {
			for time.Now().Before(until) {
				begun, seen := time.Now(), map[string]int{}
				for cursor := ""; ; {
					p, err := s.pageOf(client, "limit=500"+cursor)
					if err != nil {
						t.Error(err)
						return
					}
					for i, r := range p.Items {
						seen[r.ID]++
						// Rows are in the order in which they were written down; those of one moment may be mixed.
						if i > 0 && r.At.After(p.Items[i-1].At.Add(500*time.Millisecond)) {
							t.Errorf("%s of %v comes after %v", r.ID, r.At, p.Items[i-1].At)
						}
					}
					if p.Next == "" {
						break
					}
					cursor = "&cursor=" + p.Next
				}
				check(begun, seen)
				walks.Add(1)
			}
		})
	}
	readers.Wait()
	writers.Wait()
	if walks.Load() < 3 || len(ended) < 50 {
		t.Errorf("%d walks over %d requests", walks.Load(), len(ended))
	}
	eventually(t, "all are in the log", func() bool { return s.page("limit=1").Kept.Rows == int64(len(ended)) })
	if n := s.requests(); n != int64(len(ended)) {
		t.Errorf("the sums have %d requests, want %d", n, len(ended))
	}
}

// pageOf is page for goroutines.
func (s *server) pageOf(client *http.Client, query string) (p logPage, err error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+s.site+"/admin/requests?"+query, nil)
	if err != nil {
		return p, err
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	res, err := client.Do(req)
	if err != nil {
		return p, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return p, fmt.Errorf("%s: %s", query, res.Status)
	}
	return p, json.NewDecoder(res.Body).Decode(&p)
}
