// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"container/list"
	"sync"
	"time"
)

// Memo remembers thought signatures for clients whose protocol loses them: the
// least recently used go first when it is full, and all go after a time. Safe for
// concurrent use.
type Memo struct {
	capacity int
	ttl      time.Duration

	mu      sync.Mutex
	size    int
	entries map[memoKey]*list.Element
	order   *list.List // of *memoEntry, most recently used first
}

type memoKey struct{ user, call string }

type memoEntry struct {
	memoKey
	signature string
	expires   time.Time
}

// NewMemo returns a Memo of so many bytes whose entries live for ttl.
func NewMemo(capacity int, ttl time.Duration) *Memo {
	return &Memo{capacity: capacity, ttl: ttl, entries: map[memoKey]*list.Element{}, order: list.New()}
}

// of is the part of the memo that one user key sees.
func (m *Memo) of(user string) userMemo { return userMemo{m, user} }

type userMemo struct {
	memo *Memo
	user string
}

func (u userMemo) Signature(call string) (string, bool) {
	m := u.memo
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[memoKey{u.user, call}]
	if !ok {
		return "", false
	}
	entry := e.Value.(*memoEntry)
	if time.Now().After(entry.expires) {
		m.drop(e)
		return "", false
	}
	m.order.MoveToFront(e)
	return entry.signature, true
}

func (u userMemo) Remember(call, signature string) {
	m := u.memo
	entry := &memoEntry{memoKey{u.user, call}, signature, time.Now().Add(m.ttl)}
	if entry.bytes() > m.capacity/4 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.entries[entry.memoKey]; ok {
		m.drop(old)
	}
	m.entries[entry.memoKey] = m.order.PushFront(entry)
	for m.size += entry.bytes(); m.size > m.capacity; {
		m.drop(m.order.Back())
	}
}

// drop removes an entry. m.mu is held.
func (m *Memo) drop(e *list.Element) {
	entry := m.order.Remove(e).(*memoEntry)
	delete(m.entries, entry.memoKey)
	m.size -= entry.bytes()
}

// bytes is about what an entry takes, map and list included.
func (e *memoEntry) bytes() int { return len(e.user) + len(e.call) + len(e.signature) + 200 }
