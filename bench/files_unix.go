// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"fmt"
	"syscall"
)

// moreFiles lets this process, and those it starts, have as many files as n streams
// take: two connections, on either side of a gateway, and here its clients' and Google's.
func moreFiles(n int) error {
	want := uint64(2*n + 300)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur >= want {
		return err
	}
	limit.Cur, limit.Max = want, max(want, limit.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("%d streams take %d files: %w", n, want, err)
	}
	return nil
}
