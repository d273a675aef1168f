// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// writers is how many clients race for a limit.
const writers = 64

// limited makes a user key with limits, given as JSON.
func (s *server) limited(limits string) (id, secret string) {
	s.t.Helper()
	var made struct{ ID, Key string }
	if status := s.call(http.MethodPost, "/admin/keys/user", `{"name": "limited", "unlimited": true, "limits": `+limits+`}`, &made); status != http.StatusCreated {
		s.t.Fatalf("making a user key with %s: %d", limits, status)
	}
	return made.ID, made.Key
}

// try asks for a whole answer with a user key; 0 is for no answer.
func (s *server) try(ctx context.Context, client *http.Client, secret, prompt string) (status int) {
	body, err := json.Marshal(map[string]any{"model": model, "messages": []any{map[string]any{"role": "user", "content": prompt}}})
	if err != nil {
		return 0
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.site+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0
	}
	return res.StatusCode
}

// raceClient has a connection for each writer.
func raceClient(t *testing.T) *http.Client {
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: writers}, Timeout: patience}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// storm sends a request from all writers at once and counts the answers by status.
// What is admitted stays at Google until all others have been answered.
func (s *server) storm(client *http.Client, secret string) map[int]int {
	s.t.Helper()
	s.google.Forget()
	var all sync.WaitGroup
	var mu sync.Mutex
	statuses, start := map[int]int{}, make(chan struct{})
	var answered atomic.Int64
	for range writers {
		all.Go(func() {
			<-start
			status := s.try(context.Background(), client, secret, "[[hold]] hello")
			answered.Add(1)
			mu.Lock()
			defer mu.Unlock()
			statuses[status]++
		})
	}
	close(start)
	eventually(s.t, "all are answered or admitted", func() bool { return int(answered.Load())+s.google.Held() == writers })
	s.google.Release()
	all.Wait()
	return statuses
}

// userState is what the admin API tells of a user key's limits.
type userState struct {
	Windows []struct {
		Limit string
		Used  int64
	}
	Spent struct {
		Total int64 `json:"total_nano"`
	}
}

func (s *server) userState(id string) (u userState) {
	s.t.Helper()
	s.call(http.MethodGet, "/admin/keys/user/"+id, "", &u)
	return u
}

func (u *userState) used(limit string) int64 {
	for _, w := range u.Windows {
		if w.Limit == limit {
			return w.Used
		}
	}
	return -1
}

// TestCounters_Storm: of 64 requests at once each kind of limit admits exactly as many as
// it has room for, and Google sees no other.
func TestCounters_Storm(t *testing.T) {
	s := newServer(t, 4)
	var keys strings.Builder
	for i := range 4 {
		fmt.Fprintf(&keys, "key {env.GB_KEY_%d}\n", i)
	}
	s.start(s.config(s.store("a")+keys.String(), ""))
	// What one such request reserves, read while it runs.
	id, secret := s.limited(`{"tpd": 1000000000, "budget": {"total": 1000}, "concurrency": 1000}`)
	client := raceClient(t)
	ended := make(chan int)
	go func() { ended <- s.try(context.Background(), client, secret, "[[hold]] hello") }()
	var one userState
	eventually(t, "the request runs", func() bool {
		one = s.userState(id)
		return one.used("concurrency") == 1 && s.google.Held() == 1
	})
	s.google.Release()
	tokens, cost := one.used("tpd"), one.Spent.Total
	if status := <-ended; status != http.StatusOK || tokens <= 0 || cost <= 0 {
		t.Fatalf("%d, reserved %d tokens and %d nano-USD", status, tokens, cost)
	}
	usd := func(nano int64) string { return fmt.Sprintf("%d.%09d", nano/1_000_000_000, nano%1_000_000_000) }
	const room = 10
	for _, limits := range []string{
		fmt.Sprintf(`{"rpm": %d}`, room),
		fmt.Sprintf(`{"rpd": %d}`, room),
		fmt.Sprintf(`{"concurrency": %d}`, room),
		fmt.Sprintf(`{"tpm": %d}`, room*tokens),
		fmt.Sprintf(`{"tpd": %d}`, room*tokens+tokens-1),
		fmt.Sprintf(`{"monthly_tokens": %d}`, room*tokens),
		fmt.Sprintf(`{"budget": {"day": %s}}`, usd(room*cost)),
		fmt.Sprintf(`{"budget": {"month": %s}}`, usd(room*cost+cost-1)),
		fmt.Sprintf(`{"budget": {"total": %s}}`, usd(room*cost)),
		fmt.Sprintf(`{"rpm": %d, "rpd": %d, "concurrency": %d, "tpd": %d, "budget": {"day": %s}}`, 2*room, 3*room, 2*room, room*tokens, usd(4*room*cost)),
	} {
		t.Run(limits, func(t *testing.T) {
			_, secret := s.limited(limits)
			got := s.storm(client, secret)
			if got[http.StatusOK] != room || got[http.StatusTooManyRequests] != writers-room {
				t.Errorf("%v, want %d admitted", got, room)
			}
			if n := s.google.Count(fakegemini.Attempts); n != room {
				t.Errorf("Google saw %d", n)
			}
		})
	}
}

