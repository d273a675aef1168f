// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// question is a request of the admin API, drawn anew each time.
type question struct {
	name string
	path func() string
}

// ask measures all questions while clients send chat requests, and returns how many
// missed the bar.
func ask(g *gateway, o *options) (missed int, err error) {
	began := time.Now()
	if _, err := g.get("/admin/keys/user?limit=1"); err != nil {
		return 0, err
	}
	fmt.Printf("first list of user keys, %d ms after that\n", time.Since(began).Milliseconds())
	questions, err := questionsOf(g, o.size)
	if err != nil {
		return 0, err
	}
	end := chats(g, o.load)
	fmt.Printf("\n%-40s %8s %8s %8s   %s\n", "", "p50 ms", "p99 ms", "KB", "answer")
	for _, q := range questions {
		if !strings.Contains(q.name, o.only) {
			continue
		}
		var took []time.Duration
		var text []byte
		for range o.times {
			path := q.path()
			start := time.Now()
			if text, err = g.get(path); err != nil {
				end()
				return missed, fmt.Errorf("%s: %w", path, err)
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		p50, p99 := took[len(took)/2], took[len(took)*99/100]
		mark := ""
		if p99 > answerBar {
			missed++
			mark = "  MISSED"
		}
		fmt.Printf("%-40s %8.1f %8.1f %8.1f   %s%s\n", q.name, p50.Seconds()*1e3, p99.Seconds()*1e3, float64(len(text))/1024, summary(text), mark)
	}
	answered, failed := end()
	memory, _ := g.memory()
	fmt.Printf("\nchat requests meanwhile: %d answered, %d failed; memory %s\n", answered, failed, memory)
	if failed > 0 {
		return missed, fmt.Errorf("%d chat requests failed", failed)
	}
	return missed, nil
}

// summary says what an answer holds.
func summary(text []byte) string {
	var list struct {
		Items []json.RawMessage `json:"items"`
		Total *int              `json:"total"`
	}
	if json.Unmarshal(text, &list) != nil || list.Items == nil {
		return ""
	}
	if list.Total == nil {
		return fmt.Sprintf("%d items", len(list.Items))
	}
	return fmt.Sprintf("%d items of %d", len(list.Items), *list.Total)
}

// chats sends requests of many user keys at a rate, until the function that it returns
// is called, which tells how they ended.
func chats(g *gateway, rate float64) (end func() (answered, failed int64)) {
	var ok, bad atomic.Int64
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		if rate <= 0 {
			return
		}
		tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			all.Go(func() {
				if g.chat(g.secrets[n%len(g.secrets)]) == nil {
					ok.Add(1)
				} else {
					bad.Add(1)
				}
			})
		}
	})
	return func() (int64, int64) {
		close(stop)
		all.Wait()
		return ok.Load(), bad.Load()
	}
}

// names are ids that the questions are about.
type names struct {
	users, keys []string
	requests    []string
}

