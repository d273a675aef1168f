// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"
	"strconv"
)

// restore reads what is kept, and makes the running minute, hour and day again.
func (l *Ledger) restore() error {
	data, err := get(l.store, markKey)
	if err != nil {
		return err
	}
	if data != nil {
		if l.saved, err = decodeMark(data); err != nil {
			return fmt.Errorf("%s %w", markKey, err)
		}
	}
	l.minute, l.seq = l.saved.minute, l.saved.seq // without a mark everything is in the log
	err = l.restoreSum()
	for _, read := range [...]func() error{l.restoreSpans, l.restoreNames, l.restorePast, l.replay} {
		if err == nil {
			err = read()
		}
	}
	return err
}

func (l *Ledger) restoreSum() error {
	data, err := get(l.store, sumKey)
	if err != nil || data == nil { // no hour is over
		return err
	}
	if err := l.sum.mergeFrom(data); err != nil {
		return fmt.Errorf("%s %w", sumKey, err)
	}
	for d := range l.names.sums {
		key := sumNamesKey + strconv.Itoa(d)
		data, err := get(l.store, key)
		if err != nil {
			return err
		}
		if err := eachName(data, func(name string, c *Counts) { l.names.sums[d].add(name, c, maxSumNames) }); err != nil {
			return fmt.Errorf("%s %w", key, err)
		}
	}
	return nil
}

// last returns the last closed span of a tier, and whether a span of it is part of
// what runs in the tier above.
func (m mark) last(tier int) int64 { return [...]int64{m.minute, m.hour, m.day}[tier] }

func (m mark) runs(tier int, at int64) bool {
	switch tier {
	case minutes:
		return at/60 > m.hour
	case hours:
		return at/24 > m.day
	}
	return false
}

func (l *Ledger) restoreSpans() error {
	for t := range tiers {
		running := [tierTotal]*span{minutes: l.hour, hours: l.day}[t]
		after := spanKey(t, max(0, l.minute*60/tiers[t].unit-tiers[t].kept-1))
		err := scan(l.store, tiers[t].prefix, after, func(key string, data []byte) error {
			at, err := strconv.ParseInt(key[len(tiers[t].prefix):], 10, 64)
			if err != nil {
				return errDamaged
			}
			if at > l.saved.last(t) {
				return nil
			}
			l.closed[t][at] = data
			if l.saved.runs(t, at) {
				return running.mergeFrom(data)
			}
			return newSpan().mergeFrom(data) // damage shows now, not in the middle of a day
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// restoreNames reads the sums by name of the last hour.
func (l *Ledger) restoreNames() error {
	from := namePrefix(minutes, max(0, l.minute-recentKept))
	return scan(l.store, from[:len("usage/n/m/")], from, func(key string, data []byte) error {
		at, d, shard, err := nameKeyParts(key)
		if err != nil || at > l.saved.minute {
			return err
		}
		if l.recent[at] == nil {
			l.recent[at] = new(nameBlobs)
		}
		l.recent[at][d][shard] = data
		if !l.saved.runs(minutes, at) {
			return nil
		}
		return eachName(data, func(name string, c *Counts) { l.names.cell(d, name).hour.add(c) })
	})
}

// restorePast says which hours are there to be read, and reads them where the day
// that they are of is over: it is about to be closed.
func (l *Ledger) restorePast() error {
	hour := l.minute / 60
	l.past.from, l.past.until, l.past.mark = max(0, hour-dayHours), l.saved.hour, l.saved
	if l.now().Unix()/86_400 <= l.minute/1440 {
		return nil
	}
	err := l.readPast()
	l.joinPast()
	return err
}

// replay adds up the rows of the log that are in no closed minute.
func (l *Ledger) replay() error {
	g := l.log
	g.mu.Lock()
	if len(g.tail) == 0 {
		g.first = max(g.first, l.seq) // after a loss of the log its numbers go on
		g.publish()
	}
	g.mu.Unlock()
	if l.minute > 0 {
		l.turn(l.minute + 1) // that of the mark is over
	}
	v := g.view.Load()
	for _, s := range v.blocks {
		if s.first+uint64(s.rows) <= l.saved.seq {
			continue
		}
		b := newRows()
		if there, err := g.block(s, b); err != nil || !there {
			return err
		}
		all, err := b.all()
		if err != nil {
			return err
		}
		l.again(s.first, all)
	}
	l.again(v.first, v.tail)
	l.seq = v.first + uint64(len(v.tail))
	return nil
}

// again adds up rows of the log, the first of which has a number.
func (l *Ledger) again(first uint64, rows []Record) {
	for i := range rows {
		if seq := first + uint64(i); seq >= l.saved.seq {
			l.seq = seq
			r := rows[i]
			l.record(&r)
			l.seq = seq + 1
		}
	}
}
