// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gemini-balance/caddy-gemini-balance/admin"
	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/fetch"
	"github.com/gemini-balance/caddy-gemini-balance/gateway"
	"github.com/gemini-balance/caddy-gemini-balance/probe"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

var (
	// resources holds the open stores by what they are, not by how they are
	// configured, so that no configuration opens one twice.
	resources = caddy.NewUsagePool()

	// lifetimes is held while Apps come and go. UsagePool forgets a resource
	// before it closes it, so opening must not overlap with closing.
	lifetimes sync.Mutex

	// started are the Apps between Start and Cleanup, oldest first. The last one
	// of a resource says which keys and settings are declared there.
	started []*App

	// newest is the last of started: what metrics are about.
	newest atomic.Pointer[App]
)

// resource is an open store and everything that must survive a reload.
type resource struct {
	identity string
	store    store.Store
	sealer   *store.Sealer
	// forgetful says that the master key ends with the process.
	forgetful bool
	keyFile   atomic.Pointer[string] // of the master key; "" where it comes from the configuration
	rotating  sync.Mutex             // held while everything is sealed anew, and while a restore is put ready
	pool      *balancer.Pool
	users     *users.Registry
	usage     *usage.Ledger
	admin     *admin.State
	settings  *settings.Store // nil before the first declare
	aliases   *settings.Aliases
	perModel  *settings.PerModel
	hits      *gateway.Hits
	guests    *gateway.Guests
	catalog   *gateway.Catalog
	memo      *gateway.Memo
	kept      *gateway.Conversations
	bound     *gateway.Resources
	fetch     *fetch.Fetcher
	models    modelNames
	open      *gateway.Open
	events    *events
	forecast  forecasts
	// storeFailing is 1 for the parts of the store that cannot be written.
	storeFailing [len(partWords)]atomic.Int32

	reporter atomic.Pointer[App] // hears of state changes; nil while none is started
	ruling   sync.Mutex
	rules    []balancer.LimitRule // of the configuration in force. Guarded by ruling
	prober   *probe.Prober
	unprobe  context.CancelFunc // ends its Run. Guarded by lifetimes
	probed   chan struct{}      // closed when that has ended; nil before the first. Guarded by lifetimes
	stop     context.CancelFunc
	resume   func() // goes on with replacing the master key, if that is under way
	loops    sync.WaitGroup
	flushed  [3]error // of the loops' last flushes; to be read when loops are done
}

// acquire returns the resource of a backend, which release must be called for.
// The caller holds lifetimes.
func acquire(backend storeBackend, masterKey []byte) (*resource, error) {
	identity, err := backend.identity()
	if err != nil {
		return nil, err
	}
	value, loaded, err := resources.LoadOrNew(identity, func() (caddy.Destructor, error) {
		return openResource(identity, backend, masterKey)
	})
	if err != nil {
		return nil, err
	}
	r := value.(*resource)
	if !loaded || masterKey == nil && backend.masterKeyFile() == "" {
		return r, nil
	}
	// It was opened with another configuration's master key, and this one's must
	// open it after the next restart.
	next, err := store.LoadMasterKey(r.store, masterKey, backend.masterKeyFile())
	if err != nil {
		_, closing := resources.Delete(identity)
		return nil, errors.Join(err, closing)
	}
	r.keyFile.Store(fileUnless(masterKey, backend))
	if next.Rotating() && !r.sealer.Rotating() {
		r.sealer.Adopt(next)
		r.resume()
	}
	return r, nil
}

// openResource opens the store and what is kept in it.
func openResource(identity string, backend storeBackend, masterKey []byte) (r *resource, err error) {
	db, err := backend.open()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if dir := backend.masterKeyFile(); dir != "" {
		if restored, err := applyRestore(db, filepath.Dir(dir)); err != nil {
			return nil, err
		} else if restored {
			caddy.Log().Named("gemini_balance").Info("restored a backup", zap.String("store", identity))
		}
	}
	forgetful := masterKey == nil && backend.masterKeyFile() == ""
	if forgetful {
		// Sealed for as long as the process lives.
		masterKey = make([]byte, store.MasterKeySize)
		rand.Read(masterKey) //nolint:errcheck // never fails since Go 1.24
	}
	sealer, err := store.LoadMasterKey(db, masterKey, backend.masterKeyFile())
	if err != nil {
		return nil, err
	}
	r = &resource{identity: identity, store: db, sealer: sealer, forgetful: forgetful, memo: gateway.NewMemo(64<<20, 2*time.Hour), kept: gateway.NewConversations(db, sealer), bound: gateway.NewResources(db, sealer, 0), fetch: fetch.New(fetch.Options{}), hits: new(gateway.Hits), guests: new(gateway.Guests), catalog: new(gateway.Catalog), open: new(gateway.Open), events: newEvents()}
	r.keyFile.Store(fileUnless(masterKey, backend))
	if r.pool, err = balancer.Open(balancer.Options{Store: db, Sealer: sealer, Observer: r}); err != nil {
		return nil, err
	}
	r.prober, r.unprobe = probe.New(r.pool), func() {}
	if r.users, err = users.Open(db, users.Options{StoreFailed: r.storeFailed(partUsers)}); err != nil {
		return nil, err
	}
	if r.usage, err = usage.Open(db, usage.Options{StoreFailed: r.storeFailed(partUsage), Sealer: sealer}); err != nil {
		return nil, err
	}
	if r.aliases, err = settings.OpenAliases(db); err != nil {
		return nil, err
	}
	if r.perModel, err = settings.OpenPerModel(db); err != nil {
		return nil, err
	}
	r.perModel.Watch(func(map[string]settings.Model) { _ = r.limit() }) // all rules were checked
	if r.admin, err = admin.Open(db, sealer, admin.StateOptions{}); err != nil {
		return nil, err
	}
	r.models.learn(r.usage.Totals(time.Time{}))
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.resume = func() { r.loops.Go(func() { r.resumeRotation(ctx) }) }
	r.resume()
	go r.events.run(ctx, r.reporter.Load)
	r.loops.Go(func() { r.flushed[0] = r.pool.Run(ctx) })
	r.loops.Go(func() { r.flushed[1] = r.users.Run(ctx) })
	r.loops.Go(func() { r.flushed[2] = r.usage.Run(ctx) })
	return r, nil
}

