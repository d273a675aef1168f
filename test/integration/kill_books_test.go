// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// killWindow is what a kill may cost: 100 ms between two writes of the counters, and
	// the writing itself; see writtenBy.
	killWindow = 200 * time.Millisecond
	killUsers  = 3
	killWidth  = 8 // requests at the same time
)

// loaded is what clients know of the requests of a user key.
type loaded struct {
	name, id, secret string

	requests, tokens int64 // whose answers were whole
	early            int64 // … so long before the kill that they had to be written
	earlyTokens      int64
	open             int64 // cut off by a kill, at most
}

// answered is one whole answer.
type answered struct {
	user   int
	tokens int64
	at     time.Time
	id     string // x-request-id
}

// TestKill_Books kills Caddy in the middle of a load, again and again: sums, the limits
// of user keys and the request log lose no more than the last moment, and have nothing
// twice.
func TestKill_Books(t *testing.T) {
	rounds := 2
	if text := os.Getenv("KILL_ROUNDS"); text != "" { //nolint:forbidigo // a knob of the test
		var err error
		rounds, err = strconv.Atoi(text)
		must(t, err)
	}
	s := newServer(t, 2)
	config := s.config(s.store("books")+"key {env.GB_KEY_0}\nkey {env.GB_KEY_1}\n", "")
	s.start(config)
	users := s.loadedUsers()
	early := map[string]bool{}           // request ids
	before := map[string]time.Duration{} // the kill of its round, by request id
	for round := range rounds {
		if round > 0 {
			s.start(config)
		}
		all, killed := s.loadUntilKilled(users, 300+211*round%400)
		var ends []time.Time
		for _, a := range all {
			ends = append(ends, a.at)
		}
		written := writtenBy(killed, ends, killWidth)
		for _, a := range all {
			u := &users[a.user]
			u.requests++
			u.tokens += a.tokens
			before[a.id] = killed.Sub(a.at)
			if a.at.Before(written) {
				u.early++
				u.earlyTokens += a.tokens
				early[a.id] = true
			}
		}
		for i := range users {
			users[i].open += killWidth
		}
	}
	s.start(config)
	first := s.checkSums(users)
	s.checkLimits(users)
	lost, oldest := 0, time.Duration(0)
	seen := s.checkLog(early, first.Requests)
	for id, age := range before {
		if seen[id] == 0 {
			lost++
			oldest = max(oldest, age)
		}
	}
	t.Logf("%d rounds, %d requests answered, %d of them lost from the books, the oldest %s before its kill", rounds, len(before), lost, oldest.Round(time.Millisecond))

	must(t, s.signal(os.Interrupt))
	_ = s.wait(20 * time.Second) // how it ends is told by what it has written
	s.start(config)
	if again := s.checkSums(users); again != first {
		t.Errorf("a plain restart makes %+v of %+v", again, first)
	}
}

// writtenBy is the moment up to which what was answered had to be written when Caddy was
// killed: killWindow before, but not within the last answers, two for each client. A
// machine that has other work may give Caddy no time at all in its last 200 ms; then it
// answers nothing, either.
func writtenBy(killed time.Time, ends []time.Time, clients int) time.Time {
	ends = slices.SortedFunc(slices.Values(ends), time.Time.Compare)
	at := killed.Add(-killWindow)
	if last := len(ends) - 2*clients; last < 0 {
		return time.Time{}
	} else if last < len(ends) && ends[last].Before(at) {
		at = ends[last]
	}
	return at
}

// loadedUsers makes user keys whose limits are far away, so that they are counted.
func (s *server) loadedUsers() (users []loaded) {
	s.t.Helper()
	for i := range killUsers {
		var made struct{ ID, Key string }
		body := fmt.Sprintf(`{"name": "books-%d", "limits": {"rpm": 1000000, "rpd": 1000000, "budget": {"day": 1000}}}`, i)
		if status := s.call(http.MethodPost, "/admin/keys/user", body, &made); status != http.StatusCreated {
			s.t.Fatalf("making a user key: %d", status)
		}
		users = append(users, loaded{name: made.ID, id: made.ID, secret: made.Key})
	}
	return users
}

