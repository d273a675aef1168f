// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"
)

// topics are what pages can listen to.
var topics = []string{"stats", "keys", "jobs", "requests", "config"}

// Bounds of the event streams. Source: specs/ui.md §4.
const (
	maxListeners = 32
	maxPending   = 64 // events that wait for one slow client
)

// event is one server-sent event.
type event struct {
	topic, name string
	// key tells events of one thing apart from others of the same name: a newer one
	// takes the place of one that still waits. "" means that each counts.
	key  string
	data []byte
}

// hub passes events on to the pages that are open. Publishing never waits: what a
// slow client cannot take is kept, up to a bound, and then given up by worth: first
// stats, then samples of requests; a client that misses anything else is told to
// come again. The last event of a job is never lost.
type hub struct {
	mu        sync.Mutex
	listeners map[*listener]struct{}
	sources   map[string]*source
	closed    chan struct{}
	closing   bool
	running   sync.WaitGroup // sources and streams
}

// listener is one open stream. Its fields are guarded by hub.mu.
type listener struct {
	topics  []string
	pending []event
	slow    bool          // it missed what it cannot do without
	wake    chan struct{} // has one element when there is something to do
}

// source makes events of its own accord while somebody listens.
type source struct {
	topic, name string
	interval    time.Duration
	produce     func() any
	running     bool
}

func (h *hub) init() {
	h.listeners = make(map[*listener]struct{})
	h.sources = make(map[string]*source)
	h.closed = make(chan struct{})
}

// publish marshals data and passes it to all who listen to the topic.
func (h *hub) publish(topic, name string, data any) { h.publishLatest(topic, name, "", data) }

// publishLatest is publish for a state of one thing, told apart by key, of which
// only the newest counts.
func (h *hub) publishLatest(topic, name, key string, data any) {
	if !h.wanted(topic) {
		return
	}
	encoded, err := json.Marshal(data)
	if err != nil {
		return // a value of ours that is no JSON; every event has its test
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.listeners {
		l.push(event{topic, name, key, encoded})
	}
}

// wanted tells whether anybody listens to a topic.
func (h *hub) wanted(topic string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.wantedLocked(topic)
}

func (h *hub) wantedLocked(topic string) bool {
	for l := range h.listeners {
		if slices.Contains(l.topics, topic) {
			return true
		}
	}
	return false
}

// every publishes what produce returns, at once and then at each interval, while
// somebody listens to the topic; nil is not published. It takes the place of a
// source of the same topic and name. produce must not block.
func (h *hub) every(topic, name string, interval time.Duration, produce func() any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, known := h.sources[topic+" "+name]
	if !known {
		s = &source{topic: topic, name: name}
		h.sources[topic+" "+name] = s
	}
	s.interval, s.produce = interval, produce
	h.startSources()
}

// startSources starts those that are wanted and do not run. The caller holds mu.
func (h *hub) startSources() {
	for _, s := range h.sources {
		if !s.running && !h.closing && h.wantedLocked(s.topic) {
			s.running = true
			h.running.Go(func() { h.run(s) })
		}
	}
}

// run publishes the events of a source until nobody wants them.
func (h *hub) run(s *source) {
	for {
		h.mu.Lock()
		produce, interval := s.produce, s.interval
		if h.closing || !h.wantedLocked(s.topic) {
			s.running = false
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		if data := produce(); data != nil {
			h.publishLatest(s.topic, s.name, s.name, data)
		}
		select {
		case <-time.After(interval):
		case <-h.closed:
		}
	}
}

// join adds a listener. full means that there are too many, or that the hub is
// closed.
func (h *hub) join(topics []string) (l *listener, full bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing || len(h.listeners) >= maxListeners {
		return nil, true
	}
	l = &listener{topics: topics, wake: make(chan struct{}, 1)}
	h.listeners[l] = struct{}{}
	h.running.Add(1)
	h.startSources()
	return l, false
}

// leave removes a listener; every join needs one.
func (h *hub) leave(l *listener) {
	h.mu.Lock()
	delete(h.listeners, l)
	h.mu.Unlock()
	h.running.Done()
}

// count is how many streams are open.
func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.listeners)
}

// take returns what waits for a listener, and whether it missed something.
func (h *hub) take(l *listener) (pending []event, slow bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pending, l.pending = l.pending, nil
	return pending, l.slow
}

// close ends all streams and waits for them.
func (h *hub) close() {
	h.mu.Lock()
	if !h.closing {
		h.closing = true
		close(h.closed)
	}
	h.mu.Unlock()
	h.running.Wait()
}

// push keeps an event for the listener, if it is for it. The caller holds hub.mu.
func (l *listener) push(e event) {
	if l.slow || !slices.Contains(l.topics, e.topic) {
		return
	}
	defer func() {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}()
	if e.key != "" {
		for i, old := range l.pending {
			if old.name == e.name && old.key == e.key {
				l.pending = append(slices.Delete(l.pending, i, i+1), e)
				return
			}
		}
	}
	if len(l.pending) >= maxPending && !l.drop("stats") && !l.drop("requests") && e.topic != "jobs" {
		// Jobs have one event each here and are few: those may exceed the bound.
		l.slow = true
		return
	}
	l.pending = append(l.pending, e)
}

// drop gives up the oldest event of a topic, if there is one.
func (l *listener) drop(topic string) bool {
	i := slices.IndexFunc(l.pending, func(e event) bool { return e.topic == topic })
	if i < 0 {
		return false
	}
	l.pending = slices.Delete(l.pending, i, i+1)
	return true
}

// sourceNames are for tests.
func (h *hub) sourceNames() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.sources))
}
