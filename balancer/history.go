// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"slices"
	"time"
)

const (
	// maxHistory is how many of a key's changes are remembered, the last ones.
	maxHistory = 20
	// maxDetail is the longest detail of one, in bytes.
	maxDetail = 300
	// usesEvery is how often it is written when keys were used: a crash forgets no
	// more of that.
	usesEvery = 10 * time.Minute
)

// What happens to a key besides changes of its state.
const (
	eventAdded    = "added"
	eventEdited   = "edited"
	eventDeleted  = "deleted"
	eventRestored = "restored"
)

// Event is something that happened to a key.
type Event struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"`   // added, edited, deleted, restored, or the state it came to
	Detail string    `json:"detail"` // why, in one redacted line; which fields were edited
}

// event is an [Event] in memory.
type event struct {
	at           int64 // Unix ns
	what, detail string
}

// change is an event in the store.
type change struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"`
	Detail string    `json:"detail,omitempty"`
}

func (v event) change() change { return change{fromNanos(v.at), v.what, v.detail} }

// history is what happened to a key, the oldest first. Guarded by Pool.mu.
type history []event

// happened remembers a change. Under Pool.mu.
func (e *entry) happened(now time.Time, what, detail string) {
	if len(detail) > maxDetail {
		detail = clip(detail)
	}
	v := event{now.UnixNano(), what, detail}
	if len(e.history) < maxHistory {
		e.history = append(e.history, v)
		return
	}
	copy(e.history, e.history[1:])
	e.history[len(e.history)-1] = v
}

// changes is the history for the store, with room for one more.
func (h history) changes() []change {
	if len(h) == 0 {
		return nil
	}
	out := make([]change, 0, len(h)+1)
	for _, v := range h {
		out = append(out, v.change())
	}
	return out
}

// recall takes over what the store knows of a key besides its state. Under p.mu.
func (p *Pool) recall(e *entry, r *record) {
	if !r.Probed.IsZero() {
		e.probedAt.Store(r.Probed.UnixNano())
	}
	if r.Used > 0 && r.Used < 1<<32 {
		e.lastUsed.Store(uint32(r.Used))
		e.usedAt = uint32(r.Used)
	}
	if len(r.History) == 0 {
		return
	}
	last := r.History[max(0, len(r.History)-maxHistory):]
	e.history = p.blocks.events.some(len(last), p.blocks.size)
	for i, c := range last {
		e.history[i] = event{nanos(c.At), p.blocks.word(c.What), p.blocks.word(c.Detail)}
	}
}

// events is the history for operators, the newest first. Under Pool.mu.
func (e *entry) events() []Event {
	var out []Event
	for _, v := range slices.Backward(e.history) {
		out = append(out, Event{fromNanos(v.at), v.what, v.detail})
	}
	s := e.spec.Load()
	if s.created == 0 {
		return out
	}
	detail := ""
	switch {
	case s.declared:
		detail = "declared in the configuration"
	case s.batch != "":
		detail = "import " + s.batch
	}
	return append(out, Event{fromNanos(s.created), eventAdded, detail})
}

// noteUses has Flush write when keys were last used.
func (p *Pool) noteUses() {
	slots := *p.slots.Load()
	for from := 0; from < len(slots); from += explained {
		p.mu.Lock()
		for i := from; i < min(from+explained, len(slots)); i++ {
			if e := slots[i].Load(); e != nil && e.usedAt != e.lastUsed.Load() {
				e.usedAt = e.lastUsed.Load()
				p.markKey(e)
			}
		}
		p.mu.Unlock()
	}
}
