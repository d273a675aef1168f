// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// changer prepares an operator's change of one key; an error leaves the key as it
// is. It is called without p.mu, and with p.writeMu.
type changer func(e *entry, now time.Time) (step, error)

// step is a change that is prepared: first ops are written, then apply is called
// under p.mu. One without ops changes nothing.
type step struct {
	ops   []store.Op
	apply func()
}

// errUnchanged is a changer's word that a key is as it should be already.
var errUnchanged = errors.New("the key is like that already")

// change is changeAll for one key.
func (p *Pool) change(ctx context.Context, id string, make changer) error {
	var refused error
	err := p.changeAll(ctx, []string{id}, make, func(_ string, err error) { refused = err })
	if err == nil && !errors.Is(refused, errUnchanged) {
		err = refused
	}
	return err
}

// changeAll changes keys. What it did is on disk when it returns and visible only
// then, key by key: the error is the store's, or ctx's, and what was changed before
// it stays so. told hears of each key what became of it, nil for a change. Picks
// are held up for a few keys at a time.
func (p *Pool) changeAll(ctx context.Context, ids []string, make changer, told func(id string, err error)) error {
	p.writeMu.Lock()
	defer p.writeMu.Unlock()
	for len(ids) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		now := p.now()
		var b batch
		var steps []step
		var done []string
		for ; len(ids) > 0 && !b.full(); ids = ids[1:] {
			s, err := p.prepare(ids[0], make, now)
			if err != nil {
				told(ids[0], err)
				continue
			}
			b.add(s.ops...)
			steps, done = append(steps, s), append(done, ids[0])
		}
		// More than one where the last key had more to be written than a batch takes.
		for part := range slices.Chunk(b.ops, 2*batchOps) {
			if err := p.store.Write(store.Batch{Sync: true, Ops: part}); err != nil {
				return fmt.Errorf("%s: keeping what was changed: %w", done[0], err)
			}
		}
		p.apply(steps)
		for _, id := range done {
			told(id, nil)
		}
	}
	return nil
}

func (p *Pool) prepare(id string, make changer, now time.Time) (step, error) {
	p.mu.Lock()
	e := p.byID[id]
	p.mu.Unlock()
	if e == nil {
		return step{}, fmt.Errorf("%s: %w", id, ErrNotFound)
	}
	s, err := make(e, now)
	if err != nil && !errors.Is(err, errUnchanged) {
		err = fmt.Errorf("%s: %w", id, err)
	}
	return s, err
}

func (p *Pool) apply(steps []step) {
	for some := range slices.Chunk(steps, atATime) {
		p.lock()
		for _, s := range some {
			s.apply()
		}
		p.serve(p.now())
		p.unlock()
	}
}
