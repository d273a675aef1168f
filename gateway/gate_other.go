// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package gateway

import "time"

// processorTime is what this process has used of processors: not known here.
func processorTime() (used time.Duration, known bool) { return 0, false }

// openFiles is how many files the process may open: not known here.
func openFiles() int64 { return 0 }
