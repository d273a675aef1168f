// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

const (
	bufferSize = 4096 // records between two foldings; 2 MB
	flushEvery = 100 * time.Millisecond
	readAgain  = 5 * time.Second // after the store failed
	recentKept = 61              // closed minutes whose sums by name are in memory
)

// Options of a Ledger. The zero value is right for production, less the bodies.
type Options struct {
	Now func() time.Time // nil means time.Now
	// StoreFailed is called by Run: with the store's error when sums can no longer
	// be kept, and with nil when they can again. nil for nobody to tell.
	StoreFailed func(err error)
	Sealer      *store.Sealer // seals bodies in the log; nil keeps none
	Log         LogOptions
}

// Ledger adds up usage and keeps the [Log]. Safe for concurrent use.
type Ledger struct {
	store  store.Store
	now    func() time.Time
	failed func(error) // never nil
	log    *Log

	bufMu  sync.Mutex // held for the copy of a record, never longer
	buffer []Record
	spare  []Record // the other buffer, while nobody folds it

	mu      sync.Mutex                  // guards the sums below; never held during I/O
	minute  int64                       // the minute that runs, Unix minutes
	current *span                       // of it
	hour    *span                       // closed minutes of the hour that runs
	day     *span                       // closed hours of the day that runs
	sum     *span                       // closed hours since the beginning
	closed  [tierTotal]map[int64][]byte // encoded spans that are over, by their number
	names   names
	past    pastNames
	recent  map[int64]*nameBlobs
	seq     uint64    // number in the log of the row that is added up next
	closing []closing // what is over and not yet so in the store
	saved   mark      // in the store
	live    live
	feeds   map[*Feed]struct{}

	daySums [dimensions]daySums

	flushMu sync.Mutex // one flush at a time
}

// Log returns the log of requests.
func (l *Ledger) Log() *Log { return l.log }

// Add takes one record. It waits for no I/O: the record is copied into a buffer
// and added up later. Without [Ledger.Run], or when it falls behind by a whole
// buffer, Add does the adding up.
func (l *Ledger) Add(r Record) {
	if r.At.IsZero() {
		r.At = l.now()
	}
	for {
		l.bufMu.Lock()
		if len(l.buffer) < bufferSize {
			l.buffer = append(l.buffer, r)
			l.bufMu.Unlock()
			return
		}
		l.bufMu.Unlock()
		l.mu.Lock()
		l.fold()
		l.mu.Unlock()
	}
}

// fold adds up what is in the buffer and gives it to the log. The caller holds mu.
func (l *Ledger) fold() {
	l.bufMu.Lock()
	full := l.buffer
	if len(full) == 0 {
		l.bufMu.Unlock()
		return
	}
	l.buffer = l.spare[:0]
	l.spare = nil
	l.bufMu.Unlock()
	// As the log keeps it, so that a start which reads it there adds up the same.
	taken := l.log.append(full)
	for i := range full {
		r := &full[i]
		n := l.record(r)
		if i < taken {
			l.seq++
		}
		l.live.record(r, &n)
		for f := range l.feeds {
			f.offer(r)
		}
	}
	clear(full) // let go of the strings
	l.bufMu.Lock()
	l.spare = full[:0]
	l.bufMu.Unlock()
}

// record adds one request to the running minute. A minute that is over is never
// opened again: a record that comes late counts as of now.
func (l *Ledger) record(r *Record) Counts {
	l.turn(r.At.Unix() / 60)
	n := r.counts()
	l.current.record(r, &n)
	l.names.record(r, &n)
	return n
}

// refresh adds up what came in and closes what is over. The caller holds mu.
func (l *Ledger) refresh() {
	l.fold()
	l.turn(l.now().Unix() / 60)
}

// turn closes the running minute, and hour and day, if a later one has begun.
func (l *Ledger) turn(minute int64) {
	if minute <= l.minute {
		return
	}
	c := closing{mark: l.saved}
	if len(l.closing) > 0 {
		c.mark = l.closing[len(l.closing)-1].mark
	}
	l.closeMinute(&c)
	if minute/60 > l.minute/60 {
		l.closeHour(&c, minute/60)
	}
	if minute/1440 > l.minute/1440 {
		// The day's sums need its hours. That they are not there by now happens to a
		// start at midnight: see restore. An error leaves them out of the day.
		if !l.past.joined.Load() {
			_ = l.readPast()
			l.joinPast()
		}
		l.closeDay(&c)
	}
	if len(c.ops) > 0 {
		c.mark.seq = l.seq
		l.closing = append(l.closing, c)
	}
	l.minute = minute
	l.forget()
}

func (l *Ledger) closeMinute(c *closing) {
	if l.current.all.Requests == 0 {
		return
	}
	data := l.current.encode()
	l.closed[minutes][l.minute] = data
	blobs := l.names.closeMinute()
	l.recent[l.minute] = blobs
	c.span(minutes, l.minute, data, blobs, 0) // until the hour has it
	c.mark.minute = l.minute
	l.hour.merge(l.current)
	l.current = newSpan()
}

func (l *Ledger) closeHour(c *closing, next int64) {
	hour := l.minute / 60
	blobs := l.names.closeHour(hour, next) // also without requests: it forgets
	if l.hour.all.Requests == 0 {
		return
	}
	data := l.hour.encode()
	l.closed[hours][hour] = data
	c.span(hours, hour, data, blobs, tiers[hours].lifetime())
	for m := hour * 60; m < hour*60+60; m++ {
		if data := l.closed[minutes][m]; data != nil {
			c.span(minutes, m, data, l.recent[m], tiers[minutes].lifetime())
		}
	}
	c.mark.hour = hour
	l.day.merge(l.hour)
	l.sum.merge(l.hour)
	l.hour = newSpan()
	c.sum(l.sum, &l.names)
}

func (l *Ledger) closeDay(c *closing) {
	if l.day.all.Requests == 0 {
		return
	}
	day := l.minute / 1440
	data := l.day.encode()
	l.closed[days][day] = data
	c.span(days, day, data, l.names.closeDay(), tiers[days].lifetime())
	c.mark.day = day
	l.day = newSpan()
}

// forget drops what is older than what is kept.
func (l *Ledger) forget() {
	for t, spans := range l.closed {
		oldest := l.minute*60/tiers[t].unit - tiers[t].kept
		if t == minutes && l.minute%10 != 0 { // often enough
			continue
		}
		for at := range spans {
			if at < oldest {
				delete(spans, at)
			}
		}
	}
	for m := range l.recent {
		if m < l.minute-recentKept {
			delete(l.recent, m)
		}
	}
}
