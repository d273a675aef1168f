// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Where the log is in the store. Keys count down, so that a scan finds the newest
// entry first.
const (
	auditPrefix = "admin/audit/e/"
	auditHead   = "admin/audit/head"
)

// Bounds of the log. Our choice.
const (
	maxAudit        = 200_000          // entries that are kept
	maxAuditDetail  = 1000             // bytes
	auditedFailures = 20               // refused keys written down in a window
	auditWindow     = time.Hour        //
	maxAuditScan    = 20_000           // entries that one search looks at
	auditKeyPurpose = "audit log 2026" // of [store.Sealer.Derive]
)

// auditEntry is one line of the log: who did what, from where, to which object.
type auditEntry struct {
	Seq       uint64    `json:"seq"` // 1, 2, 3, …
	At        time.Time `json:"at"`
	Actor     string    `json:"actor"` // "header", "session 1a2b3c4d", "setup", "" for a guest
	Role      role      `json:"role"`
	IP        string    `json:"ip"`
	Action    string    `json:"action"` // "POST /admin/keys/gemini/{id}/disable", "refused"
	Object    string    `json:"object"` // an id
	Detail    string    `json:"detail"`
	RequestID string    `json:"request_id"`
	Prev      string    `json:"prev"` // Hash of the entry before, "" for the first
	Hash      string    `json:"hash"` // over all fields above
}

// auditLog is append-only. Each entry has a keyed hash over itself and the hash of
// the one before, and the head names the last: who changes, takes out or adds an
// entry in the store, or cuts off the end, without the master key, is found out by
// verify. Source: specs/gateways.md P4.
type auditLog struct {
	store store.Store
	key   []byte
	now   func() time.Time

	mu       sync.Mutex
	head     auditEnd
	raw      []byte // of head in the store; nil before the first entry
	window   time.Time
	failures int // refused in the window
}

// auditEnd is where the log ends.
type auditEnd struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
	Mac  string `json:"mac"` // keeps somebody from setting the head back
}

func (l *auditLog) open(db store.Store, sealer *store.Sealer, now func() time.Time) error {
	l.store, l.now, l.key = db, now, sealer.Derive(auditKeyPurpose)
	raw, err := db.Get(auditHead)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	if err := json.Unmarshal(raw, &l.head); err != nil {
		return fmt.Errorf("audit log: its head is damaged: %w", err)
	}
	l.raw = raw
	return nil
}

func auditKey(seq uint64) string { return fmt.Sprintf("%s%016x", auditPrefix, ^seq) }

// append writes an entry to the disk. Seq, At, Prev and Hash are filled in.
func (l *auditLog) append(e auditEntry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Seq, e.At, e.Prev = l.head.Seq+1, l.now().UTC(), l.head.Hash
	if len(e.Detail) > maxAuditDetail {
		e.Detail = strings.ToValidUTF8(e.Detail[:maxAuditDetail], "") + "…"
	}
	e.Hash = l.hash(e)
	end := auditEnd{Seq: e.Seq, Hash: e.Hash}
	end.Mac = l.mac(end)
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(end)
	if err != nil {
		return err
	}
	batch := store.Batch{
		Expect: []store.Expect{{Key: auditHead, Value: l.raw}},
		Ops:    []store.Op{{Key: auditKey(e.Seq), Value: line}, {Key: auditHead, Value: raw}},
		Sync:   true,
	}
	if e.Seq > maxAudit {
		batch.Ops = append(batch.Ops, store.Op{Key: auditKey(e.Seq - maxAudit)})
	}
	if err := l.store.Write(batch); err != nil {
		return err
	}
	l.head, l.raw = end, raw
	return nil
}

// refused writes down that a key was wrong, but only the first ones of an hour:
// who guesses must not fill the disk.
func (l *auditLog) refused(e auditEntry) {
	l.mu.Lock()
	now := l.now()
	if now.Sub(l.window) >= auditWindow {
		l.window, l.failures = now, 0
	}
	l.failures++
	n := l.failures
	l.mu.Unlock()
	if n > auditedFailures {
		return
	}
	if n == auditedFailures {
		e.Detail += "; more of this hour are not written down"
	}
	e.Action = "refused"
	_ = l.append(e) // the client is refused in any case
}

// hash is over all fields but Hash itself.
func (l *auditLog) hash(e auditEntry) string {
	e.Hash = ""
	line, err := json.Marshal(e)
	if err != nil {
		return ""
	}
	return l.sum("entry", line)
}