// TestCounters_Concurrency: under a load of 64 clients, some of which leave, there are
// never more requests in flight than the limit has places, all of these are used, and
// none is lost. Those that do not leave are held at Google until all places are taken and
// many others were refused, so that it is certain who has a place: of a client that left,
// the gateway hears before Google does.
func TestCounters_Concurrency(t *testing.T) {
	const places, rounds = 7, 20
	s := newServer(t, 2)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\nkey {env.GB_KEY_1}\n", ""))
	id, secret := s.limited(fmt.Sprintf(`{"concurrency": %d}`, places))
	client := raceClient(t)
	var admitted, refused, left, odd, running atomic.Int64
	running.Store(writers)
	var over atomic.Bool
	defer over.Store(true)
	for w := range writers {
		go func() {
			defer running.Add(-1)
			for n := 0; !over.Load(); n++ {
				ctx, cancel, prompt := context.Background(), func() {}, "[[hold]] hello"
				if (w+n)%5 == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(10+n%40)*time.Millisecond)
					prompt = "[[hang]] hello"
				}
				switch status := s.try(ctx, client, secret, prompt); {
				case status == http.StatusOK:
					admitted.Add(1)
				case status == http.StatusTooManyRequests:
					refused.Add(1)
				case status == 0 && ctx.Err() != nil:
					left.Add(1)
				default:
					odd.Add(1)
				}
				cancel()
			}
		}()
	}
	for range rounds {
		eventually(t, "all places are taken", func() bool { return s.google.Held() >= places })
		before := refused.Load()
		eventually(t, "others are refused", func() bool { return refused.Load() >= before+2*writers })
		if n := s.google.Held(); n != places {
			t.Errorf("%d at once, want %d", n, places)
		}
		s.google.Release()
	}
	over.Store(true)
	eventually(t, "all are answered", func() bool { s.google.Release(); return running.Load() == 0 })
	eventually(t, "all places are free", func() bool { u := s.userState(id); return u.used("concurrency") == 0 })
	if admitted.Load() < places*rounds || left.Load() == 0 || odd.Load() > 0 {
		t.Errorf("%d admitted, %d left, %d otherwise", admitted.Load(), left.Load(), odd.Load())
	}
	if got := s.storm(client, secret); got[http.StatusOK] != places {
		t.Errorf("after the load %v, want %d admitted", got, places)
	}
}

