// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"sync/atomic"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// State is what of the admin API must outlive a handler, and so a reload: jobs,
// events, sessions, the audit log. Handlers of several configurations share it. It
// is safe for concurrent use. Use [Open] to make one.
type State struct {
	now func() time.Time

	jobs     jobs
	events   hub
	sessions sessions
	audit    auditLog
	once     once
	guard    guard
	setup    setup
	adminKey atomic.Pointer[[32]byte] // nil before SetAdminKey
}

// StateOptions is what [Open] needs. The zero value is the normal one.
type StateOptions struct {
	Now func() time.Time // nil means time.Now
}

// Open reads what was kept. Close must be called before db is closed.
func Open(db store.Store, sealer *store.Sealer, o StateOptions) (*State, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &State{now: o.Now}
	s.guard.now, s.sessions.now, s.setup.now, s.once.store = o.Now, o.Now, o.Now, db
	if err := s.audit.open(db, sealer, o.Now); err != nil {
		return nil, err
	}
	s.events.init()
	s.jobs.init(o.Now, &s.events)
	return s, nil
}

// Close cancels the jobs, ends the event streams and waits for both.
func (s *State) Close() {
	s.jobs.close()
	s.events.close()
}

// SetAdminKey says which admin key lets in where none is configured, by its SHA-256.
func (s *State) SetAdminKey(hash [32]byte) { s.adminKey.Store(&hash) }

func (s *State) adminKeyHash() [32]byte {
	if hash := s.adminKey.Load(); hash != nil {
		return *hash
	}
	return [32]byte{}
}

// Publish sends an event to the pages that listen to the topic: stats, keys, jobs,
// requests or config. data is marshalled before Publish returns. It never waits
// for a client.
func (s *State) Publish(topic, name string, data any) { s.events.publish(topic, name, data) }

// Wanted tells whether anybody listens to a topic, so that nobody need prepare
// events for nobody.
func (s *State) Wanted(topic string) bool { return s.events.wanted(topic) }
