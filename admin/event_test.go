// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// page is a client of the event stream: it takes what is written, as slowly as it
// likes.
type pageStream struct {
	header http.Header
	mu     sync.Mutex
	text   strings.Builder
	status int
	stuck  chan struct{} // when not nil, writes wait for it
	gone   bool
}

func (p *pageStream) Header() http.Header { return p.header }

func (p *pageStream) WriteHeader(status int) { p.status = status }

func (p *pageStream) Write(b []byte) (int, error) {
	if p.stuck != nil {
		<-p.stuck
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return 0, http.ErrAbortHandler
	}
	return p.text.Write(b)
}

func (p *pageStream) Flush() {}

func (p *pageStream) read() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// listen opens a stream; done is closed when the handler returned.
func (f *fixture) listen(r *http.Request, p *pageStream) (done chan struct{}) {
	done = make(chan struct{})
	p.header = http.Header{}
	go func() {
		defer close(done)
		f.ServeHTTP(p, r)
	}()
	return done
}

// streamRequest is a request of a script for events that goes on until cancel.
func streamRequest(t *testing.T, target string) (r *http.Request, cancel context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	r = httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	r.Header.Set("Authorization", adminKey)
	return r, cancel
}

func TestEvents_Stream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, settings.Patch{})
		r, cancel := streamRequest(t, "/admin/events?topics=keys,config")
		p := new(pageStream)
		done := f.listen(r, p)
		synctest.Wait()
		head := p.read()
		for _, part := range []string{"retry: 3000\n\n", "event: hello\ndata: {\"version\":\"v0.0.0-test\",\"ui_hash\":", "server_time"} {
			if !strings.Contains(head, part) {
				t.Errorf("the beginning lacks %q: %s", part, head)
			}
		}
		for name, want := range map[string]string{"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", "Cache-Control": "no-store"} {
			if got := p.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		f.state.Publish("keys", "keys", map[string]any{"changed": "many"})
		f.state.Publish("stats", "stats", 1) // nobody asked for it
		f.state.Publish("config", "config", map[string]string{"etag": "line\nbreak"})
		synctest.Wait()
		if got := strings.TrimPrefix(p.read(), head); got != "event: keys\ndata: {\"changed\":\"many\"}\n\nevent: config\ndata: {\"etag\":\"line\\nbreak\"}\n\n" {
			t.Errorf("the stream goes on with %q", got)
		}
		before := len(p.read())
		time.Sleep(46 * time.Second)
		synctest.Wait()
		if got := p.read()[before:]; got != ":\n\n:\n\n:\n\n" {
			t.Errorf("in 46 silent seconds came %q", got)
		}
		cancel()
		<-done
		if n := f.state.events.count(); n != 0 || f.state.Wanted("keys") {
			t.Errorf("%d streams are left", n)
		}
	})
}

func TestEvents_Parameters(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for topics, want := range map[string]int{"": 400, "stats": 200, "stats,jobs": 200, "stats, jobs": 200, "weather": 400, "stats,": 400} {
		target := "/admin/events?topics=" + strings.ReplaceAll(topics, " ", "%20")
		if w := f.admin("GET", target, ""); w.Code != want {
			t.Errorf("%q: %d %s", topics, w.Code, w.Body)
		}
	}
	if w := f.admin("GET", "/admin/events", ""); w.Code != 200 {
		t.Errorf("without topics: %d", w.Code)
	}
	f.spec = nil
	if w := f.admin("HEAD", "/admin/events", ""); w.Code != 200 || w.Body.Len() > 0 {
		t.Errorf("HEAD: %d %s", w.Code, w.Body)
	}
}

// TestEvents_Ends: every end but the client's own is said.
func TestEvents_Ends(t *testing.T) {
	for name, test := range map[string]struct {
		end    func(f *fixture, closing chan struct{}, cookie *http.Cookie)
		reason string
	}{
		"reload":       {func(_ *fixture, closing chan struct{}, _ *http.Cookie) { close(closing) }, "reload"},
		"shutdown":     {func(f *fixture, _ chan struct{}, _ *http.Cookie) { f.state.Close() }, "shutdown"},
		"sign-out":     {func(f *fixture, _ chan struct{}, c *http.Cookie) { f.browser(c, "DELETE", "/admin/session", "") }, "signed_out"},
		"all sessions": {func(f *fixture, _ chan struct{}, _ *http.Cookie) { f.admin("DELETE", "/admin/sessions", "") }, "signed_out"},
		"idle": {func(f *fixture, _ chan struct{}, _ *http.Cookie) {
			f.state.sessions.mu.Lock()
			for _, s := range f.state.sessions.all {
				s.active = s.active.Add(-sessionIdle)
			}
			f.state.sessions.mu.Unlock()
			time.Sleep(eventComment)
		}, "signed_out"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, settings.Patch{})
				f.spec = nil
				closing := make(chan struct{})
				f.config.Closing = closing
				f.Handler = New(f.config)
				cookie := f.signIn(adminKey)
				r, cancel := streamRequest(t, "/admin/events")
				defer cancel()
				r.Header.Del("Authorization")
				r.AddCookie(cookie)
				p := new(pageStream)
				done := f.listen(r, p)
				synctest.Wait()
				test.end(f, closing, cookie)
				<-done
				if got := p.read(); !strings.HasSuffix(got, "event: bye\ndata: {\"reason\":\""+test.reason+"\"}\n\n") {
					t.Errorf("the stream ends with %q", got[max(0, len(got)-80):])
				}
			})
		})
	}
}