func (l *auditLog) mac(end auditEnd) string {
	return l.sum("head", []byte(strconv.FormatUint(end.Seq, 10)+" "+end.Hash))
}

func (l *auditLog) sum(what string, data []byte) string {
	mac := hmac.New(sha256.New, l.key)
	mac.Write([]byte(what + "\n"))
	mac.Write(data)
	return hex.EncodeToString(mac.Sum(nil))
}

// read returns the entries after a cursor, newest first, that contain the words,
// and the cursor to go on with, "" at the end.
func (l *auditLog) read(cursor, words string, limit int) (items []auditEntry, next string, err error) {
	after := ""
	if cursor != "" {
		after = auditPrefix + cursor
	}
	words = strings.ToLower(words)
	raw := ""
	if escaped, err := json.Marshal(words); err == nil { // as it stands in an entry
		raw = strings.ToLower(string(escaped[1 : len(escaped)-1]))
	}
	scanned, last, more := 0, "", false
	var damaged error
	err = l.store.Scan(auditPrefix, after, func(key string, value []byte) bool {
		if len(items) == limit || scanned == maxAuditScan {
			more = true
			return false
		}
		scanned++
		last = strings.TrimPrefix(key, auditPrefix)
		if words != "" && !strings.Contains(strings.ToLower(string(value)), raw) {
			return true
		}
		var e auditEntry
		if damaged = json.Unmarshal(value, &e); damaged != nil {
			return false
		}
		if words == "" || e.contains(words) {
			items = append(items, e)
		}
		return true
	})
	if err = errors.Join(err, damaged); err != nil {
		return nil, "", fmt.Errorf("reading the audit log: %w", err)
	}
	if more {
		next = last
	}
	return items, next, nil
}

func (e *auditEntry) contains(words string) bool {
	for _, field := range []string{e.Actor, string(e.Role), e.IP, e.Action, e.Object, e.Detail, e.RequestID} {
		if strings.Contains(strings.ToLower(field), words) {
			return true
		}
	}
	return false
}

// auditReport tells whether the log is whole.
type auditReport struct {
	Whole   bool   `json:"whole"`
	Entries int    `json:"entries"`
	From    uint64 `json:"from_seq"` // of the oldest entry kept, 0 for none
	Fault   string `json:"fault,omitempty"`
}

// verify reads the whole log, newest first, and looks for what is not as it was
// written. Meanwhile nothing is added.
func (l *auditLog) verify() (auditReport, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	raw, err := l.store.Get(auditHead)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return auditReport{}, err
	}
	report, fault := auditReport{}, ""
	if string(raw) != string(l.raw) || l.head.Seq > 0 && !hmac.Equal([]byte(l.head.Mac), []byte(l.mac(l.head))) {
		fault = "the head of the log was changed"
	}
	seq, hash := l.head.Seq, l.head.Hash
	err = l.store.Scan(auditPrefix, "", func(_ string, value []byte) bool {
		if fault == "" {
			seq, hash, fault = l.check(value, seq, hash)
		}
		if fault != "" {
			return false
		}
		report.Entries++
		report.From = seq + 1
		return true
	})
	if err != nil {
		return auditReport{}, err
	}
	if fault == "" && seq > 0 && report.Entries < maxAudit {
		fault = fmt.Sprintf("entry %d is missing", seq)
	}
	report.Whole, report.Fault = fault == "", fault
	return report, nil
}

// check compares an entry with the number and the hash that it must have, and
// returns those of the one before.
func (l *auditLog) check(value []byte, seq uint64, hash string) (before uint64, prev, fault string) {
	var e auditEntry
	switch bad := json.Unmarshal(value, &e); {
	case bad != nil:
		return seq, hash, fmt.Sprintf("entry %d is damaged", seq)
	case e.Seq > seq:
		return seq, hash, fmt.Sprintf("entry %d was added", e.Seq)
	case e.Seq < seq:
		return seq, hash, fmt.Sprintf("entry %d is missing", seq)
	case !hmac.Equal([]byte(e.Hash), []byte(hash)) || !hmac.Equal([]byte(l.hash(e)), []byte(e.Hash)):
		return seq, hash, fmt.Sprintf("entry %d was changed", seq)
	}
	return e.Seq - 1, e.Prev, ""
}
