// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// Before the gateway ends a session itself it says so, as Google does before it
// ends a connection: {"goAway": {"timeLeft": "10s"}}. Clients that resume sessions
// have a new connection by then.
// Source: specs/native-anthropic.md A.12.

// LiveNotice is how long before the end of a session its client is told, where the
// end is known so early: from the closing of Live.Leaving to that of Live.Closing.
const LiveNotice = 10 * time.Second

// lastNotice is what is left when Live.Closing comes without that: a process that
// exits waits 5 seconds for all that runs.
const lastNotice = 2 * time.Second

// farewell is the announced end of a session. The zero value with say has none.
type farewell struct {
	say   func(left time.Duration)
	why   verdict
	at    time.Time
	timer *time.Timer
}

// announce ends the session after so long, unless it ends earlier anyway.
func (f *farewell) announce(why verdict, left time.Duration) {
	at := time.Now().Add(left)
	if f.timer != nil && !at.Before(f.at) {
		return
	}
	f.stop()
	f.why, f.at, f.timer = why, at, time.NewTimer(left)
	f.say(left)
}

// over is when the session ends; never without an announcement.
func (f *farewell) over() <-chan time.Time {
	if f.timer == nil {
		return nil
	}
	return f.timer.C
}

func (f *farewell) stop() {
	if f.timer != nil {
		f.timer.Stop()
	}
}

// goAway tells the client how long the session lasts, between two messages of
// Google's and with the opcode that those have. Music knows no such message.
func (l *liveSession) goAway(kind websocket.MessageType, left time.Duration) {
	if strings.HasSuffix(l.call.Path, liveMusic) {
		return
	}
	seconds := strconv.FormatFloat(left.Round(time.Millisecond).Seconds(), 'f', -1, 64)
	// A client that is gone needs no notice; its end is seen elsewhere.
	_ = l.client.conn.Write(background, kind, []byte(`{"goAway":{"timeLeft":"`+seconds+`s"}}`))
}
