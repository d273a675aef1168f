// SPDX-License-Identifier: Apache-2.0

// Package allocs holds the hot path to its budget of allocations: budget.txt has what
// each case took when it was written last, and a case that takes more fails. Unlike
// time, that number is the same on every machine. After a change that is worth more,
// or saved some: go test ./bench/allocs -update.
//
// The race detector allocates by itself, so it does not build these.
package allocs
