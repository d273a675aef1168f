// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"errors"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// exitDrain is how long an exiting process waits for requests that outlived
// Caddy's grace period, before their store is closed under them.
const exitDrain = 5 * time.Second

// processStarted is what uptime is counted from.
var processStarted = time.Now()

// Start opens the store, unless the configuration before has it open, and then
// what the handlers need. Requests that came before wait for the end of it.
//
// Caddy calls Cleanup after a failed Start, so what was taken is given back there.
func (a *App) Start() error {
	lifetimes.Lock()
	defer lifetimes.Unlock()
	shared, err := acquire(a.backend, a.masterKey)
	if err != nil {
		return err
	}
	a.shared = shared
	a.requests = newDrain(a.release)
	a.upstream, err = upstream.New(upstream.Config{
		BaseURL: a.Upstream, UserAgent: "caddy-gemini-balance/" + version(),
		HTTP2: a.UpstreamHTTP2 != nil && *a.UpstreamHTTP2,
	})
	if err != nil {
		return err
	}
	if a.wantsAdminKey {
		if err := a.provideAdminKey(); err != nil {
			return err
		}
	}
	if err := enlist(a); err != nil {
		return err
	}
	a.unwatch = shared.settings.Watch(func(v *settings.Values) { a.upstream.SetConnect(v.Timeouts.Connect) })
	for _, start := range a.starters {
		if err := start(); err != nil {
			return err
		}
	}
	stats := shared.pool.Stats()
	a.logger.Info("started", zap.String("store", shared.identity), zap.Int("gemini_keys", stats.Keys), zap.Int("usable", stats.Usable))
	if stats.Keys == 0 {
		a.logger.Warn("there is no Gemini key yet; add some with POST /admin/keys/gemini, or configure them with key or keys_file")
	}
	close(a.ready)
	return nil
}

// provideAdminKey reads the generated admin key, which the first start makes.
func (a *App) provideAdminKey() error {
	file := filepath.Join(a.backend.dir(), "admin.key")
	hash, made, err := generatedAdminKey(file)
	if err != nil {
		return err
	}
	a.shared.admin.SetAdminKey(hash)
	if made {
		a.logger.Info("made an admin key, because admin_key is not configured", zap.String("file", file))
		// Not the key: this is worth nothing once the key was used, or in half an hour.
		a.logger.Info("instead of reading that file, open /admin/ui/ and give it this setup token; it works once, for 30 minutes",
			zap.String("setup_token", a.shared.admin.OfferSetup()))
	} else {
		a.logger.Info("the admin key is that of a file, because admin_key is not configured", zap.String("file", file))
	}
	return nil
}

// replaceAdminKey keeps a new admin key in place of the generated one.
func (a *App) replaceAdminKey(secret string) error {
	return replaceSecretFile(filepath.Join(a.backend.dir(), "admin.key"), []byte(secret))
}

// Stop does nothing: requests of this configuration still run, and on a reload
// they may for hours. Cleanup gives back what they need, once they left.
func (a *App) Stop() error { return nil }

// Cleanup gives the store back as soon as the last request has left. When the
// process exits it waits for that, but not for ever.
func (a *App) Cleanup() error {
	if a.shared == nil {
		return nil // never started
	}
	lifetimes.Lock()
	err := delist(a)
	probed := a.probed
	lifetimes.Unlock()
	if probed != nil {
		a.await(probed, "probes of Gemini keys are")
	}
	before := a.closeSessions()
	a.requests.close()
	if !caddy.Exiting() {
		return err
	}
	a.stopRequests() // Caddy has waited for its grace_period
	for _, other := range before {
		other.stopRequests()
		other.await(other.requests.empty, "requests of an earlier configuration are")
	}
	if !a.await(a.requests.empty, "requests are") {
		a.requests.force()
	}
	return err
}

// stopRequests ends the requests that still run, so that their clients hear of it and
// what they have used is booked.
func (a *App) stopRequests() {
	for _, h := range a.handlers {
		if h.gateway != nil {
			h.gateway.Stop()
		}
	}
}

// await waits until what still runs has ended, but not for ever, and reports
// whether it did.
func (a *App) await(end <-chan struct{}, what string) bool {
	timer := time.NewTimer(exitDrain)
	defer timer.Stop()
	select {
	case <-end:
		return true
	case <-timer.C:
		a.logger.Warn("going on although "+what+" still running", zap.Duration("waited", exitDrain))
		return false
	}
}

// release is called once, when nothing uses this App any more.
func (a *App) release() {
	a.closedSessions()
	if a.unwatch != nil {
		a.unwatch()
	}
	if a.upstream != nil {
		a.upstream.Close()
	}
	if err := a.shared.release(); err != nil {
		a.logger.Error("closing the store", zap.Error(err))
	}
}

// errNotServing means that a configuration is on its way out.
var errNotServing = errors.New("this configuration is not served any more")

// enter registers a request, for which leave must be called, and waits until the
// App is started.
func (a *App) enter(ctx context.Context) error {
	select {
	case <-a.ready:
	default:
		// The server may listen before this App has started.
		select {
		case <-a.ready:
		case <-a.ctx.Done():
			return errNotServing // it never will
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !a.requests.enter() {
		return errNotServing
	}
	return nil
}

// leave ends what enter began.
func (a *App) leave() { a.requests.leave() }

// version is that of this module, as Go knows it.
func version() string {
	const path = "github.com/gemini-balance/caddy-gemini-balance"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if info.Main.Path == path && info.Main.Version != "" {
		return info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == path {
			return dep.Version
		}
	}
	return "(devel)"
}
