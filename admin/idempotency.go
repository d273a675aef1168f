// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Source: specs/ui.md §4.
const (
	oncePrefix = "admin/once/"
	onceTTL    = 24 * time.Hour
	maxOnceKey = 128
	maxOnce    = 256 << 10 // bytes of an answer that are kept
)

// once has requests with the same Idempotency-Key done once.
type once struct {
	store store.Store

	mu      sync.Mutex
	running map[string]bool
}

// onceRecord is what is kept of a request.
type onceRecord struct {
	Request  string          `json:"request"`          // SHA-256 of what was asked
	Done     bool            `json:"done"`             // else it had begun when the process ended
	Status   int             `json:"status,omitempty"` // 0 for an answer that is not kept
	Body     json.RawMessage `json:"body,omitempty"`
	Location string          `json:"location,omitempty"`
	ETag     string          `json:"etag,omitempty"`
	Object   string          `json:"object,omitempty"` // what it made
}

// do runs an operation that may be repeated by its client. The record is there
// before the operation begins: after a crash a repetition is told that nobody
// knows, instead of doing it twice.
func (o *once) do(c *call, operate func() (int, any, error)) (status int, body any, err error) {
	values := c.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return operate()
	}
	if len(values) > 1 || values[0] == "" || len(values[0]) > maxOnceKey || strings.ContainsFunc(values[0], func(r rune) bool { return r <= ' ' || r > '~' }) {
		return 0, nil, problem(http.StatusBadRequest, "invalid_idempotency_key", fmt.Sprintf("Idempotency-Key must be one text of 1 to %d visible ASCII characters, such as a UUID.", maxOnceKey))
	}
	key := onceKey(c.route, values[0])
	if !o.begin(key) {
		return 0, nil, problem(http.StatusConflict, "repeated_early", "A request with this Idempotency-Key is being answered just now. Try again when it has been.")
	}
	defer o.end(key)
	asked := onceRequest(c)
	switch before, err := o.load(key); {
	case err != nil:
		return 0, nil, err
	case before != nil:
		return before.answer(c, asked)
	}
	if err := o.save(key, onceRecord{Request: asked}); err != nil {
		return 0, nil, err
	}
	status, body, err = operate()
	if err != nil {
		// Nothing was done, so it may be tried again.
		return status, body, errors.Join(err, o.store.Write(store.Batch{Ops: []store.Op{{Key: key}}, Sync: true}))
	}
	done := onceRecord{Request: asked, Done: true, Object: cmp.Or(c.object, c.id)}
	if _, streams := body.(stream); !streams && !c.route.secret {
		if encoded, bad := json.Marshal(body); bad == nil && len(encoded) <= maxOnce {
			done.Status, done.Body = status, encoded
			done.Location, done.ETag = c.header.Get("Location"), c.header.Get("ETag")
		}
	}
	if err := o.save(key, done); err != nil {
		// It was done. The record that is there has a repetition refused.
		return status, body, nil //nolint:nilerr // see above
	}
	return status, body, nil
}

func (o *once) begin(key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.running[key] {
		return false
	}
	if o.running == nil {
		o.running = make(map[string]bool)
	}
	o.running[key] = true
	return true
}

func (o *once) end(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.running, key)
}

func (o *once) load(key string) (*onceRecord, error) {
	value, err := o.store.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	record := new(onceRecord)
	if err := json.Unmarshal(value, record); err != nil {
		return nil, fmt.Errorf("the record of this Idempotency-Key is damaged: %w", err)
	}
	return record, nil
}

func (o *once) save(key string, record onceRecord) error {
	value, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return o.store.Write(store.Batch{Ops: []store.Op{{Key: key, Value: value, TTL: onceTTL}}, Sync: true})
}

// answer repeats what was answered.
func (r *onceRecord) answer(c *call, asked string) (status int, body any, err error) {
	what := "something"
	if r.Object != "" {
		what = r.Object
	}
	switch {
	case r.Request != asked:
		return 0, nil, problem(http.StatusConflict, "repeated_differently", "Another request was made with this Idempotency-Key. Use a new one for each thing that you want done.")
	case !r.Done:
		return 0, nil, problem(http.StatusConflict, "repeated_unknown", "A request with this Idempotency-Key began, and the gateway stopped before it ended. Look whether it was done; then repeat it with a new key if it was not.")
	case r.Status == 0:
		return 0, nil, problem(http.StatusConflict, "repeated", "This was done before: it made "+what+". The answer held a secret, which is kept nowhere. If it is lost, delete what was made, or make it a new secret.")
	}
	c.silent = true
	c.header.Set("Idempotency-Replayed", "true")
	for name, value := range map[string]string{"Location": r.Location, "ETag": r.ETag} {
		if value != "" {
			c.header.Set(name, value)
		}
	}
	if string(r.Body) == "null" {
		return r.Status, nil, nil
	}
	return r.Status, r.Body, nil
}

func onceKey(rt *route, key string) string {
	sum := sha256.Sum256([]byte(rt.method + " " + rt.path + "\n" + key))
	return oncePrefix + hex.EncodeToString(sum[:])
}

// onceRequest tells requests apart. The body may hold secrets, of which a plain
// hash would tell too much if they were short; keys are not.
func onceRequest(c *call) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s?%s\n", c.Method, c.URL.Path, c.query.Encode())
	h.Write(c.body)
	return hex.EncodeToString(h.Sum(nil))
}
