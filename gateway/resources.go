// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"container/list"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

const (
	resourcePrefix  = "resources/"
	maxResourceName = 256     // bytes
	maxResource     = 4 << 10 // bytes of a record
	maxResources    = 10_000  // of one user key and kind
)

// Resources remembers what was made at Google and only its project can use: which
// project that is, and which user key it belongs to. A resource of another user
// does not exist. Records are sealed, outlive the process, and end with what they
// stand for. Safe for concurrent use.
// Source: specs/native-anthropic.md A.2 and A.3.
type Resources struct {
	store  store.Store
	sealer *store.Sealer

	updates sync.Mutex // held from reading a record until it is written again

	mu       sync.Mutex
	changes  uint64 // puts and removes, so that no read overtakes one
	capacity int
	entries  map[resourceKey]*list.Element
	order    *list.List // of *resourceEntry, most recently used first
}

type resourceKey struct{ user, name string }

type resourceEntry struct {
	resourceKey
	resource
}

// NewResources returns one that keeps records in s and up to capacity of them in
// memory as well; 0 means 4096.
func NewResources(s store.Store, sealer *store.Sealer, capacity int) *Resources {
	return &Resources{
		store: s, sealer: sealer, capacity: cmp.Or(capacity, 4096),
		entries: map[resourceKey]*list.Element{}, order: list.New(),
	}
}

// resource is a record of something that a project made.
type resource struct {
	Name    string           `json:"name"` // Google's: "files/abc", "cachedContents/abc"
	Bound   balancer.Binding `json:"bound"`
	Created time.Time        `json:"created"`
	Expires time.Time        `json:"expires,omitzero"`  // zero for what stays until it is deleted
	File    *fileRecord      `json:"file,omitempty"`    // nil for other kinds
	Owner   string           `json:"owner,omitempty"`   // user key, of what is kept under no user; see liveOwner
	Charged *int64           `json:"charged,omitempty"` // tokens that its user was charged for until its usage is known; nil when that is booked
	// ChargedCost is the same in nano-USD, where Charged is set, and ChargedAt when.
	Model       string    `json:"model,omitempty"` // of a file of results that nobody was charged for yet
	ChargedCost int64     `json:"charged_cost,omitempty"`
	ChargedAt   time.Time `json:"charged_at,omitzero"`
}

// fileRecord is what a file's endpoints tell without asking Google.
type fileRecord struct {
	Filename string           `json:"filename"`
	Purpose  string           `json:"purpose,omitempty"` // OpenAI's
	URI      string           `json:"uri"`
	MIMEType string           `json:"mime_type"`
	Size     int64            `json:"size"`
	State    gemini.FileState `json:"state"`
	Error    string           `json:"error,omitempty"`
}

func (r *resource) expired(now time.Time) bool { return !r.Expires.IsZero() && !now.Before(r.Expires) }

// errNoResource is for a name that is unknown, expired, or another user's.
var errNoResource = errors.New("no such resource")

func resourceAt(user, name string) string { return resourcePrefix + user + "/" + name }

// put keeps a record, on disk before it returns where sync is set. A client must
// not hear of a resource before that.
func (r *Resources) put(user string, res resource, sync bool) error {
	value, err := json.Marshal(res)
	if err != nil {
		return err
	}
	if len(res.Name) > maxResourceName || len(value) > maxResource {
		return errors.New("the record of a resource is too large")
	}
	key := resourceAt(user, res.Name)
	op := store.Op{Key: key, Value: r.sealer.Seal(key, value)}
	if !res.Expires.IsZero() {
		op.TTL = max(time.Until(res.Expires), time.Second)
	}
	if err := r.store.Write(store.Batch{Sync: sync, Ops: []store.Op{op}}); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	r.remember(resourceKey{user, res.Name}, res)
	return nil
}

// get finds a user's resource. Its error is errNoResource, or the store's.
func (r *Resources) get(user, name string) (resource, error) {
	if len(name) > maxResourceName {
		return resource{}, errNoResource
	}
	k := resourceKey{user, name}
	if res, ok := r.remembered(k); ok {
		return res, nil
	}
	r.mu.Lock()
	changes := r.changes
	r.mu.Unlock()
	sealed, err := r.store.Get(resourceAt(user, name))
	if errors.Is(err, store.ErrNotFound) {
		return resource{}, errNoResource
	}
	if err != nil {
		return resource{}, err
	}
	res, ok := r.open(resourceAt(user, name), sealed)
	if !ok {
		return resource{}, errNoResource
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if changes == r.changes {
		r.remember(k, res)
	}
	return res, nil
}

// update changes a record, unless edit reports that there is nothing to change, and
// does not wait for the disk. edit sees what all updates before have made. Errors are
// those of get and put.
func (r *Resources) update(user, name string, edit func(*resource) (changed bool)) error {
	r.updates.Lock()
	defer r.updates.Unlock()
	res, err := r.get(user, name)
	if err != nil || !edit(&res) {
		return err
	}
	return r.put(user, res, false)
}

// open reads a record. One that does not open, or has ended, is none.
func (r *Resources) open(key string, sealed []byte) (res resource, ok bool) {
	value, err := r.sealer.Open(key, sealed)
	if err != nil || json.Unmarshal(value, &res) != nil {
		return resource{}, false
	}
	return res, !res.expired(time.Now())
}

// remove forgets a resource.
func (r *Resources) remove(user, name string) error {
	err := r.store.Write(store.Batch{Sync: true, Ops: []store.Op{{Key: resourceAt(user, name)}}})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	if e, ok := r.entries[resourceKey{user, name}]; ok {
		r.drop(e)
	}
	return err
}

// list returns a user's resources of a kind ("files/"), in order of their names.
func (r *Resources) list(user, kind string) (all []resource, err error) {
	err = r.store.Scan(resourceAt(user, kind), "", func(key string, sealed []byte) bool {
		if res, ok := r.open(key, sealed); ok {
			all = append(all, res)
		}
		return len(all) < maxResources
	})
	return all, err
}

func (r *Resources) remembered(k resourceKey) (resource, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.entries[k]
	if !ok {
		return resource{}, false
	}
	entry := e.Value.(*resourceEntry)
	if entry.expired(time.Now()) {
		r.drop(e)
		return resource{}, false
	}
	r.order.MoveToFront(e)
	return entry.resource, true
}

// remember caches a record. r.mu is held.
func (r *Resources) remember(k resourceKey, res resource) {
	if e, ok := r.entries[k]; ok {
		r.drop(e)
	}
	r.entries[k] = r.order.PushFront(&resourceEntry{k, res})
	for len(r.entries) > r.capacity {
		r.drop(r.order.Back())
	}
}

// drop removes an entry. r.mu is held.
func (r *Resources) drop(e *list.Element) {
	delete(r.entries, r.order.Remove(e).(*resourceEntry).resourceKey)
}

// storeFailed is what a client is told when records cannot be read or written.
func storeFailed(what string) *translate.Failure {
	return &translate.Failure{Kind: translate.Internal, Message: what + ": the gateway's store failed. Try again."}
}
