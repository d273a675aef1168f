// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"errors"
	"net"
	"os"
	"sync"
)

// gate stands between TLS and the network. TLS gives out one record per read, and
// reads from the network little more than the record it is at: events that arrived
// together would be passed on, and read, one by one. So gate reads further ahead when
// there is more, and can be shut, for TLS to give out what there is without a wait.
type gate struct {
	net.Conn
	socket *socket
	shut   bool
	more   bool // the last read filled all the room it had
	ahead  *ahead
}

// ahead is what was read and TLS has not asked for yet. Only while there is some, it
// takes memory.
type ahead struct {
	from, to int
	b        [16 << 10]byte
}

var aheads = sync.Pool{New: func() any { return new(ahead) }}

// Read implements [io.Reader].
func (g *gate) Read(p []byte) (n int, err error) {
	switch {
	case g.ahead != nil:
	case g.more && len(p) < len(g.ahead.b):
		if err = g.fill(); g.ahead == nil {
			return 0, err
		}
	case g.shut:
		return 0, errShut
	default:
		n, err = g.Conn.Read(p)
		g.more = n == len(p)
		return n, err
	}
	a := g.ahead
	n = copy(p, a.b[a.from:a.to])
	if a.from += n; a.from == a.to {
		g.ahead = nil
		aheads.Put(a)
	}
	return n, nil
}

// errShut is what TLS takes for no failure.
var errShut = os.ErrDeadlineExceeded

// fill reads ahead.
func (g *gate) fill() (err error) {
	a := aheads.Get().(*ahead)
	a.from = 0
	if g.shut {
		if a.to = g.socket.now(a.b[:]); a.to == 0 {
			err = errShut
		}
	} else if a.to, err = g.Conn.Read(a.b[:]); a.to > 0 {
		err = nil // it comes again
	}
	g.more = a.to == len(a.b)
	if a.to == 0 {
		aheads.Put(a)
		return err
	}
	g.ahead = a
	return nil
}

// read reads what there is, at least one byte.
func (c *conn) read(p []byte) (n int, err error) {
	n, err = c.net.Read(p)
	if c.gate == nil || err != nil {
		return n, err
	}
	c.gate.shut = true
	for n < len(p) && err == nil {
		var m int
		m, err = c.net.Read(p[n:])
		n += m
	}
	c.gate.shut = false
	return n, nil // an error but that of the gate comes again
}

// talkative reports whether TLS has something that was not asked for.
func (c *conn) talkative() bool {
	var one [1]byte
	c.gate.shut = true
	n, err := c.net.Read(one[:])
	c.gate.shut = false
	return n > 0 || !errors.Is(err, errShut)
}