func TestEvents_AreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, settings.Patch{})
		f.spec = nil
		var cancels []context.CancelFunc
		for range maxListeners {
			r, cancel := streamRequest(t, "/admin/events")
			cancels = append(cancels, cancel)
			f.listen(r, new(pageStream))
		}
		synctest.Wait()
		w := f.admin("GET", "/admin/events", "")
		if w.Code != http.StatusServiceUnavailable || problemCode(w) != "too_many_streams" || w.Header().Get("Retry-After") != "3" {
			t.Errorf("one more: %d %s", w.Code, w.Body)
		}
		cancels[0]()
		synctest.Wait()
		if w := f.admin("GET", "/admin/events", ""); w.Code != http.StatusOK {
			t.Errorf("after one left: %d", w.Code)
		}
		for _, cancel := range cancels {
			cancel()
		}
	})
}

// TestEvents_SlowClients: what a client cannot take is given up by worth.
func TestEvents_SlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(hub)
		h.init()
		l, _ := h.join(topics)
		names := func() map[string]int {
			pending, _ := h.take(l)
			count := map[string]int{}
			for _, e := range pending {
				count[e.name+e.key]++
			}
			return count
		}
		for i := range 200 {
			h.publish("stats", "stats", i)
			h.publish("requests", "request", i)
			h.publishLatest("jobs", "job", "j1", i)
		}
		h.publishLatest("jobs", "job", "j2", "last")
		got := names()
		if got["jobj1"] != 1 || got["jobj2"] != 1 || got["stats"]+got["request"] > maxPending || got["request"] < maxPending/2 {
			t.Errorf("a client that sleeps gets %v", got)
		}
		for i := range maxPending {
			h.publish("stats", "stats", i)
		}
		for i := range 10 {
			h.publish("keys", "keys", i)
		}
		if got := names(); got["keys"] != 10 || got["stats"] != maxPending-10 {
			t.Errorf("stats do not go first: %v", got)
		}
		for i := range maxPending {
			h.publish("keys", "keys", i)
		}
		h.publishLatest("jobs", "job", "j1", "last")
		pending, slow := h.take(l)
		if slow || len(pending) != maxPending+1 {
			t.Errorf("%d events wait, slow %t", len(pending), slow)
		}
		for i := range maxPending + 1 {
			h.publish("keys", "keys", i)
		}
		if _, slow := h.take(l); !slow {
			t.Error("who missed keys is not told to come again")
		}
		h.leave(l)
		h.close()
	})
}

// TestEvents_SlowClientHoldsUpNobody: a client that takes nothing blocks neither
// those who publish nor the others, and is told to come again.
func TestEvents_SlowClientHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, settings.Patch{})
		stuck := &pageStream{stuck: make(chan struct{})}
		slow, cancelSlow := streamRequest(t, "/admin/events")
		slowDone := f.listen(slow, stuck)
		quick := new(pageStream)
		r, cancel := streamRequest(t, "/admin/events")
		quickDone := f.listen(r, quick)
		synctest.Wait()
		for i := range 3 * maxPending {
			f.state.Publish("keys", "keys", i)
			synctest.Wait()
		}
		if got := strings.Count(quick.read(), "event: keys"); got != 3*maxPending {
			t.Errorf("the other got %d of %d", got, 3*maxPending)
		}
		close(stuck.stuck)
		<-slowDone
		if got := stuck.read(); !strings.HasSuffix(got, "event: bye\ndata: {\"reason\":\"slow\"}\n\n") {
			t.Errorf("the slow one ends with %q", got[max(0, len(got)-60):])
		}
		cancel()
		cancelSlow()
		<-quickDone
	})
}

// TestEvents_GoneClientIsNoticed: the next write finds it.
func TestEvents_GoneClientIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, settings.Patch{})
		p := &pageStream{gone: true}
		r, cancel := streamRequest(t, "/admin/events")
		defer cancel()
		<-f.listen(r, p)
		if n := f.state.events.count(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
}

// TestEvents_SourcesRunWhileWanted: nothing is computed for nobody.
func TestEvents_SourcesRunWhileWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(hub)
		h.init()
		var made, other atomic.Int64
		h.every("stats", "stats", time.Second, func() any { return made.Add(1) })
		time.Sleep(5 * time.Second)
		if n := made.Load(); n != 0 {
			t.Errorf("%d made for nobody", n)
		}
		l, _ := h.join([]string{"stats"})
		time.Sleep(3500 * time.Millisecond)
		if n := made.Load(); n != 4 {
			t.Errorf("%d made in 3.5 seconds, want 4", n)
		}
		h.every("stats", "stats", time.Second, func() any { other.Add(1); return nil }) // after a reload
		time.Sleep(2 * time.Second)
		if made.Load() != 4 || other.Load() != 2 {
			t.Errorf("the old source made %d, the new one %d", made.Load(), other.Load())
		}
		h.leave(l)
		time.Sleep(2 * time.Second)
		if n := other.Load(); n > 3 {
			t.Errorf("%d made after the last left", n)
		}
		l, _ = h.join([]string{"stats"})
		synctest.Wait()
		if n := len(h.sourceNames()); n != 1 {
			t.Errorf("%d sources", n)
		}
		h.leave(l)
		h.close()
		if _, full := h.join([]string{"stats"}); !full {
			t.Error("joined a hub that is closed")
		}
	})
}

func TestEvents_ManyPublishers(t *testing.T) {
	h := new(hub)
	h.init()
	l, _ := h.join(topics)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 200 {
				h.publishLatest("jobs", "job", fmt.Sprint(i), n)
				h.publish("stats", "stats", n)
			}
		})
	}
	wg.Go(func() {
		for range 100 {
			h.take(l)
		}
	})
	wg.Wait()
	h.leave(l)
	h.close()
}
