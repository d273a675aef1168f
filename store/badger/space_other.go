// SPDX-License-Identifier: Apache-2.0

//go:build !(linux || darwin || freebsd)

package badger

// freeSpace is not known here: the disk is not watched.
func freeSpace(string) (bytes int64, known bool) { return 0, false }

func allocated(string) int64 { return 0 }
