// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// outcome is what became of one request.
type outcome struct {
	at     time.Duration // since the load began
	took   time.Duration
	status int  // 0 = the connection broke, or was never made
	whole  bool // the answer has its end: a stream its [DONE]
	after  string
	again  int    // times that it was sent again
	last   string // of its lines that are not empty, where it has no end; or what broke
}

// outcomes are those of a load, in the order in which they ended.
type outcomes []outcome

// of are those with a status.
func (o outcomes) of(status int) outcomes {
	return slices.Collect(func(yield func(outcome) bool) {
		for _, x := range o {
			if x.status == status && !yield(x) {
				return
			}
		}
	})
}

// between are those that began within a time.
func (o outcomes) between(from, to time.Duration) outcomes {
	return slices.Collect(func(yield func(outcome) bool) {
		for _, x := range o {
			if x.at >= from && x.at < to && !yield(x) {
				return
			}
		}
	})
}

// took is a quantile of the times; 0 of none.
func (o outcomes) took(q float64) time.Duration {
	if len(o) == 0 {
		return 0
	}
	times := make([]time.Duration, len(o))
	for i, x := range o {
		times[i] = x.took
	}
	slices.Sort(times)
	return times[int(q*float64(len(times)-1))].Round(10 * time.Microsecond)
}

// statuses counts, for messages.
func (o outcomes) statuses() map[int]int {
	n := map[int]int{}
	for _, x := range o {
		n[x.status]++
	}
	return n
}

// broken are answers of 200 that have no end.
func (o outcomes) broken() int {
	n := 0
	for _, x := range o {
		if x.status == http.StatusOK && !x.whole {
			n++
		}
	}
	return n
}

// worst are all statuses but 200, for messages.
func (o outcomes) worst() map[int]int {
	n := maps.Clone(o.statuses())
	delete(n, http.StatusOK)
	return n
}

// openLoop sends requests at a rate, whatever becomes of those before, and waits for
// the last answer. It ends early with ctx.
func openLoop(ctx context.Context, client *http.Client, perSecond float64, length time.Duration, request func(ctx context.Context, i int) *http.Request) outcomes {
	var mu sync.Mutex
	var all outcomes
	var wg sync.WaitGroup
	start := time.Now()
	for i := 0; ctx.Err() == nil; i++ {
		due := time.Duration(float64(i) / perSecond * float64(time.Second))
		if due >= length {
			break
		}
		pause(due - time.Since(start))
		wg.Go(func() {
			x := askAgain(client, func() *http.Request { return request(ctx, i) })
			x.at = due
			mu.Lock()
			defer mu.Unlock()
			all = append(all, x)
		})
	}
	wg.Wait()
	return all
}

// ask sends a request and reads its answer to the end.
func ask(client *http.Client, r *http.Request) (x outcome) {
	begun := time.Now()
	defer func() { x.took = time.Since(begun) }()
	res, err := client.Do(r)
	if err != nil {
		x.last = err.Error()
		return x
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	x.status, x.after = res.StatusCode, res.Header.Get("Retry-After")
	x.whole = err == nil && (!strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") || bytes.HasSuffix(body, []byte("data: [DONE]\n\n")))
	if !x.whole {
		body = bytes.TrimSpace(body)
		x.last = string(body[bytes.LastIndexByte(body, '\n')+1:])
	}
	return x
}

// errors are the last words of those that did not end well, ten at most.
func (o outcomes) errors() (words []string) {
	for _, x := range o {
		if len(words) < 10 && (x.status != http.StatusOK || !x.whole) {
			words = append(words, x.last)
		}
	}
	return words
}

// again is how often requests were sent again.
func (o outcomes) again() (n int) {
	for _, x := range o {
		n += x.again
	}
	return n
}

// askAgain is ask as SDKs do it: what met a connection that was closed without an
// answer is sent again, twice at most, after half a second or more. Where a server shuts down, net/http closes
// connections whose request it has just read, and the system those that nobody has
// accepted yet; each reload of Caddy ends a server. No handler hears of such a
// request.
func askAgain(client *http.Client, request func() *http.Request) outcome {
	x := ask(client, request())
	for x.status == 0 && x.again < 2 {
		n := x.again + 1
		pause(time.Duration(n) * 500 * time.Millisecond)
		x = ask(client, request())
		x.again = n
	}
	return x
}
