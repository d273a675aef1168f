// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// TestLog_Heavy: few rows with large bodies are no more than is allowed either, and the
// newest of them stay.
func TestLog_Heavy(t *testing.T) {
	const limit = 1 << 20
	w := newWorld(3)
	now := func() time.Time { return w.at }
	s := memory.NewAt(now)
	sealer, err := store.NewSealer(make([]byte, store.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	l, err := openLog(s, sealer, now, LogOptions{Bodies: BodiesAll, MaxSize: limit})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		r := w.record()
		r.Bodies = &Bodies{Request: make([]byte, 10_000), Response: make([]byte, 10_000)}
		l.append([]Record{r})
		flushLog(t, l)
		k := l.Kept()
		if k.Bytes > limit*9/8+64<<10 || i > 60 && k.Bytes < limit/2 {
			t.Fatalf("after %d rows %d bytes are kept", i+1, k.Bytes)
		}
		if found, there, err := l.Find(t.Context(), r.RequestID); err != nil || !there || found.Bodies == nil {
			t.Fatalf("the newest row: %v %v", there, err)
		}
	}
	n := int64(0)
	_ = s.Scan(bodyPrefix, "", func(string, []byte) bool { n++; return true })
	if k := l.Kept(); n != k.Rows {
		t.Errorf("%d bodies of %d rows", n, k.Rows)
	}
}
