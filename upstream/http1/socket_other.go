// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package http1

import (
	"net"
	"syscall"
)

// Supported is false where kept connections cannot be asked if they are still good.
const Supported = false

type socket struct{ raw syscall.RawConn }

func (*socket) use(net.Conn) {}

func (*socket) silent() bool { return false }

func (*socket) now([]byte) int { return 0 }
