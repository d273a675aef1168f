// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"
)

// Where a key comes from.
const (
	SourceConfig = "config" // declared in the configuration; read-only at run time
	SourceStore  = "store"  // added at run time and kept in the store
)

// maxSecret bounds a Gemini key's length in bytes. Today's have 39 to 53.
const maxSecret = 512

// Key is what an operator may know of a Gemini key: all but its secret.
type Key struct {
	ID   string `json:"id"` // stable public handle, see [KeyID]
	Name string `json:"name,omitempty"`
	// Project is the project that the operator named, or "projects/<number>" where
	// an answer of Google revealed it, or "" for a project of the key's own.
	Project     string    `json:"project,omitempty"`
	Tags        []string  `json:"tags,omitempty"`
	Paid        bool      `json:"paid,omitempty"`
	Proxy       string    `json:"proxy,omitempty"` // egress route, "" for the default one
	Source      string    `json:"source"`          // SourceConfig or SourceStore
	Created     time.Time `json:"created"`
	State       State     `json:"state"`
	StateReason string    `json:"state_reason,omitempty"`
	StateSince  time.Time `json:"state_since"`
	Mask        string    `json:"hint"`                // what may be shown of the secret: "AIza…x7Qp"
	Advice      string    `json:"advice"`              // what the operator can do about the key; "" for nothing
	Weight      int       `json:"weight"`              // how much the key is to be used, measured by others; 1 or more
	Note        string    `json:"note"`                // the operator's
	Models      []string  `json:"models"`              // globs of the models that it may serve; none for all
	Batch       string    `json:"batch,omitempty"`     // of the import that brought it
	InFlight    int       `json:"in_flight"`           // leases that were not Done yet
	Probed      time.Time `json:"probed,omitzero"`     // when Google last answered a probe of the key
	Used        time.Time `json:"last_used,omitzero"`  // when it was last leased, by the second; zero for never
	Locked      []string  `json:"locked,omitempty"`    // fields that the configuration sets, see [Patch]
	Deleted     time.Time `json:"deleted_at,omitzero"` // when it was deleted; zero for a key in the pool
}

// KeyID returns the public handle of a secret: "gk_" and the first 12 hex
// digits of its SHA-256.
func KeyID(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "gk_" + hex.EncodeToString(sum[:6])
}

// sameSecret compares without telling by its time how much is alike.
func sameSecret(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// NewKey is a key to add or to declare. Only Secret must be set. No verb of fmt
// prints the secret.
type NewKey struct {
	Secret  string   `json:"key"`
	Name    string   `json:"name,omitempty"`
	Project string   `json:"project,omitempty"` // "" for the key's own
	Proxy   string   `json:"proxy,omitempty"`   // http, https, socks5 or socks5h URL; "" for the default route
	Tags    []string `json:"tags,omitempty"`
	Paid    bool     `json:"paid,omitempty"`
	Weight  int      `json:"weight,omitempty"` // 1 to MaxWeight: see [Key]; 0 means 1
	Note    string   `json:"note,omitempty"`
	Models  []string `json:"models,omitempty"` // globs of the models that it may serve; none for all
	Batch   string   `json:"batch,omitempty"`  // of the import that brings it
	// Disabled has the key added out of service, until an operator enables it. A
	// declared key ignores it.
	Disabled bool `json:"disabled,omitempty"`
}

// MaxWeight is the most that a key may weigh. Source: specs/ui.md §3.4.
const MaxWeight = 100

// Format implements [fmt.Formatter] for all verbs, without the secret and
// without the proxy, whose URL may hold a password.
func (k NewKey) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, fmt.Sprintf("{%s %q project:%q tags:%q paid:%t}", KeyID(k.Secret), k.Name, k.Project, k.Tags, k.Paid))
}

// validate reports what is wrong with a key, without telling its secret.
func (k NewKey) validate() error {
	if k.Secret == "" {
		return errors.New("the key is empty")
	}
	if len(k.Secret) > maxSecret {
		return fmt.Errorf("the key has %d bytes, more than %d: is it a file's content?", len(k.Secret), maxSecret)
	}
	for i := range len(k.Secret) {
		if c := k.Secret[i]; c <= ' ' || c > '~' {
			return fmt.Errorf("the key holds a space, a control character or a letter outside ASCII at position %d", i+1)
		}
	}
	if k.Weight < 0 || k.Weight > MaxWeight {
		return fmt.Errorf("weight is %d; want 1 to %d", k.Weight, MaxWeight)
	}
	if err := checkModels(k.Models); err != nil {
		return err
	}
	if k.Proxy == "" {
		return nil
	}
	return CheckProxy(k.Proxy)
}

// CheckProxy reports what is wrong with the URL of an egress route, or nil. The
// error tells no password.
func CheckProxy(proxy string) error {
	u, err := url.Parse(proxy)
	if err != nil || u.Host == "" {
		return errors.New("proxy is no URL like http://host:port") // err would print its password
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return nil
	}
	return fmt.Errorf("proxy has the scheme %q; want http, https, socks5 or socks5h", u.Scheme)
}

// AddResult tells what became of one [NewKey].
type AddResult struct {
	Key       Key   // the added key, or the one that was there before; zero with Err
	Duplicate bool  // the pool had this key, or the same call had it before; nothing was changed
	Err       error // why it was not added; names no secret
}

// PoolStats is a summary of a pool.
type PoolStats struct {
	Keys     int           `json:"keys"`
	Usable   int           `json:"usable"` // untested or active, resting or not
	States   map[State]int `json:"states"`
	Resting  int           `json:"resting"` // rests now in force, of any scope
	Waiting  int           `json:"waiting"` // requests that wait for a recovery
	InFlight int           `json:"in_flight"`
}

// StateChange is told to an [Observer].
type StateChange struct {
	KeyID    string
	From, To State
	Reason   string // one redacted line
	At       time.Time
}

// Observer is told what operators want to hear of. Its methods are called
// without any lock held, from the goroutine that caused the change; they must
// not block for long.
type Observer interface {
	StateChanged(c StateChange)
	// Rested is called when a rest begins that lasts until the next Pacific day, or of
	// an egress route, or of a project without money; not for those that a start brings
	// back.
	Rested(r Rest)
	// StoreFailed is called by [Pool.Run]: with the store's error when what was
	// learnt can no longer be written, and with nil when it can again.
	StoreFailed(err error)
}

// The errors of changes to the pool, wrapped with the key's id.
var (
	ErrNotFound = errors.New("no such Gemini key")
	ErrReadOnly = errors.New("the Gemini key is declared in the configuration; change it there")
)