func questionsOf(g *gateway, s size) ([]question, error) {
	var known names
	for path, ids := range map[string]*[]string{
		"/admin/keys/user?limit=500&sort=requests_24h": &known.users,
		"/admin/keys/gemini?limit=500":                 &known.keys,
		"/admin/requests?limit=500&class=retried":      &known.requests,
	} {
		text, err := g.get(path)
		if err != nil {
			return nil, err
		}
		var list struct {
			Items []struct {
				ID        string `json:"id"`
				RequestID string `json:"request_id"`
			} `json:"items"`
		}
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, err
		}
		for _, item := range list.Items {
			*ids = append(*ids, item.ID+item.RequestID)
		}
		if len(*ids) == 0 {
			return nil, fmt.Errorf("%s: nothing found", path)
		}
	}
	rng := rand.New(rand.NewPCG(4, 4))
	one := func(ids []string) string { return ids[rng.IntN(len(ids))] }
	at := func() string { // a moment of the last week
		return url.QueryEscape(time.Now().Add(-time.Duration(rng.Int64N(int64(week)))).UTC().Format(time.RFC3339))
	}
	q := func(name, format string, args ...func() any) question {
		return question{name, func() string {
			values := make([]any, len(args))
			for i, arg := range args {
				values[i] = arg()
			}
			return fmt.Sprintf(format, values...)
		}}
	}
	n := func(below int) func() any { return func() any { return rng.IntN(max(below, 1)) } }
	user := func() any { return one(known.users) }
	key := func() any { return one(known.keys) }
	return []question{
		q("user keys: newest", "/admin/keys/user?limit=100"),
		q("user keys: any page", "/admin/keys/user?limit=100&offset=%d", n(s.Users)),
		q("user keys: search, some fit", "/admin/keys/user?limit=100&q=user+%03d", n(1000)),
		q("user keys: search, nothing fits", "/admin/keys/user?limit=100&q=nobody-%d", n(1000)),
		q("user keys: search by id", "/admin/keys/user?q=%s", user),
		q("user keys: by name, any page", "/admin/keys/user?limit=100&sort=name&order=asc&offset=%d", n(s.Users)),
		q("user keys: by last use", "/admin/keys/user?limit=100&sort=last_used"),
		q("user keys: by requests of 24 h", "/admin/keys/user?limit=100&sort=requests_24h"),
		q("user keys: active, tag, by expiry", "/admin/keys/user?limit=100&status=active&tag=team-%d&sort=expires_at&order=asc", n(s.Users/1000)),
		q("user keys: expiring in 7 days", "/admin/keys/user?limit=100&expiring=7"),
		q("user keys: one", "/admin/keys/user/%s", user),
		q("Gemini keys: newest", "/admin/keys/gemini?limit=100"),
		q("Gemini keys: any page", "/admin/keys/gemini?limit=100&offset=%d", n(s.Keys)),
		q("Gemini keys: search, some fit", "/admin/keys/gemini?limit=100&q=key+%03d", n(1000)),
		q("Gemini keys: search, nothing fits", "/admin/keys/gemini?limit=100&q=nothing-%d", n(1000)),
		q("Gemini keys: by name, any page", "/admin/keys/gemini?limit=100&sort=name&order=asc&offset=%d", n(s.Keys)),
		q("Gemini keys: by last use", "/admin/keys/gemini?limit=100&sort=last_used"),
		q("Gemini keys: by requests of 24 h", "/admin/keys/gemini?limit=100&sort=requests_24h"),
		q("Gemini keys: active, tag", "/admin/keys/gemini?limit=100&status=active&tag=batch-%d", n(s.Keys/1000)),
		q("Gemini keys: disabled", "/admin/keys/gemini?limit=100&status=disabled"),
		q("Gemini keys: one", "/admin/keys/gemini/%s", key),
		q("requests: newest", "/admin/requests?limit=100"),
		q("requests: before a moment", "/admin/requests?limit=100&to=%s", func() any { return at() }),
		q("requests: failed", "/admin/requests?limit=100&class=failed"),
		q("requests: a user key", "/admin/requests?limit=100&user=%s", user),
		q("requests: a Gemini key", "/admin/requests?limit=100&key=%s", key),
		q("requests: a Gemini key, failed", "/admin/requests?limit=100&class=failed&key=%s", key),
		q("requests: code and model", "/admin/requests?limit=100&code=503&model=gemini-3-pro"),
		q("requests: slow, two attempts", "/admin/requests?limit=100&min_ms=22000&min_attempts=2"),
		q("requests: one", "/admin/requests/%s", func() any { return one(known.requests) }),
		q("requests: histogram of 7 days", "/admin/requests/histogram?from=%s", func() any {
			return url.QueryEscape(time.Now().Add(-week).UTC().Format(time.RFC3339))
		}),
		q("overview: 1 h", "/admin/overview?window=1h"),
		q("overview: 24 h", "/admin/overview?window=24h"),
		q("overview: 7 d", "/admin/overview?window=7d"),
		q("series: 7 d", "/admin/stats/series?window=7d"),
		q("series: 24 h of a user key", "/admin/stats/series?window=24h&user=%s", user),
		q("top user keys: 7 d", "/admin/stats/top?by=user&window=7d"),
		q("top Gemini keys: 7 d", "/admin/stats/top?by=key&window=7d"),
		q("stats", "/admin/stats"),
		q("quotas", "/admin/quotas"),
		q("status", "/admin/status"),
	}, nil
}
