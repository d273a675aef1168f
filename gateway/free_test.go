// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

const countHi = `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`

// freeThings are requests that cost nothing, as "METHOD path" and body. The file is one
// that the user has.
func freeThings(file string) [][2]string {
	return [][2]string{
		{"GET /v1/models", ""}, {"GET /v1/models/" + model, ""},
		{"GET /v1beta/models", ""}, {"GET /v1beta/models/" + model, ""},
		{"GET /anthropic/v1/models", ""}, {"GET /anthropic/v1/models/" + model, ""},
		{"POST /v1beta/models/" + model + ":countTokens", countHi},
		{"POST /v1/messages/count_tokens", claudeCount(1)},
		{"POST /v1/responses/input_tokens", `{"model":"` + model + `","input":"hi"}`},
		{"GET /v1/files", ""}, {"GET /v1/files/" + file, ""},
		{"GET /v1beta/files", ""}, {"GET /v1beta/batches", ""}, {"GET /v1beta/cachedContents", ""},
		{"DELETE /v1/files/" + file, ""},
	}
}

// TestLimits_Free: what costs nothing counts as no request, and is refused by no limit
// that is used up.
func TestLimits_Free(t *testing.T) {
	for name, limits := range map[string]users.Limits{
		"rpm": {RPM: 2}, "rpd": {RPD: 2}, "tpm": {TPM: 40}, "tpd": {TPD: 40}, "budget": {Budget: &users.Budget{Day: 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubble(t, keys(2))
				w.as(users.Spec{Name: "poor", Unlimited: true, Limits: limits})
				file := w.put("a.txt", "hello").ID // counts
				if name == "rpm" || name == "rpd" {
					for _, free := range freeThings(file) {
						method, path, _ := strings.Cut(free[0], " ")
						if got := w.do(t.Context(), method, path, free[1]); got.status != http.StatusOK {
							t.Errorf("%s before: %d %s", free[0], got.status, got.body)
						} else if left := got.header.Get("X-Ratelimit-Remaining-Requests"); left != "" && left != "1" {
							t.Errorf("%s leaves %s", free[0], left)
						} else if strings.HasSuffix(path, ":countTokens") && left == "" {
							t.Errorf("%s does not tell what is left", free[0])
						}
					}
					if got := w.say("openai", model, "hi"); got.status != http.StatusOK {
						t.Errorf("the second request that counts: %d %s", got.status, got.body)
					}
				} else {
					w.say("openai", model, "hello there, how are you? [[size 900]]")
				}
				if got := w.say("openai", model, "hello there, how are you? [[size 900]]"); got.status != http.StatusTooManyRequests {
					t.Fatalf("the limit is not used up: %d %s", got.status, got.body)
				}
				if name == "rpm" || name == "rpd" {
					file = "file-none"
				}
				for _, free := range freeThings(file) {
					method, path, _ := strings.Cut(free[0], " ")
					want := http.StatusOK
					if strings.Contains(path, "none") {
						want = http.StatusNotFound
					}
					if got := w.do(t.Context(), method, path, free[1]); got.status != want {
						t.Errorf("%s: %d %s", free[0], got.status, got.body)
					}
				}
			})
		})
	}
}

// TestLimits_FreeWidth: instead of a limit, few of them ask Google at once for a user
// key, and too many are refused; another key does not wait for them.
func TestLimits_FreeWidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, keys(2))
		other := w.key
		w.as(users.Spec{Name: "busy", Limits: users.Limits{RPM: 1, Concurrency: 1}})
		w.google.Script(fakegemini.Rule{Method: "countTokens", Steer: fakegemini.Steer{Delay: time.Second}})
		var all sync.WaitGroup
		var mu sync.Mutex
		statuses := map[int]int{}
		started := time.Now()
		for i := range countWidth + countWaiting + 10 {
			all.Go(func() {
				got := w.post("/v1beta/models/"+model+":countTokens", strings.Replace(countHi, "hi", fmt.Sprint("hi ", i), 1))
				mu.Lock()
				defer mu.Unlock()
				statuses[got.status]++
			})
		}
		synctest.Wait()
		if running := w.google.Count(ofCounting) - w.google.Count(ofCounting, fakegemini.Done); running > countWidth {
			t.Errorf("%d at once", running)
		}
		w.key = other
		if got := w.post("/v1beta/models/"+model+":countTokens", countHi); got.status != http.StatusOK || time.Since(started) != time.Second {
			t.Errorf("another key: %d after %v", got.status, time.Since(started))
		}
		all.Wait()
		if took := time.Since(started); took != (countWidth+countWaiting)/countWidth*time.Second {
			t.Errorf("all of them took %v", took)
		}
		if statuses[200] != countWidth+countWaiting || statuses[503] != 10 {
			t.Errorf("%v", statuses)
		}
	})
}

// TestLimits_FreeAnonymous: without user keys it is the address that has places.
func TestLimits_FreeAnonymous(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, keys(2), func(c *Config) {
			c.Anonymous = true
			c.ClientIP = func(r *http.Request) netip.Addr { return netip.MustParseAddr(r.Header.Get("X-From")) }
		})
		w.google.Script(fakegemini.Rule{Method: "countTokens", Steer: fakegemini.Steer{Delay: time.Second}})
		var all sync.WaitGroup
		started := time.Now()
		for i := range 2 * 2 * countWidth {
			all.Go(func() {
				got := w.post("/v1beta/models/"+model+":countTokens", countHi, "Authorization", "", "X-From", fmt.Sprint("192.0.2.", 1+i%2))
				if got.status != http.StatusOK {
					t.Errorf("%d %s", got.status, got.body)
				}
			})
		}
		all.Wait()
		if took := time.Since(started); took != 2*time.Second {
			t.Errorf("two addresses, eight counts each: %v", took)
		}
	})
}

// TestLimits_FreeForbidden: what a user key may not use it may not count or look at.
func TestLimits_FreeForbidden(t *testing.T) {
	w := newWorld(t, keys(1))
	w.as(users.Spec{Name: "pro only", Models: []string{"gemini-2.5-pro"}})
	for path, body := range map[string]string{
		"POST /v1beta/models/" + model + ":countTokens": countHi,
		"POST /v1/responses/input_tokens":               `{"model":"` + model + `","input":"hi"}`,
		"GET /v1beta/models/" + model:                   "",
		"GET /v1/models/" + model:                       "",
	} {
		method, path, _ := strings.Cut(path, " ")
		if got := w.do(t.Context(), method, path, body); got.status != 403 && got.status != 404 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if n := w.google.Count(); n != 0 {
		t.Errorf("Google was asked %d times", n)
	}
}
