// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gemini-balance/caddy-gemini-balance/gateway"
)

// Live sessions are hijacked connections: no server of Caddy's knows of them, so
// nobody but this package ends them. Those of a configuration that was replaced go
// on for stream_close_delay; when the process exits, all end within seconds, those
// of earlier configurations included, whose store would be closed under them.

// defaultCloseDelay is longer than any connection of Google's Live API lasts, so
// that a reload ends none before its time. Source: specs/native-anthropic.md A.12.
const defaultCloseDelay = 15 * time.Minute

// closing tells the Live sessions of a handler to end. Safe for concurrent use.
type closing struct {
	delay time.Duration
	soon  chan struct{} // closed some seconds before done, or with it
	done  chan struct{}

	mu    sync.Mutex
	timer *time.Timer // nil before begin
	told  bool        // soon is closed
	over  bool
}

func newClosing(delay time.Duration) *closing {
	return &closing{delay: delay, soon: make(chan struct{}), done: make(chan struct{})}
}

// closeNotice is how long before their end the sessions hear of it.
const closeNotice = gateway.LiveNotice

// begin ends the sessions after the delay, or at once.
func (c *closing) begin(now bool) {
	if now || c.delay <= 0 {
		c.end()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil && !c.over {
		c.timer = time.AfterFunc(max(0, c.delay-closeNotice), c.notify)
	}
}

// notify tells the sessions of their end, which comes closeNotice later.
func (c *closing) notify() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		close(c.soon)
		c.told = true
		c.timer = time.AfterFunc(min(c.delay, closeNotice), c.end)
	}
}

// end ends the sessions.
func (c *closing) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.over = true
	if c.timer != nil {
		c.timer.Stop()
	}
	if !c.told {
		close(c.soon)
	}
	close(c.done)
}

// leaving are the Apps between Cleanup and release. Guarded by lifetimes.
var leaving = map[*App]struct{}{}

// closeSessions tells the Live sessions of a, which is cleaned up, to end, and
// returns the other Apps to wait for: those before it, when the process exits.
func (a *App) closeSessions() (before []*App) {
	exiting := caddy.Exiting()
	for _, c := range a.closings {
		c.begin(exiting)
	}
	lifetimes.Lock()
	defer lifetimes.Unlock()
	if !exiting {
		leaving[a] = struct{}{}
		return nil
	}
	for other := range leaving {
		for _, c := range other.closings {
			c.end()
		}
		before = append(before, other)
	}
	return before
}

// closedSessions forgets what closeSessions has begun.
func (a *App) closedSessions() {
	for _, c := range a.closings {
		c.end()
	}
	lifetimes.Lock()
	defer lifetimes.Unlock()
	delete(leaving, a)
}