// Destruct implements caddy.Destructor: it ends the loops, which flush, and
// closes the store.
func (r *resource) Destruct() error {
	r.admin.Close() // its jobs change what the loops write
	r.stop()
	r.loops.Wait()
	return errors.Join(append(r.flushed[:], r.store.Close())...)
}

// release gives a resource back.
func (r *resource) release() error {
	lifetimes.Lock()
	defer lifetimes.Unlock()
	_, err := resources.Delete(r.identity)
	return err
}

// declare makes an App's configuration the one in force. The caller holds
// lifetimes.
func (r *resource) declare(a *App) error {
	patch, err := a.declaredSettings()
	if err != nil {
		return err
	}
	if r.settings == nil {
		if r.settings, err = settings.Open(r.store, patch); err != nil {
			r.settings = nil
			return err
		}
		r.settings.Watch(r.apply) // for as long as there is the resource
	} else if err := r.settings.Declare(patch); err != nil {
		return err
	}
	r.unprobe()
	r.ruling.Lock()
	r.rules = a.limitRules()
	r.ruling.Unlock()
	if err := r.limit(); err != nil {
		return fmt.Errorf("quotas: %w", err)
	}
	if err := r.pool.SetRoutes(a.proxies); err != nil {
		return err
	}
	r.pool.Declare(a.keys)
	r.reporter.Store(a)
	r.probe(a)
	return nil
}

// probe lets an App make the probes from now on, as soon as the one before has
// stopped, which unprobe must have told it to. They count as a request of the App,
// so that its client outlives them. The caller holds lifetimes.
func (r *resource) probe(a *App) {
	if !a.requests.enter() {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	before, done := r.probed, make(chan struct{})
	r.unprobe, r.probed, a.probed = cancel, done, done
	// Nobody waits for it with a lock held: it may be telling of a key, and who
	// hears of that may reload.
	go func() {
		if before != nil {
			<-before
		}
		r.prober.Run(ctx, a.upstream)
		a.requests.leave()
		close(done)
	}()
}

// enlist makes a the configuration in force of its resource.
func enlist(a *App) error {
	if err := a.shared.declare(a); err != nil {
		// Half of it may be in force: back to the one before.
		return errors.Join(err, a.shared.redeclare())
	}
	started = append(started, a)
	newest.Store(a)
	return nil
}

// delist undoes enlist. Where a was in force, because the load that brought it
// failed, the configuration before it comes back.
func delist(a *App) error {
	i := slices.Index(started, a)
	if i < 0 {
		return nil
	}
	started = slices.Delete(started, i, i+1)
	if len(started) == 0 {
		newest.Store(nil)
	} else {
		newest.Store(started[len(started)-1])
	}
	if a.shared.reporter.Load() != a {
		return nil
	}
	return a.shared.redeclare()
}

// redeclare puts the latest started App of the resource in force, if any.
func (r *resource) redeclare() error {
	for _, a := range slices.Backward(started) {
		if a.shared == r {
			return r.declare(a)
		}
	}
	r.unprobe()
	r.reporter.Store(nil)
	return nil
}

// drain counts requests and calls release once: when it was closed and the last
// request has left, or when it is forced. Safe for concurrent use. It is not a
// sync.WaitGroup, because requests may still enter while it waits.
type drain struct {
	release func()
	empty   chan struct{} // closed after release

	mu      sync.Mutex
	count   int
	closed  bool
	forced  bool
	through bool // release was called or is being called
}

func newDrain(release func()) *drain {
	return &drain{release: release, empty: make(chan struct{})}
}

// enter registers a request; it reports false once released.
func (d *drain) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.through {
		return false
	}
	d.count++
	return true
}

// leave ends what enter began.
func (d *drain) leave() {
	d.mu.Lock()
	d.count--
	d.finish()
}

// close says that no more requests are expected.
func (d *drain) close() {
	d.mu.Lock()
	d.closed = true
	d.finish()
}

// force releases although requests are under way.
func (d *drain) force() {
	d.mu.Lock()
	d.closed, d.forced = true, true
	d.finish()
}

// finish unlocks mu, and releases if it is time.
func (d *drain) finish() {
	now := d.closed && (d.count == 0 || d.forced) && !d.through
	d.through = d.through || now
	d.mu.Unlock()
	if now {
		d.release()
		close(d.empty)
	}
}
