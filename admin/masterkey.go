// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// rotateMasterKey replaces the key that seals what is kept, while requests go on. It is a
// job; one that ends before its time is gone on with by the next call, or the next start.
func (a *api) rotateMasterKey(c *call) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	if a.System.RotateMasterKey == nil {
		return 0, nil, problem(http.StatusConflict, "locked", "The master key is not made by the gateway: it is set in the Caddyfile (master_key), or ends with the process. In the Caddyfile, write the new one and behind it the old one, and reload: everything is sealed anew then, and the log says when the old one can be taken out.")
	}
	return a.jobs.start(c, jobSpec{kind: "master_key", name: "Replacing the master key", exclusive: true}, func(ctx context.Context, j *job) error {
		looked := 0
		resealed, err := a.System.RotateMasterKey(ctx, func(done, total int) {
			j.expect(total)
			j.done(max(done-looked, 0))
			looked = max(done, looked)
		})
		j.count("resealed", resealed)
		switch {
		case errors.Is(err, store.ErrRotating):
			return errors.New("it is being replaced already, since the start: wait until the log says that it is done")
		case errors.Is(err, ErrRestorePending):
			return errors.New("a restore waits for the next start, which would not open what is sealed in it: restart, or take it back with DELETE /admin/restore, then try again")
		case errors.Is(err, store.ErrMasterKey):
			return errors.New("the file master.key cannot be replaced: see that the gateway may write it and that it holds the key in use")
		}
		return err
	})
}

func (a *api) rotating() bool { return a.System.Rotating != nil && a.System.Rotating() }

func errRotating() error {
	return problem(http.StatusConflict, "rotating", "The master key is being replaced, so that a backup would need two. Try again when the job has ended; where one was cancelled, POST /admin/master-key/rotate goes on with it.")
}
