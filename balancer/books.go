// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// What the pool keeps of its books. They are written behind, half a second late at
// most: a crash forgets a few requests, and Google tells of them.
const (
	quotaPrefix = "balancer/quota/" // <project>/<model>, escaped → quotaRecord, with a TTL
	homePrefix  = "balancer/home/"  // <hash of a conversation> → id of its key, with a TTL
	clockKey    = "balancer/clock"  // → evidence that Google's minutes follow the clock
)

// quotaRecord is a quota.
type quotaRecord struct {
	Project string       `json:"project"`
	Model   string       `json:"model"`
	Spends  [][3]int64   `json:"spends,omitempty"` // at in Unix ms, requests, tokens; those not ended yet are among them
	DayEnds int64        `json:"day_ends"`         // Unix s
	Today   int64        `json:"today"`
	Doubted int64        `json:"doubted,omitempty"` // as DayEnds
	RPM     *limitRecord `json:"rpm,omitempty"`
	TPM     *limitRecord `json:"tpm,omitempty"`
	RPD     *limitRecord `json:"rpd,omitempty"`
	Proven  int64        `json:"proven,omitempty"`
}

type limitRecord struct {
	Value   int64     `json:"value"`
	Learned time.Time `json:"learned"`
}

func (l limit) record() *limitRecord {
	if l.value == 0 {
		return nil
	}
	return &limitRecord{l.value, l.learned}
}

func (r *limitRecord) limit() limit {
	if r == nil {
		return limit{}
	}
	return limit{value: r.Value, learned: r.Learned}
}

// op is the write of q.
func (q *quota) op(project string) store.Op {
	r := quotaRecord{Project: project, Model: q.model.name}
	q.mu.Lock()
	for _, s := range q.minute.spends {
		r.Spends = append(r.Spends, [3]int64{s.at / int64(time.Millisecond), int64(s.requests), s.tokens})
	}
	r.DayEnds, r.Today, r.Doubted, r.Proven = q.dayEnds, q.today, q.doubted, q.proven
	r.RPM, r.TPM, r.RPD = q.rpm.record(), q.tpm.record(), q.rpd.record()
	q.mu.Unlock()
	return store.Op{
		Key: quotaPrefix + url.PathEscape(r.Project) + "/" + url.PathEscape(r.Model), Value: encode(r), TTL: learnedFor + time.Hour,
	}
}

// flushBooks writes the quotas that were touched since the last time.
func (p *Pool) flushBooks() error {
	p.touchedMu.Lock()
	touched, moves := p.touched, p.moves
	p.touched, p.moves = nil, nil
	p.touchedMu.Unlock()
	for part := range slices.Chunk(moves, batchOps) {
		ops := make([]store.Op, len(part))
		for i, m := range part {
			ops[i] = m.op()
		}
		if err := p.store.Write(store.Batch{Ops: ops}); err != nil {
			return fmt.Errorf("keeping the homes of conversations: %w", err) // they find new ones
		}
	}
	for part := range slices.Chunk(touched, batchOps) {
		ops := make([]store.Op, 0, len(part)+1)
		p.mu.Lock()
		for _, q := range part {
			q.touched.Store(false)
			if q.into.Load() == nil {
				ops = append(ops, q.op(q.project.id))
			}
		}
		p.mu.Unlock()
		ops = append(ops, store.Op{Key: clockKey, Value: encode(p.clock.Load())})
		if err := p.store.Write(store.Batch{Ops: ops}); err != nil {
			for _, q := range part {
				p.markQuota(q)
			}
			return fmt.Errorf("keeping the books of the quotas: %w", err)
		}
	}
	return nil
}

// loadBooks reads the quotas. Under p.mu.
func (p *Pool) loadBooks(now time.Time) error {
	var failed error
	fail := func(key string, err error) bool {
		failed = fmt.Errorf("%s: %w", key, err)
		return false
	}
	err := p.store.Scan(quotaPrefix, "", func(key string, value []byte) bool {
		var r quotaRecord
		if err := json.Unmarshal(value, &r); err != nil {
			return fail(key, err)
		}
		m := p.modelOf(r.Model, false)
		if m.name != r.Model {
			return true // more models than are kept
		}
		q := p.makeQuota(p.projectOf(r.Project), m)
		q.mu.Lock()
		for _, s := range r.Spends {
			q.minute.merge([]spend{{s[0] * int64(time.Millisecond), int32(s[1]), s[2]}})
		}
		q.dayEnds, q.today, q.doubted, q.proven = r.DayEnds, r.Today, r.Doubted, r.Proven
		q.rpm, q.tpm, q.rpd = q.rpm.later(r.RPM.limit()), q.tpm.later(r.TPM.limit()), q.rpd.later(r.RPD.limit())
		q.mu.Unlock()
		if r.RPM != nil {
			m.teach(r.RPM.Value)
		}
		return true
	})
	if err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	err = p.store.Scan(homePrefix, "", func(key string, value []byte) bool {
		hash, err := strconv.ParseUint(strings.TrimPrefix(key, homePrefix), 16, 64)
		var id string
		if err == nil {
			err = json.Unmarshal(value, &id)
		}
		if err != nil {
			return fail(key, err)
		}
		if e := p.byID[id]; e != nil {
			p.affinity.keep(hash, e.slot)
		} else {
			p.orphanHomes[id] = append(p.orphanHomes[id], hash)
		}
		return true
	})
	if err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	err = p.store.Scan(clockKey, "", func(key string, value []byte) bool {
		var evidence int32
		if err := json.Unmarshal(value, &evidence); err != nil {
			return fail(key, err)
		}
		p.clock.Store(evidence)
		return true
	})
	if err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	for _, t := range p.projects {
		for _, q := range t.quotas {
			p.look(q, now)
		}
	}
	p.touchedMu.Lock()
	for _, q := range p.touched {
		q.touched.Store(false) // it came from the store
	}
	p.touched = nil
	p.touchedMu.Unlock()
	return nil
}
