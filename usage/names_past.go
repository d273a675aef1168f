// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
)

// pastNames are the hours of the last day that were over at the start, by name. They
// are most of what there is to read, and nothing that comes in needs them: [Ledger.Run]
// reads them behind, or who asks for them before it has.
type pastNames struct {
	from, until int64 // hours
	mark        mark

	reading sync.Mutex                // held for the reading
	read    atomic.Pointer[nameCells] // what was read and is not yet joined
	joined  atomic.Bool
}

// nameCells are sums by name, by dimension.
type nameCells [dimensions]map[string]*nameCell

// readPast reads them, unless they are read. It does not need mu.
func (l *Ledger) readPast() error {
	p := &l.past
	p.reading.Lock()
	defer p.reading.Unlock()
	if p.joined.Load() || p.read.Load() != nil {
		return nil
	}
	var cells nameCells
	for d := range cells {
		cells[d] = map[string]*nameCell{}
	}
	from := namePrefix(hours, p.from)
	err := scan(l.store, from[:len("usage/n/m/")], from, func(key string, data []byte) error {
		at, d, _, err := nameKeyParts(key)
		if err != nil {
			return err
		}
		runs := p.mark.runs(hours, at)
		if at > p.until || !runs && !d.remembered() {
			return nil
		}
		return cells.addHour(d, at, data, runs)
	})
	if err != nil {
		return fmt.Errorf("reading the usage sums: %w", err)
	}
	p.read.Store(&cells)
	return nil
}

// addHour adds what a shard has of an hour; runs says that it is of the day that
// runs.
func (cells *nameCells) addHour(d Dimension, hour int64, data []byte, runs bool) error {
	in := &reader{rest: data}
	for len(in.rest) > 0 {
		name := in.take(in.uvarint())
		coded := in.rest
		n := readCounts(in)
		if in.damaged {
			return errDamaged
		}
		c := cells[d][string(name)]
		if c == nil {
			c = entry(cells[d], string(name), Other, maxNames)
		}
		if runs {
			c.day.add(&n)
		}
		if d.remembered() {
			c.past = append(binary.AppendVarint(c.past, hour), coded[:len(coded)-len(in.rest)]...)
			c.sum.add(&n)
		}
	}
	return nil
}

// joinPast makes them part of the sums, if they are read. The caller holds mu.
func (l *Ledger) joinPast() {
	cells := l.past.read.Load()
	if cells == nil {
		return
	}
	l.past.joined.Store(true) // before they are gone: else they would be read again
	l.past.read.Store(nil)
	for d := range cells {
		for name, c := range l.names.cells[d] {
			old := cells[d][name]
			if old == nil {
				cells[d][name] = c
				continue
			}
			old.hour = c.hour
			old.day.add(&c.day)
			old.sum.add(&c.sum)
			old.past = append(old.past, c.past...) // later hours
		}
	}
	l.names.cells = *cells
}

// lockWithPast locks mu when all hours of the last day are there.
func (l *Ledger) lockWithPast() error {
	if !l.past.joined.Load() {
		if err := l.readPast(); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.joinPast()
	return nil
}
