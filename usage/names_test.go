// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// TestNames_Memory has Gemini keys used in every hour of a day. 100,000 take 90 MB.
func TestNames_Memory(t *testing.T) {
	if testing.Short() {
		t.Skip("a second or two")
	}
	const keys, bound = 10_000, 10_000 * 1500
	ids := make([]string, keys)
	for i := range ids {
		ids[i] = fmt.Sprintf("gk_%012d", i)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	var n names
	n.init()
	for hour := range int64(dayHours + 3) {
		for i, id := range ids {
			r := Record{KeyID: id, Status: 200, Attempts: 1, Input: 1000 + int64(i), Output: 100, Cost: 500_000, Priced: true}
			c := r.counts()
			n.record(&r, &c)
			if i%maxMinuteNames == maxMinuteNames-1 {
				n.closeMinute()
			}
		}
		n.closeMinute()
		n.closeHour(hour, hour+1)
	}
	used := heap() - before
	t.Logf("%d MB, %d bytes a key", used>>20, used/keys)
	if used > bound {
		t.Errorf("%d bytes for %d keys, want up to %d", used, keys, bound)
	}
	if len(n.cells[ByKey]) != keys || n.cells[ByKey][ids[7]].sum.Requests != dayHours-1 {
		t.Errorf("%d keys, %d requests of one", len(n.cells[ByKey]), n.cells[ByKey][ids[7]].sum.Requests)
	}
	runtime.KeepAlive(&n)
}

// Names beyond the bounds are counted as other, and nothing is lost.
func TestNames_Bound(t *testing.T) {
	var n names
	n.init()
	for i := range maxMinuteNames + 500 {
		r := Record{UserID: fmt.Sprint("user", i), Status: 200}
		c := r.counts()
		n.record(&r, &c)
	}
	if other := n.current[ByUser][Other]; len(n.current[ByUser]) != maxMinuteNames+1 || other.Requests != 500 {
		t.Errorf("%d names, other %+v", len(n.current[ByUser]), other)
	}
}

// TestNames_LongBound: clients may call their models anything. What a span's names take is
// never more than a store takes, and no request is missing.
func TestNames_LongBound(t *testing.T) {
	var n names
	n.init()
	const minutes, each = 4, maxMinuteNames
	for minute := range minutes {
		for i := range each {
			r := Record{UserID: fmt.Sprintf("user%08d", i%5000), Model: fmt.Sprintf("%d-%d-%s", minute, i, strings.Repeat("x", 300)), Status: 200}
			c := r.counts()
			n.record(&r, &c)
		}
		n.closeMinute()
	}
	for span, blobs := range map[string]*nameBlobs{"hour": n.closeHour(1, 2), "day": n.closeDay()} {
		var requests int64
		for shard, data := range blobs[ByUserModel] {
			if len(data) > store.MaxBatchBytes*3/4 {
				t.Errorf("%s: shard %d has %d bytes", span, shard, len(data))
			}
			if err := eachName(data, func(_ string, c *Counts) { requests += c.Requests }); err != nil {
				t.Error(err)
			}
		}
		if requests != minutes*each {
			t.Errorf("%s: %d requests, want %d", span, requests, minutes*each)
		}
	}
}
