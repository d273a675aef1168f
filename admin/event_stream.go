// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Times of an event stream. Source: specs/ui.md §4.
const (
	eventRetry   = 3 * time.Second  // after which a browser comes again
	eventComment = 15 * time.Second // keeps proxies from closing a silent stream
	eventWrite   = 30 * time.Second // after which a client that takes nothing is gone. Our choice
)

// streamEvents is GET /admin/events?topics=stats,jobs: all topics by default.
func (a *api) streamEvents(c *call) (status int, body any, err error) {
	wanted, err := wantedTopics(c)
	if err != nil {
		return 0, nil, err
	}
	if c.Method == http.MethodHead {
		return http.StatusOK, nil, nil
	}
	l, full := a.events.join(wanted)
	if full {
		p := problem(http.StatusServiceUnavailable, "too_many_streams", fmt.Sprintf("%d event streams are open, which is the limit. Close other pages, then try again.", maxListeners))
		p.retryAfter = eventRetry
		return 0, nil, p
	}
	return http.StatusOK, stream(func(w http.ResponseWriter) error {
		defer a.events.leave(l)
		return a.writeEvents(c, newEventWriter(w), l)
	}), nil
}

func wantedTopics(c *call) ([]string, error) {
	if !c.query.Has("topics") {
		return topics, nil
	}
	q := queryReader{call: c}
	var wanted []string
	for name := range strings.SplitSeq(c.query.Get("topics"), ",") {
		if name = strings.TrimSpace(name); !slices.Contains(topics, name) {
			q.fault("topics", "must be some of these, with commas between: "+strings.Join(topics, ", "))
			break
		}
		wanted = append(wanted, name)
	}
	return wanted, q.err()
}

// writeEvents writes until the client goes, is too slow, is signed out, or the
// handler or the process ends. In all but the first case it says goodbye, so that
// the page knows why.
func (a *api) writeEvents(c *call, w *eventWriter, l *listener) error {
	w.comment("stream of gemini-balance")
	w.raw(fmt.Sprintf("retry: %d\n\n", eventRetry.Milliseconds()))
	w.event("hello", a.hello())
	comments := time.NewTicker(eventComment)
	defer comments.Stop()
	defer func() { _ = w.rc.SetWriteDeadline(time.Time{}) }() // the connection may be used again
	for w.err == nil {
		w.flush()
		select {
		case <-l.wake:
			pending, slow := a.events.take(l)
			for _, e := range pending {
				w.write(e.name, e.data)
			}
			if slow {
				return w.bye("slow")
			}
		case <-comments.C:
			if !a.stillIn(c.actor) {
				return w.bye("signed_out")
			}
			w.comment("")
		case <-c.actor.signedOut():
			return w.bye("signed_out")
		case <-a.Closing:
			return w.bye("reload")
		case <-a.events.closed:
			return w.bye("shutdown")
		case <-c.Context().Done():
			return nil
		}
	}
	return nil // the client is gone, nobody is left to tell
}

// helloEvent is the first event of each stream.
type helloEvent struct {
	Version    string    `json:"version"`
	UIHash     string    `json:"ui_hash"`
	ServerTime time.Time `json:"server_time"`
}

func (a *api) hello() helloEvent {
	return helloEvent{a.Version, a.uiHash(), a.Now().UTC()}
}

// eventWriter writes the format of server-sent events.
type eventWriter struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	buf bytes.Buffer
	err error // the first one
}

func newEventWriter(w http.ResponseWriter) *eventWriter {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // else nginx keeps events back
	w.WriteHeader(http.StatusOK)
	return &eventWriter{w: w, rc: http.NewResponseController(w)}
}

func (w *eventWriter) raw(text string) { w.buf.WriteString(text) }

func (w *eventWriter) comment(text string) { w.raw(":" + text + "\n\n") }

func (w *eventWriter) event(name string, data any) {
	encoded, err := json.Marshal(data)
	if err != nil {
		w.err = err
		return
	}
	w.write(name, encoded)
}

// write adds an event. JSON of encoding/json has no line breaks.
func (w *eventWriter) write(name string, data []byte) {
	w.raw("event: " + name + "\ndata: ")
	w.buf.Write(data)
	w.raw("\n\n")
}

// flush sends what was written, or finds that the client is gone.
func (w *eventWriter) flush() {
	if w.err != nil || w.buf.Len() == 0 {
		return
	}
	_ = w.rc.SetWriteDeadline(time.Now().Add(eventWrite)) // not all writers know deadlines
	_, w.err = w.w.Write(w.buf.Bytes())
	w.buf.Reset()
	if w.err == nil {
		w.err = w.rc.Flush()
	}
}

// bye ends the stream with a reason.
func (w *eventWriter) bye(reason string) error {
	w.event("bye", map[string]string{"reason": reason})
	w.flush()
	return nil
}
