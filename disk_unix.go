// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin || freebsd

package geminibalance

import "syscall"

// diskSpace is what is free to us and what there is of the file system of a
// directory, in bytes.
func diskSpace(dir string) (free, all uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	size := uint64(s.Bsize)                              //nolint:gosec,unconvert // its type differs
	return uint64(s.Bavail) * size, s.Blocks * size, nil //nolint:gosec,unconvert // its type differs
}
