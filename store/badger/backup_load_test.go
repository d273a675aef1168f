// SPDX-License-Identifier: Apache-2.0

package badger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	db "github.com/dgraph-io/badger/v4"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// TestBackup_UnderLoad makes backups while writers that each count write 500 times a
// second and more: a restored backup has of each writer all up to a number, no number
// less than what was acknowledged when the backup began, and all writers' numbers of
// one moment.
func TestBackup_UnderLoad(t *testing.T) {
	const writers = 8
	s := open(t, t.TempDir(), nil)
	defer s.Close()
	var acked [writers]atomic.Int64
	var total atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := int64(1); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				err := s.Write(store.Batch{Ops: []store.Op{
					{Key: fmt.Sprintf("w%d/%06d", w, i), Value: []byte("v")},
					{Key: fmt.Sprintf("last/%d", w), Value: fmt.Append(nil, i)},
				}})
				if err != nil {
					t.Error(err)
					return
				}
				acked[w].Store(i)
				total.Add(1)
				time.Sleep(5 * time.Millisecond) //nolint:forbidigo // the pace of the load
			}
		})
	}
	started := time.Now()
	for range 5 {
		time.Sleep(200 * time.Millisecond) //nolint:forbidigo // the load goes on
		var before [writers]int64
		for w := range writers {
			before[w] = acked[w].Load()
		}
		var file bytes.Buffer
		info := store.BackupInfo{Made: time.Unix(1_800_000_000, 0).UTC(), Version: "v1", Store: "test"}
		if err := store.WriteBackup(context.Background(), &file, s, info, nil); err != nil {
			t.Fatal(err)
		}
		into := memory.New()
		if err := store.Restore(into, &file, time.Now(), nil); err != nil {
			t.Fatal(err)
		}
		for w := range writers {
			last, err := into.Get(fmt.Sprintf("last/%d", w))
			n, _ := strconv.ParseInt(string(last), 10, 64)
			if err != nil || n < before[w] {
				t.Errorf("writer %d: %d were acknowledged, the backup has %q, %v", w, before[w], last, err)
			}
			want := int64(0)
			if err := into.Scan(fmt.Sprintf("w%d/", w), "", func(key string, _ []byte) bool {
				want++
				return strings.HasSuffix(key, fmt.Sprintf("/%06d", want))
			}); err != nil || want != n {
				t.Errorf("writer %d: the backup has %d in a row, and says %d, %v", w, want, n, err)
			}
		}
	}
	rate := float64(total.Load()) / time.Since(started).Seconds()
	close(stop)
	wg.Wait()
	t.Logf("R6: at %.0f writes/s", rate)
}

// TestMigrate_CrashAnywhere ends the process in every step of a migration, before the
// step's own write, after it, and between it and the note that it is done: the next
// start brings it to its end.
func TestMigrate_CrashAnywhere(t *testing.T) {
	errHere := errors.New("the process ended here")
	add := func(n int, crash string) migration {
		return func(d *db.DB) error {
			if crash == "before" {
				return errHere
			}
			// As every step must, it says what is, not what is to be added.
			err := d.Update(func(txn *db.Txn) error {
				return txn.Set(dataKey(fmt.Sprint("step/", n)), []byte("done"))
			})
			if err == nil && crash == "after" {
				return errHere
			}
			return err
		}
	}
	for at := 1; at <= 3; at++ {
		for _, crash := range []string{"before", "after"} {
			dir := withSchema(t, "1")
			steps := map[int]migration{}
			for n := 1; n <= 3; n++ {
				steps[n] = add(n, "")
			}
			steps[at] = add(at, crash)
			d, err := openDB(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := migrate(d, 4, steps); !errors.Is(err, errHere) {
				t.Errorf("step %d, %s: %v", at, crash, err)
			}
			if have, err := readSchema(d); err != nil || have != at {
				t.Errorf("step %d, %s: the schema is %d, %v", at, crash, have, err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if d, err = openDB(dir); err != nil {
				t.Fatal(err)
			}
			steps[at] = add(at, "")
			if err := migrate(d, 4, steps); err != nil {
				t.Errorf("step %d, %s, the next start: %v", at, crash, err)
			}
			for n := 1; n <= 3; n++ {
				err := d.View(func(txn *db.Txn) error { _, err := txn.Get(dataKey(fmt.Sprint("step/", n))); return err })
				if err != nil {
					t.Errorf("step %d, %s: step %d is not done: %v", at, crash, n, err)
				}
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
