// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// What the pool keeps of its books. They are written behind, half a second late at
// most: a crash forgets a few requests, and Google tells of them.
const (
	quotaPrefix = "balancer/quota/" // <project>/<model>, escaped → quotaRecord, of earlier versions; see bookLog
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
	Unsure  int64        `json:"unsure,omitempty"`  // of Today, those that Google may not have counted
	Doubted int64        `json:"doubted,omitempty"` // as DayEnds
	RPM     *limitRecord `json:"rpm,omitempty"`
	TPM     *limitRecord `json:"tpm,omitempty"`
	RPD     *limitRecord `json:"rpd,omitempty"`
	Proven  int64        `json:"proven,omitempty"`
}

type limitRecord struct {
	Value   int64     `json:"value"`
	Learned time.Time `json:"learned"`
	Under   int64     `json:"under,omitempty"` // what the operator said then
}

func (l limit) record() *limitRecord {
	if l.value == 0 {
		return nil
	}
	return &limitRecord{l.value, time.Unix(0, l.learned).UTC(), l.under}
}

func (r *limitRecord) limit(now time.Time) limit {
	if r == nil || r.Value <= 0 {
		return limit{}
	}
	learned := r.Learned
	if learned.After(now) {
		learned = now
	}
	return limit{value: r.Value, learned: learned.UnixNano(), under: r.Under}
}

// kept is keeps for who has not locked q.
func (q *quota) kept(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.keeps(now)
}

// keeps reports whether the books hold what the store must have. Under q.mu.
func (q *quota) keeps(now time.Time) bool {
	return q.into.Load() == nil && (q.proven != 0 || q.matters(now))
}

// flushBooks writes the quotas that were touched since the last time.
func (p *Pool) flushBooks() error {
	p.writeMu.Lock()
	defer p.writeMu.Unlock()
	now := p.now()
	p.dropProjects(now)
	p.touchedMu.Lock()
	touched, moves := p.touched, p.moves
	p.touched, p.moves = nil, nil
	p.touchedMu.Unlock()
	for _, q := range touched {
		q.touched.Store(false) // before it is read: what changes from now on is marked anew
	}
	unwritten, err := p.logBooks(touched, now)
	for _, q := range unwritten {
		p.markQuota(q)
	}
	if err != nil {
		err = fmt.Errorf("keeping the books of the quotas: %w", err)
	}
	// Last, for a conversation can find a new home.
	unmoved, homesErr := writeEach(p, slices.Collect(maps.Values(moves)), move.op)
	p.moveAgain(unmoved)
	if homesErr != nil {
		homesErr = fmt.Errorf("keeping the homes of conversations: %w", homesErr)
	}
	return errors.Join(err, homesErr)
}

