// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// Events of requests. Source: specs/ui.md §4.
const (
	feedEvery  = 100 * time.Millisecond
	feedRate   = 20              // events a second
	feedIdle   = 2 * time.Second // after which a feed that nobody asks for is closed
	statsEvery = time.Second
)

// announce makes the events stats and request while somebody listens to them.
func (a *api) announce() {
	a.events.every("stats", "stats", statsEvery, func() any { return a.nowStats() })
	f := &requestFeed{api: a, room: feedRate}
	a.events.every("requests", "request", feedEvery, f.publish)
}

// requestFeed publishes requests as they end, feedRate a second at most. It is for
// one goroutine.
type requestFeed struct {
	api  *api
	feed *usage.Feed
	room float64 // events that may be sent now
	last time.Time
	idle *time.Timer // closes the feed
}

// publish sends what ended since the last call. It is a source that has nothing to
// say itself, because it may have several events or none.
func (f *requestFeed) publish() any {
	now := time.Now()
	if f.feed == nil || !f.idle.Reset(feedIdle) { // it is closed, or being closed
		f.feed = f.api.Usage.Feed()
		f.idle = time.AfterFunc(feedIdle, f.feed.Close)
		f.room, f.last = feedRate, now
		return nil
	}
	f.room = min(f.room+now.Sub(f.last).Seconds()*feedRate, feedRate)
	f.last = now
	rows, missed := f.feed.Take()
	shown := min(len(rows), int(f.room))
	f.room -= float64(shown)
	if missed += len(rows) - shown; shown == 0 {
		return nil // those are not told of: the next ones stand for themselves
	}
	views := f.api.viewRequests(rows[len(rows)-shown:]) // the newest
	for i := range views {
		if i == 0 && missed > 0 {
			views[i].Sampled = missed + 1
		}
		f.api.events.publish("requests", "request", views[i])
	}
	return nil
}