// loadUntilKilled keeps requests running until so many were answered, some of them
// well before the last moment, and kills Caddy.
func (s *server) loadUntilKilled(users []loaded, enough int) (all []answered, killed time.Time) {
	var mu sync.Mutex
	var clients sync.WaitGroup
	reached, done := make(chan struct{}), false
	begun := time.Now()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: killWidth}, Timeout: patience}
	defer client.CloseIdleConnections()
	for w := range killWidth {
		clients.Go(func() {
			for n := 0; ; n++ {
				user := (w + n) % len(users)
				a, ok := s.loadOne(client, users[user].secret)
				if !ok {
					return
				}
				a.user = user
				mu.Lock()
				if all = append(all, a); !done && len(all) >= enough && time.Since(begun) > 2*killWindow {
					done = true
					close(reached)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-reached:
	case <-time.After(patience):
		s.t.Error("the load takes too long")
	}
	killed = time.Now()
	must(s.t, s.cmd.Process.Kill())
	_ = s.wait(10 * time.Second) // it was killed: an error
	clients.Wait()
	return all, killed
}

func (s *server) loadOne(client *http.Client, secret string) (a answered, ok bool) {
	body := `{"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "tell me about kills"}]}`
	req, err := http.NewRequest(http.MethodPost, "http://"+s.site+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return a, false
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return a, false
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	var answer struct {
		Usage struct {
			Total int64 `json:"total_tokens"`
		}
	}
	if err != nil || res.StatusCode != http.StatusOK || json.Unmarshal(data, &answer) != nil {
		return a, false
	}
	return answered{tokens: answer.Usage.Total, at: time.Now(), id: res.Header.Get("X-Request-Id")}, true
}

// booked are sums of GET /admin/stats.
type booked struct {
	Requests int64 `json:"requests"`
	Input    int64 `json:"input"`
	Output   int64 `json:"output"`
	Thoughts int64 `json:"thoughts"`
	Cost     int64 `json:"cost_nano"`
}

// within checks a sum: it has all that was answered early, and no more than was asked.
func (u *loaded) within(t *testing.T, what string, got, early, all, open int64) {
	t.Helper()
	if got < early || got > all+open {
		t.Errorf("user key %s: %s %d, but %d were there before the last moment and %d at most", u.name, what, got, early, all+open)
	}
}

// checkSums checks the sums of each user key, and that those of all are theirs.
func (s *server) checkSums(users []loaded) booked {
	s.t.Helper()
	var stats struct {
		booked
		ByUser map[string]booked `json:"by_user"`
	}
	if status := s.call(http.MethodGet, "/admin/stats", "", &stats); status != http.StatusOK {
		s.t.Fatalf("the stats answer %d", status)
	}
	var sum booked
	for i := range users {
		u := &users[i]
		if u.early == 0 || u.requests == 0 {
			s.t.Fatalf("no load: %+v", u)
		}
		got := stats.ByUser[u.id]
		u.within(s.t, "requests", got.Requests, u.early, u.requests, u.open)
		each := u.tokens / u.requests // all answers are alike
		u.within(s.t, "tokens", got.Input+got.Output+got.Thoughts, u.earlyTokens, u.tokens, u.open*each)
		if got.Cost != 300*got.Input+2500*(got.Output+got.Thoughts) {
			s.t.Errorf("user key %s: cost of %+v", u.name, got)
		}
		sum.Requests += got.Requests
		sum.Input += got.Input
		sum.Output += got.Output
		sum.Thoughts += got.Thoughts
		sum.Cost += got.Cost
	}
	if sum != stats.booked {
		s.t.Errorf("in all %+v, the user keys have %+v", stats.booked, sum)
	}
	return stats.booked
}

// checkLimits checks what the limits of the user keys have counted.
func (s *server) checkLimits(users []loaded) {
	s.t.Helper()
	for i := range users {
		u := &users[i]
		var key struct {
			Windows []struct {
				Limit string
				Used  int64
			}
			Spent *struct {
				Day int64 `json:"day_nano"`
			}
			Stats booked
		}
		if status := s.call(http.MethodGet, "/admin/keys/user/"+u.id, "", &key); status != http.StatusOK {
			s.t.Errorf("user key %s is lost: %d", u.name, status)
		}
		for _, w := range key.Windows {
			if w.Limit == "rpd" {
				u.within(s.t, "rpd", w.Used, u.early, u.requests, u.open)
			}
		}
		if key.Spent != nil {
			// An answer is 9 or fewer prompt tokens and the rest output; what a request that was
			// cut off had reserved may stay taken.
			u.within(s.t, "nano-USD", key.Spent.Day, u.earlyTokens*300, u.tokens*2500, u.open*4_000_000)
		}
	}
}

// checkLog checks the request log: each request that was answered
// early is there, once, and as many rows as the sums have requests. It returns how often
// it has which.
func (s *server) checkLog(early map[string]bool, requests int64) (seen map[string]int) {
	s.t.Helper()
	seen = map[string]int{}
	for cursor := ""; ; {
		var page struct {
			Items []struct{ ID string }
			Next  string
		}
		path := "/admin/requests?limit=100"
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		if status := s.call(http.MethodGet, path, "", &page); status != http.StatusOK {
			s.t.Fatalf("the request log answers %d", status)
		}
		for _, r := range page.Items {
			seen[r.ID]++
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	for id := range early {
		if seen[id] != 1 {
			s.t.Errorf("request %s is %d times in the log", id, seen[id])
		}
	}
	if int64(len(seen)) != requests {
		s.t.Errorf("%d requests in the log, %d in the sums", len(seen), requests)
	}
	return seen
}