// loadBooks reads the books. A record that makes no sense is dropped, here and in
// the store: Google tells again what was in it, and a gateway that does not start
// for it would be worse. Under p.mu.
func (p *Pool) loadBooks(now time.Time) error {
	var damaged []store.Op
	read := func(prefix string, take func(key string, value []byte) error) error {
		return p.store.Scan(prefix, "", func(key string, value []byte) bool {
			if take(key, value) != nil {
				damaged = append(damaged, store.Op{Key: key})
			}
			return true
		})
	}
	books, unsound, err := p.readBooks()
	if err != nil {
		return err
	}
	damaged = append(damaged, unsound...)
	err = errors.Join(
		store.ScanDecoded(p.store, quotaPrefix, 0, decodeQuota, func(r store.Decoded[*quotaRecord]) bool {
			if r.Err != nil {
				damaged = append(damaged, store.Op{Key: quotaPrefix + r.Key})
			} else if name := (bookName{r.Value.Project, r.Value.Model}); books.quotas[name] == nil {
				books.quotas[name] = r.Value
			}
			return true
		}),
		read(homePrefix, p.loadHome),
		read(clockKey, func(_ string, value []byte) error {
			var evidence int32
			err := json.Unmarshal(value, &evidence)
			p.clock.Store(min(max(evidence, -mostEvidence), mostEvidence))
			return err
		}),
		read(spendPrefix, func(_ string, value []byte) error { return p.loadSpending(value, now) }),
	)
	if err != nil {
		return err
	}
	for _, r := range books.quotas {
		p.loadQuota(r, now)
	}
	if err := p.dropDamaged(damaged); err != nil {
		return err
	}
	for _, t := range p.projects {
		for _, q := range t.quotas {
			p.look(q, now)
		}
		if s := t.spending.Load(); s != nil {
			p.lookSpending(s, now)
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

// moveBooks puts the books that an earlier version wrote onto the shelves.
func (p *Pool) moveBooks() error {
	p.writeMu.Lock()
	defer p.writeMu.Unlock()
	var earlier []store.Op
	err := p.store.Scan(quotaPrefix, "", func(key string, _ []byte) bool {
		earlier = append(earlier, store.Op{Key: key})
		return true
	})
	if err != nil || len(earlier) == 0 {
		return err
	}
	for n := range p.bookLog.dirty {
		p.bookLog.dirty[n] = true
	}
	if err := p.tidyShelves(shelfCount, p.now()); err != nil {
		return err
	}
	return p.dropDamaged(earlier)
}

// dropDamaged deletes records that could not be read.
func (p *Pool) dropDamaged(ops []store.Op) error {
	if _, err := writeEach(p, ops, func(op store.Op) store.Op { return op }); err != nil {
		return fmt.Errorf("dropping damaged records: %w", err)
	}
	return nil
}

func decodeQuota(_ string, value []byte) (*quotaRecord, error) {
	r := new(quotaRecord)
	if err := json.Unmarshal(value, r); err != nil {
		return nil, err
	}
	if r.Project == "" || r.Model == "" {
		return nil, errNameless
	}
	return r, nil
}

// loadQuota takes a quotaRecord. Times that the clock has not reached yet, because
// it was set back, count as now: nothing may rest for years for that.
func (p *Pool) loadQuota(r *quotaRecord, now time.Time) {
	m := p.modelOf(r.Model, false)
	if m.name != r.Model {
		return // more models than are kept
	}
	var few [fewSpends]spend
	spends := few[:0]
	for _, s := range r.Spends {
		if s[1] > 0 && s[1] <= math.MaxInt32 && s[2] >= 0 {
			spends = append(spends, spend{min(s[0], now.UnixMilli()) * int64(time.Millisecond), int32(s[1]), 0, s[2]})
		}
	}
	q := p.makeQuota(p.projectOf(r.Project), m)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.minute.merge(spends)
	if r.DayEnds == pacificMidnight(now).Unix() {
		q.dayEnds, q.today, q.doubted = r.DayEnds, max(r.Today, 0), r.Doubted
		if q.unsure = max(r.Unsure, 0); q.unsure > 0 {
			q.dayTry = now.Add(dayTryEvery).Unix()
		}
	}
	q.proven = max(r.Proven, 0)
	q.rpm, q.tpm, q.rpd = q.rpm.later(r.RPM.limit(now)), q.tpm.later(r.TPM.limit(now)), q.rpd.later(r.RPD.limit(now))
	if q.rpm.value > 0 {
		m.teach(q.rpm.value)
	}
	if q.proven > 0 || q.matters(now) {
		m.real.Store(true)
	}
}

// loadHome takes where a conversation lives.
func (p *Pool) loadHome(key string, value []byte) error {
	hash, err := strconv.ParseUint(strings.TrimPrefix(key, homePrefix), 16, 64)
	if err != nil {
		return err
	}
	var id string
	if err := json.Unmarshal(value, &id); err != nil {
		return err
	}
	if e := p.byID[id]; e != nil {
		p.affinity.keep(hash, e.slot)
	} else if p.homeless < homes {
		p.homeless++
		p.orphanHomes[id] = append(p.orphanHomes[id], hash)
	}
	return nil
}
