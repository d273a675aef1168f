// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// deadlines is a client's connection that notes its write deadline, and takes a time for
// each write.
type deadlines struct {
	http.ResponseWriter
	mu    sync.Mutex
	until time.Time
	takes time.Duration
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until = t
	return nil
}

func (d *deadlines) Write(p []byte) (int, error) {
	time.Sleep(d.takes)
	return d.ResponseWriter.Write(p)
}

func (*deadlines) FlushError() error { return nil }

func (d *deadlines) armed() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.until
}

// TestWriter_Silence: over HTTP/2 net/http ends a stream whose write deadline comes,
// whether somebody writes or not. A stream that is silent has none.
func TestWriter_Silence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadlines{ResponseWriter: httptest.NewRecorder()}
		c := newClientWriter(d)
		c.alone = true
		defer c.stop()
		for range 100 { // in 200 s
			must(t, c.output([]byte("data: {}\n\n"), "text/event-stream", time.Now()))
			if left := time.Until(d.armed()); left < stall || left > stall+stall/4 {
				t.Fatalf("a client that does not read is cut after %s", left)
			}
			time.Sleep(2 * time.Second)
		}
		time.Sleep(stall + stall/4)
		if until := d.armed(); !until.IsZero() {
			t.Errorf("a silent stream has a deadline in %s", time.Until(until))
		}
		d.takes = stall - time.Second
		wrote := make(chan error)
		go func() { wrote <- c.output([]byte("data: {}\n\n"), "text/event-stream", time.Now()) }()
		time.Sleep(d.takes - 2*time.Second)
		if d.armed().IsZero() {
			t.Error("a write that waits for its client has no deadline")
		}
		must(t, <-wrote)
	})
}
