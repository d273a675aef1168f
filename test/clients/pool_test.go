// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

const poolWorkers = 16

// TestPool is why people come here: of ten keys three are dead, two suspended
// and two out of quota, and no client may ever notice. Each dead key is tried at
// most twice, and no healthy one ever rests.
func TestPool(t *testing.T) {
	requests := 10_000
	if testing.Short() {
		requests = 1_000
	}
	g, ks := startPool(t, 0)
	askMany(t, g, requests)
	checkAttempts(t, g, ks)
	for i, k := range ks[7:] {
		if served := len(generations(g, k)); served < requests/6 {
			t.Errorf("healthy key %d served only %d of %d", i+7, served, requests)
		}
	}
	checkStates(t, g, ks)
}

// TestPoolColdBurst has the first requests all at once while nothing is known of
// any key, because Google takes its time.
func TestPoolColdBurst(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 2
	}
	for n := range rounds {
		t.Run(fmt.Sprint("round ", n+1), func(t *testing.T) {
			g, ks := startPool(t, 150*time.Millisecond)
			askMany(t, g, 4*poolWorkers)
			checkAttempts(t, g, ks)
			checkStates(t, g, ks)
		})
	}
}

// checkAttempts wants at most two requests of any kind with each dead key. Requests
// that were under way when Google said of a key that its day is used up may meet
// the same answer, later ones not.
func checkAttempts(t *testing.T, g *gateway, ks []fakegemini.Key) {
	t.Helper()
	for i, k := range ks[:5] {
		if all := g.google.Entries(fakegemini.ByKey(k.Secret)); len(all) > 2 {
			t.Errorf("key %d, %s, was tried %d times, %d of them by requests", i, cause(i), len(all), len(generations(g, k)))
		}
	}
	for i, k := range ks[5:7] {
		tried := generations(g, k)
		for _, e := range tried {
			if late := e.At.Sub(tried[0].End); late > 100*time.Millisecond {
				t.Errorf("key %d, %s, was tried %v after its first refusal", i+5, cause(i+5), late)
			}
		}
	}
}

// startPool has ten keys: three dead, two suspended, two out of quota, three
// healthy. A request takes a time to reach Google.
func startPool(t *testing.T, uplink time.Duration) (*gateway, []fakegemini.Key) {
	t.Helper()
	ks := keys("pool", 10)
	config := fakegemini.Config{Keys: ks, Latency: fakegemini.Latency{Uplink: uplink}}
	for i := range ks {
		ks[i].Project = fmt.Sprint("pool-", i)
	}
	ks[0].State, ks[1].State, ks[2].State = fakegemini.KeyInvalid, fakegemini.KeyExpired, fakegemini.KeyInvalid
	ks[3].State, ks[4].State = fakegemini.KeySuspended, fakegemini.KeySuspended
	for _, k := range ks[5:7] {
		config.Projects = append(config.Projects, fakegemini.Project{
			Name: k.Project, Limits: map[string]fakegemini.Limits{plainModel: {RPM: 10, RPD: spentDay}},
		})
	}
	g, err := start(t.TempDir(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	})
	return g, ks
}

// generations are the attempts with a key that cost quota.
func generations(g *gateway, k fakegemini.Key) []fakegemini.Entry {
	return g.google.Entries(fakegemini.ByKey(k.Secret), fakegemini.Attempts)
}

// askMany sends requests, many at a time, and wants every one answered.
func askMany(t *testing.T, g *gateway, requests int) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: poolWorkers}}
	defer client.CloseIdleConnections()
	var next, bad atomic.Int64
	var wg sync.WaitGroup
	for range poolWorkers {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(requests); n = next.Add(1) {
				if err := askPool(client, g, int(n)); err != nil && bad.Add(1) <= 5 {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := bad.Load(); n > 0 {
		t.Errorf("%d of %d requests failed", n, requests)
	}
}

func cause(i int) string {
	switch {
	case i < 3:
		return "dead"
	case i < 5:
		return "suspended"
	default:
		return "out of quota"
	}
}

// askPool sends the n-th request: OpenAI and native, whole and streamed in turn.
func askPool(client *http.Client, g *gateway, n int) error {
	openai, stream := n%2 == 0, n%4 < 2
	path, body, end := "/v1/chat/completions", fmt.Sprintf(`{"model": %q, "stream": %t, "messages": [{"role": "user", "content": "Hello %d"}]}`, plainModel, stream, n), "data: [DONE]"
	if !openai {
		path, end = "/v1beta/models/"+plainModel+":generateContent", `"finishReason"`
		if stream {
			path = "/v1beta/models/" + plainModel + ":streamGenerateContent?alt=sse"
		}
		body = fmt.Sprintf(`{"contents": [{"role": "user", "parts": [{"text": "Hello %d"}]}]}`, n)
	}
	req, err := http.NewRequest(http.MethodPost, g.base+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+g.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("request %d to %s: %w", n, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("request %d to %s: %w", n, path, err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("request %d to %s: %s: %s", n, path, resp.Status, data)
	case stream && !bytes.Contains(data, []byte(end)):
		return fmt.Errorf("request %d to %s: no %s in the stream: %s", n, path, end, data)
	case stream:
		return events(data)
	case !json.Valid(data):
		return fmt.Errorf("request %d to %s: not JSON: %s", n, path, data)
	}
	return nil
}

// events checks that a stream has nothing but JSON events without errors.
func events(stream []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(stream))
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var event map[string]json.RawMessage
		if err := json.Unmarshal([]byte(data), &event); err != nil || event["error"] != nil {
			return fmt.Errorf("event in a stream: %s", data)
		}
	}
	return lines.Err()
}

// checkStates reads what the admin API says of the keys.
func checkStates(t *testing.T, g *gateway, ks []fakegemini.Key) {
	t.Helper()
	var list struct {
		Items []struct{ State string }
	}
	if err := g.call(http.MethodGet, "/admin/keys/gemini", "", http.StatusOK, &list); err != nil {
		t.Fatal(err)
	}
	states := map[string]int{}
	for _, k := range list.Items {
		states[k.State]++
	}
	if len(list.Items) != 10 || states["invalid"] != 3 || states["suspended"] != 2 || states["active"]+states["untested"] != 5 {
		t.Errorf("states of the keys: %v", states)
	}
	var rests struct {
		Items []struct {
			Scope, Project, Model, Reason string
			KeyID                         string `json:"key_id"`
		}
	}
	if err := g.call(http.MethodGet, "/admin/keys/gemini/rests", "", http.StatusOK, &rests); err != nil {
		t.Fatal(err)
	}
	for _, r := range rests.Items {
		for i, k := range ks[7:] {
			if id := keyID(k.Secret); r.Project == id || r.KeyID == id {
				t.Errorf("healthy key %d rests: %+v", i+7, r)
			}
		}
		if r.Scope == "model" || r.Scope == "route" {
			t.Errorf("everybody rests: %+v", r)
		}
	}
}

// keyID is the public handle of a Gemini key.
func keyID(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "gk_" + hex.EncodeToString(sum[:])[:12]
}
