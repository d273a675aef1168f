// SPDX-License-Identifier: Apache-2.0

//go:build unix

package usage_test

import (
	"syscall"
	"time"
)

// cpuTime is what this process has used of the processors: on a busy machine it says
// more than the time that passed.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
