// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// State is what of the admin API must outlive a handler, and so a reload: jobs,
// events, sessions, the audit log. Handlers of several configurations share it. It
// is safe for concurrent use. Use [Open] to make one.
type State struct {
	store  store.Store
	sealer *store.Sealer
	now    func() time.Time

	jobs   jobs
	events hub
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
	s := &State{store: db, sealer: sealer, now: o.Now}
	s.events.init()
	s.jobs.init(o.Now, &s.events)
	return s, nil
}

// Close cancels the jobs, ends the event streams and waits for both.
func (s *State) Close() {
	s.jobs.close()
	s.events.close()
}

// Publish sends an event to the pages that listen to the topic: stats, keys, jobs,
// requests or config. data is marshalled before Publish returns. It never waits
// for a client.
func (s *State) Publish(topic, name string, data any) { s.events.publish(topic, name, data) }

// Wanted tells whether anybody listens to a topic, so that nobody need prepare
// events for nobody.
func (s *State) Wanted(topic string) bool { return s.events.wanted(topic) }
