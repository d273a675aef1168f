// SPDX-License-Identifier: Apache-2.0

//go:build unix

package http1

import "syscall"

// Supported is whether a kept connection can be asked if it is still good, without
// which none may be used again.
const Supported = true

// silent reports whether a socket is open and has nothing to read.
func silent(s syscall.RawConn) (yes bool) {
	err := s.Control(func(fd uintptr) {
		var one [1]byte
		// Go's sockets do not block. A byte that is there ends the connection anyway.
		_, err := syscall.Read(int(fd), one[:])
		yes = err == syscall.EAGAIN //nolint:errorlint // a number
	})
	return yes && err == nil
}
