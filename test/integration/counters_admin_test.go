// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// eventStream is one listener of GET /admin/events.
type eventStream struct {
	status int
	retry  string // Retry-After of a refusal
	cancel context.CancelFunc
	names  chan string // of the events, until the end
}

// listen opens an event stream, as a script does.
func (s *server) listen(client *http.Client, topics string) *eventStream {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.site+"/admin/events?topics="+topics, nil)
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+adminKey)
	res, err := client.Do(req)
	must(s.t, err)
	e := &eventStream{res.StatusCode, res.Header.Get("Retry-After"), cancel, make(chan string, 1000)}
	s.t.Cleanup(cancel)
	if e.status != http.StatusOK {
		_ = res.Body.Close()
		return e
	}
	go func() {
		defer close(e.names)
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				select {
				case e.names <- name:
				default: // a test that reads no more
				}
			}
		}
	}()
	return e
}

// hears waits for an event.
func (e *eventStream) hears(name string) bool {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case got, open := <-e.names:
			if !open || got == name {
				return open
			}
		case <-limit.C:
			return false
		}
	}
}

// TestEvents_Full: 32 pages can listen and all hear of a request, one that does not read
// included; the 33rd is told to come again, and can when one is gone.
func TestEvents_Full(t *testing.T) {
	const most = 32
	s := newServer(t, 1)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\n", ""))
	s.addUser()
	client := raceClient(t)
	client.Timeout = 0
	var mu sync.Mutex
	var open, refused []*eventStream
	var all sync.WaitGroup
	for range 2 * most {
		all.Go(func() {
			e := s.listen(client, "requests,stats,keys,jobs,config")
			mu.Lock()
			defer mu.Unlock()
			if e.status == http.StatusOK {
				open = append(open, e)
			} else {
				refused = append(refused, e)
			}
		})
	}
	all.Wait()
	if len(open) != most || len(refused) != most {
		t.Fatalf("%d of %d can listen, want %d", len(open), 2*most, most)
	}
	for _, e := range refused {
		if e.status != http.StatusServiceUnavailable || e.retry == "" {
			t.Errorf("too many: %d, Retry-After %q", e.status, e.retry)
		}
	}
	if status := s.chat("Hello"); status != http.StatusOK {
		t.Errorf("a request beside them: %d", status)
	}
	for i, e := range open {
		if !e.hears("request") {
			t.Errorf("listener %d does not hear of the request", i)
		}
	}
	for range 3 {
		open[0].cancel()
		open = open[1:]
		var e *eventStream
		eventually(t, "another can listen", func() bool {
			e = s.listen(client, "requests")
			return e.status == http.StatusOK
		})
		open = append(open, e)
		if status := s.chat("Hello"); status != http.StatusOK || !e.hears("request") {
			t.Errorf("the one that came later hears nothing")
		}
	}
	must(t, s.signal(os.Interrupt))
	for i, e := range open {
		if !e.hears("bye") {
			t.Errorf("listener %d is not told of the end", i)
		}
	}
}

// TestSetup_Guessed: of 64 clients that guess the setup token at once, from wherever they
// say, five are looked at; then the way is closed to the right one too, no session or key
// came of it, and the key of the file still opens.
func TestSetup_Guessed(t *testing.T) {
	s := newServer(t, 1)
	s.start(s.config(s.store("a"), s.openSite("")))
	found := regexp.MustCompile(`"setup_token":\s*"([A-Z2-7]+)"`).FindStringSubmatch(s.log.String())
	if found == nil {
		t.Fatal("the log has no setup token")
	}
	client := raceClient(t)
	guess := func(token string, n int) (status int, code string) {
		body := fmt.Sprintf(`{"token":%q,"admin_key":"a-key-of-somebody-else-0123456789"}`, token)
		req, err := http.NewRequest(http.MethodPost, "http://"+s.site+"/admin/setup", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", n))
		res, err := client.Do(req)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer res.Body.Close()
		var p struct{ Code string }
		data, _ := io.ReadAll(res.Body)
		_ = json.Unmarshal(data, &p)
		if len(res.Cookies()) > 0 || strings.Contains(string(data), found[1]) {
			t.Errorf("a guess is answered with %v %s", res.Cookies(), data)
		}
		return res.StatusCode, p.Code
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	codes := map[string]int{}
	for n := range writers {
		all.Go(func() {
			status, code := guess(fmt.Sprintf("%026d", n), n)
			mu.Lock()
			defer mu.Unlock()
			if status == http.StatusTooManyRequests {
				code = "too many"
			} else if status/100 != 4 {
				t.Errorf("a guess: %d %s", status, code)
			}
			codes[code]++
		})
	}
	all.Wait()
	if codes["wrong_setup_token"] > 5 || codes["wrong_setup_token"] == 0 || codes["wrong_setup_token"]+codes["setup_closed"]+codes["too many"] != writers {
		t.Errorf("%v", codes)
	}
	if status, code := guess(found[1], 200); status != http.StatusForbidden && status != http.StatusTooManyRequests {
		t.Errorf("the right token afterwards: %d %s", status, code)
	}
	kept, err := os.ReadFile(filepath.Join(s.storeDir("a"), "admin.key"))
	must(t, err)
	if strings.Contains(string(kept), "somebody-else") {
		t.Error("the admin key is another's")
	}
	// Who has the file gets in, once the minute of wrong tries is over for the address.
	deadline := time.Now().Add(70 * time.Second)
	for {
		status, answer := s.as(strings.TrimSpace(string(kept)), http.MethodGet, "/admin/status", "")
		if status == http.StatusOK {
			break
		}
		if status != http.StatusTooManyRequests || time.Now().After(deadline) {
			t.Fatalf("with the key of the file: %d %s", status, answer)
		}
		time.Sleep(time.Second) //nolint:forbidigo // until the minute is over
	}
	if status, _ := s.as("a-key-of-somebody-else-0123456789", http.MethodGet, "/admin/status", ""); status == http.StatusOK {
		t.Error("the key of a guess opens")
	}
}
