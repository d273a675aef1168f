// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"encoding/json"
	"errors"
	"maps"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// BodyMode says of which requests bodies are kept.
type BodyMode string

// The modes. Source: specs/gateways.md P1: off unless somebody asks for it.
const (
	BodiesOff    BodyMode = "off" // as is ""
	BodiesErrors BodyMode = "errors"
	BodiesAll    BodyMode = "all"
)

// MaxBody is what is kept of a body, in bytes.
const MaxBody = 64 << 10

// Bodies are what a client sent and got, each up to [MaxBody].
type Bodies struct {
	Request  []byte `json:"request"`
	Response []byte `json:"response"`
	Cut      bool   `json:"cut"` // there was more of one of them
}

// Bodies says whether somebody should collect the bodies of a request, and, once
// it has ended, whether to give them to [Ledger.Add]. "" and [BodiesOff] are no.
func (l *Log) Bodies() BodyMode {
	if l.sealer == nil {
		return BodiesOff
	}
	return l.options.Load().Bodies
}

// saveBodies writes the bodies of the tail. A row whose bodies are written and that
// is not itself does not exist: the next one takes its number and its bodies.
func (l *Log) saveBodies() error {
	l.mu.Lock()
	pending := maps.Clone(l.bodies)
	l.mu.Unlock()
	for seq, b := range pending {
		kept := *b
		kept.Request, kept.Response = b.Request[:min(len(b.Request), MaxBody)], b.Response[:min(len(b.Response), MaxBody)]
		kept.Cut = b.Cut || len(b.Request) > MaxBody || len(b.Response) > MaxBody
		plain, err := json.Marshal(kept)
		if err != nil {
			return err
		}
		key := rowKey(bodyPrefix, seq)
		sealed := l.sealer.Seal(key, plain)
		if err := l.store.Write(store.Batch{Ops: []store.Op{{Key: key, Value: sealed}}}); err != nil {
			return err
		}
		l.mu.Lock()
		delete(l.bodies, seq)
		l.sizes[seq] = int64(len(sealed))
		l.mu.Unlock()
	}
	return nil
}

// readBodySizes finds the bodies of the tail.
func (l *Log) readBodySizes() error {
	after := ""
	if l.first > 0 {
		after = rowKey(bodyPrefix, l.first-1)
	}
	return scan(l.store, bodyPrefix, after, func(key string, value []byte) error {
		seq, err := rowSeq(bodyPrefix, key)
		if err != nil {
			return err
		}
		if seq < l.first+uint64(len(l.tail)) { // else: what a crash left, see saveBodies
			l.sizes[seq] = int64(len(value))
		}
		return nil
	})
}

// bodiesOf returns the bodies of a row, nil for none.
func (l *Log) bodiesOf(seq uint64) (*Bodies, error) {
	l.mu.Lock()
	pending := l.bodies[seq]
	l.mu.Unlock()
	if pending != nil {
		return pending, nil
	}
	if l.sealer == nil {
		return nil, nil
	}
	key := rowKey(bodyPrefix, seq)
	sealed, err := l.store.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	plain, err := l.sealer.Open(key, sealed)
	if err != nil {
		return nil, err
	}
	var b Bodies
	return &b, json.Unmarshal(plain, &b)
}
