// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// TestProblem_FullDisk: a full disk is told as what it is, whoever met it.
func TestProblem_FullDisk(t *testing.T) {
	for _, err := range []error{
		fmt.Errorf("writing to the store: %w", store.ErrFull),
		fmt.Errorf("staging the backup: %w", syscall.ENOSPC),
	} {
		if p := asProblem(err); p.Status != http.StatusInsufficientStorage || p.Code != "disk_full" {
			t.Errorf("%v: %d %s", err, p.Status, p.Code)
		}
	}
}
