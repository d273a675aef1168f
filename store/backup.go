// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// A backup is backupMagic, then, compressed by gzip,
//
//	uvarint length, header as JSON
//	1, uvarint length, key, uvarint length, value, uvarint end in Unix seconds or 0   … for each pair
//	0, uvarint number of pairs, SHA-256 of all that was before it, uncompressed
//
// and nothing after it. Secrets are sealed in it as they are in the store, so that
// it is of no use without the master key, to nobody. The last byte of the magic is
// the version of the format.
const backupMagic = "GBSTORE\x01"

// maxBackupKey is the longest key that every store takes.
const maxBackupKey = 64_000

// ErrBackup is in the chain of every error about a file that is no backup, or a
// damaged one.
var ErrBackup = errors.New("not a whole backup")

// BackupInfo is what a backup says of itself.
type BackupInfo struct {
	Made    time.Time `json:"made_at"`
	Version string    `json:"version"` // of the program that made it
	Store   string    `json:"store"`   // kind of the store
}

// Dumper tells of all pairs, and when they end; the zero time is never. It sees one
// consistent state, and fn may take its time. Every store is one.
type Dumper interface {
	Dump(fn func(key string, value []byte, ends time.Time) bool) error
}

// WriteBackup writes all pairs of a store but those that skip names; it holds up
// nobody who writes meanwhile, whose changes are not in it. nil skips nothing.
func WriteBackup(ctx context.Context, w io.Writer, s Dumper, info BackupInfo, skip func(key string) bool) error {
	if _, err := io.WriteString(w, backupMagic); err != nil {
		return err
	}
	zip, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	out := &backupWriter{to: bufio.NewWriterSize(zip, 64<<10), sum: sha256.New()}
	header, err := json.Marshal(info)
	if err != nil {
		return err
	}
	out.blob(header)
	n := uint64(0)
	err = s.Dump(func(key string, value []byte, ends time.Time) bool {
		if out.err == nil {
			out.err = ctx.Err()
		}
		if out.err != nil {
			return false
		}
		if skip != nil && skip(key) {
			return true
		}
		n++
		out.write([]byte{1})
		out.blob([]byte(key))
		out.blob(value)
		unix := int64(0)
		if !ends.IsZero() {
			unix = ends.Unix()
		}
		out.uvarint(uint64(unix)) //nolint:gosec // after 1970
		return out.err == nil
	})
	if err = errors.Join(err, out.err); err != nil {
		return err
	}
	out.write([]byte{0})
	out.uvarint(n)
	out.write(out.sum.Sum(nil))
	return errors.Join(out.err, out.to.Flush(), zip.Close())
}

type backupWriter struct {
	to  *bufio.Writer
	sum hash.Hash
	err error
	buf [binary.MaxVarintLen64]byte
}

func (w *backupWriter) write(b []byte) {
	if w.err == nil {
		w.sum.Write(b) //nolint:errcheck // never fails
		_, w.err = w.to.Write(b)
	}
}

func (w *backupWriter) uvarint(n uint64) { w.write(w.buf[:binary.PutUvarint(w.buf[:], n)]) }

func (w *backupWriter) blob(b []byte) {
	w.uvarint(uint64(len(b)))
	w.write(b)
}

// Pair is one of a backup.
type Pair struct {
	Key   string
	Value []byte
	Ends  time.Time // zero = never
}

// ReadBackup calls fn for each pair, in order, and returns what the backup says of
// itself once all of it has proved whole: what fn was told before is not to be
// trusted until then. It takes memory for one pair at a time. An error of fn ends it.
func ReadBackup(r io.Reader, fn func(Pair) error) (BackupInfo, error) {
	var info BackupInfo
	magic := make([]byte, len(backupMagic))
	if _, err := io.ReadFull(r, magic); err != nil || !bytes.Equal(magic[:7], []byte(backupMagic[:7])) {
		return info, fmt.Errorf("%w: the file does not begin as one", ErrBackup)
	}
	if magic[7] != backupMagic[7] {
		return info, fmt.Errorf("%w: it has format %d, and this version of the program knows %d", ErrBackup, magic[7], backupMagic[7])
	}
	buffered := bufio.NewReader(r)
	zip, err := gzip.NewReader(buffered)
	if err != nil {
		return info, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	zip.Multistream(false)
	in := &backupReader{from: bufio.NewReaderSize(zip, 64<<10), sum: sha256.New()}
	err = in.all(&info, fn)
	if own := (*callError)(nil); errors.As(err, &own) {
		return info, own.error
	}
	if err == nil {
		err = in.end(buffered)
	}
	if err != nil {
		return info, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	return info, nil
}

// callError is an error of the caller's function, which says nothing of the file.
type callError struct{ error }

type backupReader struct {
	from *bufio.Reader
	sum  hash.Hash
}

func (r *backupReader) ReadByte() (byte, error) {
	b, err := r.from.ReadByte()
	if err == nil {
		r.sum.Write([]byte{b}) //nolint:errcheck // never fails
	}
	return b, err
}

// blob reads a length and so many bytes; nothing of a store is longer than a batch.
func (r *backupReader) blob() ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if n > MaxBatchBytes {
		return nil, fmt.Errorf("a part of %d bytes, and no store takes more than %d", n, MaxBatchBytes)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.from, b); err != nil {
		return nil, err
	}
	r.sum.Write(b) //nolint:errcheck // never fails
	return b, nil
}

func (r *backupReader) all(info *BackupInfo, fn func(Pair) error) error {
	header, err := r.blob()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(header, info); err != nil {
		return err
	}
	before := ""
	for n := uint64(0); ; n++ {
		more, err := r.ReadByte()
		switch {
		case err != nil:
			return err
		case more == 0:
			return r.trailer(n)
		case more != 1:
			return errors.New("a mark that means nothing")
		}
		pair, err := r.pair()
		if err != nil {
			return err
		}
		if n > 0 && pair.Key <= before {
			return errors.New("its keys are out of order")
		}
		before = pair.Key
		if err := fn(pair); err != nil {
			return &callError{err}
		}
	}
}

func (r *backupReader) pair() (p Pair, err error) {
	key, err := r.blob()
	if err != nil {
		return p, err
	}
	if p.Value, err = r.blob(); err != nil {
		return p, err
	}
	ends, err := binary.ReadUvarint(r)
	if err != nil {
		return p, err
	}
	p.Key = string(key)
	if len(key) == 0 || len(key) > maxBackupKey || len(key)+len(p.Value) > MaxBatchBytes {
		return p, errors.New("an entry that no store would take")
	}
	if ends != 0 {
		if ends > 1<<40 {
			return p, errors.New("a time that will never be")
		}
		p.Ends = time.Unix(int64(ends), 0)
	}
	return p, nil
}

// trailer compares number and checksum.
func (r *backupReader) trailer(n uint64) error {
	said, err := binary.ReadUvarint(r)
	if err != nil {
		return err
	}
	want := r.sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r.from, got); err != nil {
		return err
	}
	switch {
	case said != n:
		return fmt.Errorf("it has %d entries and says %d", n, said)
	case !bytes.Equal(got, want):
		return errors.New("its checksum is wrong")
	}
	return nil
}

// end makes sure that nothing is behind the trailer.
func (r *backupReader) end(file *bufio.Reader) error {
	if _, err := r.from.ReadByte(); err != io.EOF {
		return errors.New("there is more after its end")
	}
	if _, err := file.ReadByte(); err != io.EOF {
		return errors.New("there is more after its end")
	}
	return nil
}
