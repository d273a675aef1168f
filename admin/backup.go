// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"errors"
	"net/http"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// maxRestore bounds the file of a restore.
const maxRestore = 64 << 30

const backupType = "application/octet-stream"

// backup streams a consistent state of the store. Secrets stay sealed in it as they
// are on the disk: without the master key, which is not in it, it is of no use.
func (a *api) backup(c *call) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	if a.System.Backup == nil {
		return 0, nil, unavailable("This store cannot be backed up: its master key ends with the process, so nobody could open what is sealed in a backup. Set master_key in the Caddyfile and reload.")
	}
	if a.rotating() {
		return 0, nil, errRotating()
	}
	name := "gemini-balance-" + a.Now().UTC().Format("20060102T150405Z") + ".gbbackup"
	c.note("%s", name)
	return http.StatusOK, stream(func(w http.ResponseWriter) error {
		asFile(w.Header(), backupType, name)
		return a.System.Backup(c.Context(), w)
	}), nil
}

// restore checks a backup, and unless it is a dry run has it put in place of the
// store at the next start.
func (a *api) restore(c *call) (status int, body any, err error) {
	if a.System.Restore == nil {
		return 0, nil, unavailable("This store cannot be restored.")
	}
	q := queryReader{call: c}
	dryRun := q.word("dry_run", []string{"true", "false"}) == "true"
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	view, err := a.System.Restore(c.Context(), c.Body, dryRun)
	if err != nil {
		return 0, nil, restoreProblem(err)
	}
	c.silent = dryRun
	c.note("backup of %s with %d entries, dry run: %v", view.Made.UTC().Format("2006-01-02T15:04:05Z"), view.Entries, dryRun)
	if dryRun {
		return http.StatusOK, view, nil
	}
	return http.StatusAccepted, view, nil
}

func restoreProblem(err error) error {
	switch {
	case errors.Is(err, store.ErrRotating):
		return errRotating()
	case errors.Is(err, store.ErrMasterKey):
		return problem(http.StatusConflict, "other_master_key", "The backup was made with another master key, so nothing that is sealed in it could be opened. Start with that one as master_key on an empty store directory, then restore there; nothing was changed.")
	case errors.Is(err, store.ErrBackup):
		return problem(http.StatusBadRequest, "invalid_backup", "This is no whole backup of this gateway: "+err.Error()+". Nothing was changed.")
	}
	return err
}

// cancelRestore takes back a restore that waits for the next start.
func (a *api) cancelRestore(c *call) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	if a.System.CancelRestore == nil {
		return 0, nil, unavailable("This store cannot be restored.")
	}
	was, err := a.System.CancelRestore()
	if err != nil {
		return 0, nil, err
	}
	if !was {
		return 0, nil, problem(http.StatusNotFound, "not_found", "No restore waits for the next start.")
	}
	return http.StatusNoContent, nil, nil
}
