// SPDX-License-Identifier: Apache-2.0

//go:build unix

package gateway

import (
	"math"
	"syscall"
	"time"
)

// processorTime is what this process has used of processors.
func processorTime() (used time.Duration, known bool) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}

// openFiles is how many files the process may open; 0 = not known.
func openFiles() int64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil || l.Cur > math.MaxInt32 {
		return 0
	}
	return int64(l.Cur) //nolint:gosec,unconvert // its type differs
}
