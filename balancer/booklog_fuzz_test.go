// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// FuzzBooks: whatever a shelf and a record of the log have, a start gets by with it, and
// so does the next one with what it has made of it.
func FuzzBooks(f *testing.F) {
	s := memory.New()
	p := open(f, s, 2)
	for range 5 {
		lease(f, p, Want{Tokens: 10}).Done(ok)
	}
	if err := p.Flush(); err != nil {
		f.Fatal(err)
	}
	var shelves, logs [][]byte
	for prefix, into := range map[string]*[][]byte{shelfPrefix: &shelves, logPrefix: &logs} {
		if err := s.Scan(prefix, "", func(_ string, value []byte) bool { *into = append(*into, value); return true }); err != nil {
			f.Fatal(err)
		}
	}
	if len(logs) == 0 {
		f.Fatal("nothing was written")
	}
	for _, log := range logs {
		f.Add([]byte{booksFormat, 1}, log)
		for _, shelf := range shelves {
			f.Add(shelf, log)
		}
	}
	f.Fuzz(func(t *testing.T, shelf, log []byte) {
		s := memory.New()
		open(t, s, 2)
		if err := s.Write(store.Batch{Ops: []store.Op{{Key: shelfKey(0), Value: shelf}, {Key: logKey(0), Value: log}}}); err != nil {
			t.Fatal(err)
		}
		p := open(t, s, 0)
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		p = open(t, s, 0)
		if got := len(first(p.List(Query{Limit: 10}))); got != 2 {
			t.Errorf("%d keys are left of 2", got)
		}
		if l, err := p.Lease(t.Context(), Want{Model: "m", Tokens: 10}); err == nil { // what it has read may forbid it
			l.Done(ok)
		}
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
	})
}
