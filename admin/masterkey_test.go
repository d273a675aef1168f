// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// TestMasterKey_Rotate: a job that tells how far it is, what to do where it fails, and
// that no backup is made meanwhile.
func TestMasterKey_Rotate(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, `"state":"done","done":2,"total":2,"counts":{"resealed":2}`},
		{store.ErrRotating, "since the start"},
		{ErrRestorePending, "DELETE /admin/restore"},
		{fmt.Errorf("/secret/place: %w", store.ErrMasterKey), "master.key cannot be replaced"},
	} {
		f.rotation = c.err
		w := f.admin("POST", "/admin/master-key/rotate", "")
		if w.Code != 202 || !strings.HasPrefix(w.Header().Get("Location"), "/admin/jobs/job_") {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		f.state.jobs.workers.Wait()
		job := f.admin("GET", w.Header().Get("Location"), "").Body.String()
		if !strings.Contains(job, c.want) || strings.Contains(job, "/secret/place") {
			t.Errorf("%v: %s", c.err, job)
		}
		backup := f.admin("POST", "/admin/backup", "")
		if want := map[bool]int{true: 200, false: 409}[c.err == nil]; backup.Code != want {
			t.Errorf("%v: a backup is answered with %d", c.err, backup.Code)
		}
	}
	if err := restoreProblem(fmt.Errorf("staging: %w", store.ErrRotating)); asProblem(err).Code != "rotating" {
		t.Errorf("%v", err)
	}
	f.config.System.RotateMasterKey = nil
	f.Handler = New(f.config)
	if w := f.admin("POST", "/admin/master-key/rotate", ""); w.Code != 409 || !strings.Contains(w.Body.String(), `"locked"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
