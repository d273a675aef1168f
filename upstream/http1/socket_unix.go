// SPDX-License-Identifier: Apache-2.0

//go:build unix

package http1

import (
	"net"
	"syscall"
)

// Supported is whether a kept connection can be asked if it is still good, without
// which none may be used again.
const Supported = true

// socket looks at a connection below all that buffers it.
type socket struct {
	raw  syscall.RawConn // nil for a connection that has no socket
	look func(fd uintptr)
	one  [1]byte
	room []byte // for what look reads
	n    int
	err  error
}

func (s *socket) use(c net.Conn) {
	has, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := has.SyscallConn(); err == nil {
		s.raw = raw
	}
	s.look = func(fd uintptr) { // made once, since every request needs it
		s.n, s.err = syscall.Read(int(fd), s.room) // Go's sockets do not block
	}
}

// silent reports whether the socket is open and has nothing to read.
func (s *socket) silent() bool {
	s.room = s.one[:]
	// A byte that is there ends the connection anyway.
	return s.raw.Control(s.look) == nil && s.err == syscall.EAGAIN //nolint:errorlint // a number
}

// now reads what there is without a wait, which may be nothing. Why there is no more
// the next read tells.
func (s *socket) now(p []byte) int {
	if s.raw == nil {
		return 0
	}
	s.room = p
	if s.raw.Control(s.look) != nil || s.err != nil {
		return 0
	}
	s.room = nil
	return s.n
}
