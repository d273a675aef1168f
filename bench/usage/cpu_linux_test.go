// SPDX-License-Identifier: Apache-2.0

package usage_test

import (
	"syscall"
	"time"
)

// cpuTime is what this process has used of the processors: on a busy machine it says
// more than the time that passed.
func cpuTime() time.Duration { return used(syscall.RUSAGE_SELF) }

// threadTime is what this thread has, so without the writer and what runs behind.
func threadTime() time.Duration { return used(syscall.RUSAGE_THREAD) }

func used(who int) time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(who, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
