// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package http1

import "syscall"

// Supported is false where kept connections cannot be asked if they are still good.
const Supported = false

func silent(syscall.RawConn) bool { return false }
