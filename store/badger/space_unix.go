// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin || freebsd

package badger

import (
	"os"
	"syscall"
)

// freeSpace is what this process may still take on the disk of a directory.
func freeSpace(dir string) (bytes int64, known bool) {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true //nolint:gosec,unconvert // their types differ
}

// allocated is what a file takes on the disk, without its holes.
func allocated(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Blocks * 512
	}
	return info.Size()
}
