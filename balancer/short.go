// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"sync/atomic"
	"time"
)

// manyKeys is how many keys a pool has for which it pays to remember that none has
// room for a request.
const manyKeys = 128

// short remembers that no key of a lane has room for requests of so many tokens:
// to find that out, a pick has looked at all of them. It is no more than a memory,
// and holds for a few times as long as it took to make. Safe for concurrent use.
type short struct {
	tokens atomic.Int64 // from so many on; 0 for nothing known
	until  atomic.Int64 // Unix ns
	gains  atomic.Uint64
	roomy  atomic.Uint64
}

// shortOf reports whether the lane is known to have no key with room for a request.
func (p *Pool) shortOf(l *lane, w *Want, now time.Time) bool {
	from := l.short.tokens.Load()
	return from > 0 && w.Tokens >= from && !w.Unmetered && now.UnixNano() < l.short.until.Load() &&
		l.short.gains.Load() == p.gains.Load() && l.short.roomy.Load() == l.model.roomy.Load()
}

// noteShort notes that a pick which began at a time found no key of the lane that
// has room for so many tokens.
func (p *Pool) noteShort(l *lane, tokens int64, began time.Time) {
	if tokens <= 0 || p.usable.Load() < manyKeys {
		return
	}
	now := p.now()
	l.short.tokens.Store(tokens)
	l.short.gains.Store(p.gains.Load())
	l.short.roomy.Store(l.model.roomy.Load())
	l.short.until.Store(now.Add(min(staleness*now.Sub(began), time.Second)).UnixNano())
	if s := l.model.shortest.Load(); s == 0 || tokens < s {
		l.model.shortest.Store(tokens)
	}
}

// eased tells that some key of the model has room for so many tokens now.
func (m *model) eased(tokens int64) {
	if s := m.shortest.Load(); s > 0 && tokens >= s {
		m.shortest.Store(0)
		m.roomy.Add(1)
	}
}
