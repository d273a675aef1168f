// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/gemini-balance/caddy-gemini-balance/admin"
	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// resealPause lets what was sealed just before a new master key came reach the store,
// before the last look for such values.
const resealPause = time.Second

// unmarshalMasterKey reads the key, and those that it replaces.
func (a *App) unmarshalMasterKey(d *caddyfile.Dispenser) error {
	var keys []string
	if err := list(&keys)(d); err != nil {
		return err
	}
	for _, key := range keys {
		if err := checkSecret(d, "master_key", key); err != nil {
			return err
		}
	}
	a.MasterKey, a.OldMasterKeys = keys[0], keys[1:]
	return nil
}

// provisionMasterKey resolves the key and those that it replaces.
func (a *App) provisionMasterKey() error {
	if a.MasterKey == "" {
		if len(a.OldMasterKeys) > 0 {
			return errors.New("old_master_keys are given without a master_key that replaces them")
		}
		return nil
	}
	var keys []string
	for _, key := range append([]string{a.MasterKey}, a.OldMasterKeys...) {
		secret, err := resolveSecret("master_key", key)
		if err != nil {
			return err
		}
		keys = append(keys, secret)
	}
	a.masterKey = []byte(strings.Join(keys, " "))
	return nil
}

// fileUnless is the file of the master key, unless the configuration gives that.
func fileUnless(masterKey []byte, backend storeBackend) *string {
	file := ""
	if masterKey == nil {
		file = backend.masterKeyFile()
	}
	return &file
}

// rotateMasterKey makes another master key and seals everything anew with it, while
// requests go on. Where it ends before that, the next start goes on with it.
func (r *resource) rotateMasterKey(ctx context.Context, progress func(done, total int)) (resealed int, err error) {
	if !r.rotating.TryLock() {
		return 0, store.ErrRotating
	}
	defer r.rotating.Unlock()
	if !r.sealer.Rotating() { // else an earlier call was ended before it was through
		if _, err := os.Stat(filepath.Join(filepath.Dir(*r.keyFile.Load()), restoreFile)); err == nil {
			return 0, admin.ErrRestorePending
		}
		if err := store.BeginRotation(r.store, r.sealer, *r.keyFile.Load()); err != nil {
			return 0, err
		}
	}
	return r.reseal(ctx, progress)
}

// resumeRotation goes on with what an earlier process began, or with what the
// configuration asks for by two keys.
func (r *resource) resumeRotation(ctx context.Context) {
	r.rotating.Lock()
	defer r.rotating.Unlock()
	if !r.sealer.Rotating() {
		return
	}
	n, err := r.reseal(ctx, func(int, int) {})
	a := r.reporter.Load()
	switch {
	case a == nil || errors.Is(err, context.Canceled):
	case err != nil:
		a.logger.Error("sealing with the new master key goes on at the next start", zap.Error(err))
	case *r.keyFile.Load() == "":
		a.logger.Info("everything is sealed with the first key of master_key; take the others out of the configuration", zap.Int("sealed_anew", n))
	default:
		a.logger.Info("everything is sealed with the new master key", zap.Int("sealed_anew", n))
	}
}

// reseal seals with the new key until nothing is left, and forgets the old one. The
// caller holds rotating.
func (r *resource) reseal(ctx context.Context, progress func(done, total int)) (resealed int, err error) {
	for last := false; ; {
		n, err := r.pool.Reseal(ctx, progress)
		resealed += n
		if err != nil {
			return resealed, err
		}
		others, err := store.Reseal(ctx, r.store, r.sealer)
		resealed += others
		if err != nil {
			return resealed, err
		}
		if last && n+others == 0 {
			return resealed, store.EndRotation(r.store, r.sealer, *r.keyFile.Load())
		}
		last = n+others == 0
		timer := time.NewTimer(resealPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return resealed, ctx.Err()
		}
	}
}

// rotation is what the admin API is given to replace the master key; nil where it
// comes from the configuration, or from nowhere.
func (a *App) rotation() func(context.Context, func(done, total int)) (int, error) {
	if a.shared.forgetful || *a.shared.keyFile.Load() == "" {
		return nil
	}
	return a.shared.rotateMasterKey
}