// TestCounters_Disabled: a user key that is disabled while it is used: streams end as
// whole answers and are paid, Live sessions are told to go, and nothing begins any more.
func TestCounters_Disabled(t *testing.T) {
	t.Parallel() // it waits, most of its time
	s := newServer(t, 1)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\n", ""))
	user := s.addRich()
	session := s.live()
	session.say("Hello")
	before := s.spent(user)
	running := s.stream(held)
	if status := s.call(http.MethodPost, "/admin/keys/user/"+user+"/disable", "", nil); status != http.StatusOK {
		t.Fatalf("disabling: %d", status)
	}
	if status := s.chat("Hello"); status != http.StatusUnauthorized {
		t.Errorf("a new request: %d", status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, "ws://"+s.site+"/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key="+s.user, nil)
	if err == nil {
		_, _, err = conn.Read(ctx)
		_ = conn.CloseNow()
		if websocket.CloseStatus(err) == -1 {
			t.Errorf("a new session: %v", err)
		}
	} else if res == nil || res.StatusCode/100 != 4 {
		t.Errorf("a new session: %v", err)
	}
	s.release(1)
	running.finish(t)
	eventually(t, "the stream is paid", func() bool { return s.spent(user) > before })
	if e := session.closed(); e.Code != websocket.StatusPolicyViolation {
		t.Errorf("the session that ran: %v", e)
	}
	if status := s.call(http.MethodPost, "/admin/keys/user/"+user+"/enable", "", nil); status != http.StatusOK {
		t.Errorf("enabling: %d", status)
	}
	if status := s.chat("Hello"); status != http.StatusOK {
		t.Errorf("enabled again: %d", status)
	}
}

// TestCounters_Kill kills Caddy in the middle of what 64 clients of one user key do: what
// its limits have counted is what was answered until at most the last moment, and no more
// than was sent; what was in flight counts as used, once. Rates begin anew.
func TestCounters_Kill(t *testing.T) {
	s := newServer(t, 2)
	config := s.config(s.store("a")+"key {env.GB_KEY_0}\nkey {env.GB_KEY_1}\n", "")
	s.start(config)
	id, secret := s.limited(`{"rpm": 1000000, "rpd": 1000000, "tpd": 1000000000, "budget": {"total": 1000}}`)
	client := raceClient(t)
	if status := s.try(t.Context(), client, secret, "hello"); status != http.StatusOK {
		t.Fatalf("%d", status)
	}
	var first userState
	eventually(t, "the request is paid", func() bool {
		first = s.userState(id)
		return first.used("rpd") == 1 && first.Spent.Total > 0
	})
	each, tokens := first.Spent.Total, first.used("tpd") // all requests are alike
	answered := int64(1)
	for round := range 3 {
		var mu sync.Mutex
		var ends []time.Time
		var clients sync.WaitGroup
		for range writers {
			clients.Go(func() {
				for s.try(context.Background(), client, secret, "hello") == http.StatusOK {
					mu.Lock()
					ends = append(ends, time.Now())
					mu.Unlock()
				}
			})
		}
		begun, least := time.Now(), time.Duration(600+170*round)*time.Millisecond
		eventually(t, "the load has run for a while", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return time.Since(begun) > least && len(ends) > 3*writers
		})
		killed := time.Now()
		must(t, s.cmd.Process.Kill())
		_ = s.wait(10 * time.Second) // it was killed: an error
		clients.Wait()
		slices.SortFunc(ends, time.Time.Compare)
		s.start(config)
		u := s.userState(id)
		sent := answered + int64(len(ends)) + writers
		early, written := answered, writtenBy(killed, ends, writers)
		for _, end := range ends {
			if end.Before(written) {
				early++
			}
		}
		rpd := u.used("rpd")
		if early == answered || rpd < early || rpd > sent {
			t.Errorf("round %d: rpd is %d, want %d to %d", round, rpd, early, sent)
		}
		if lost := answered + int64(len(ends)) - rpd; lost > 0 {
			t.Logf("round %d: %d of %d are lost, the first %v before the kill", round, lost, len(ends), killed.Sub(ends[len(ends)-int(lost)]))
		}
		// A request that was cut off may have reserved more money than one has cost, and fewer
		// tokens or more, and keeps it.
		cut := int64(round+1) * writers
		if u.Spent.Total < early*each || u.Spent.Total > sent*each+cut*4_000_000 || u.used("tpd") < (early-cut)*tokens || u.used("tpd") > sent*tokens+cut*1000 {
			t.Errorf("round %d: %d nano-USD and %d tokens, want %d and %d at least for %d requests, of which %d were sent", round, u.Spent.Total, u.used("tpd"), early*each, (early-cut)*tokens, early, sent)
		}
		if n := u.used("rpm"); n != 0 {
			t.Errorf("round %d: rpm has %d used after a start", round, n)
		}
		if n := u.used("concurrency"); n > 0 {
			t.Errorf("round %d: %d in flight after a start", round, n)
		}
		if status := s.try(t.Context(), client, secret, "hello"); status != http.StatusOK {
			t.Fatalf("after the kill: %d", status)
		}
		eventually(t, "counting goes on from there", func() bool {
			now := s.userState(id)
			return now.used("rpd") == rpd+1 && now.Spent.Total == u.Spent.Total+each
		})
		answered = rpd + 1
	}
}
