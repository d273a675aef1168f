// SPDX-License-Identifier: Apache-2.0

package sse

import (
	"errors"
	"io"
	"sync"
)

// MaxEvent is how many bytes one event may have. An inline image of the largest
// size Gemini makes fits several times. Source: specs/openai.md §12.1.
const MaxEvent = 64 << 20

// ErrTooLarge reports an event of more than [MaxEvent] bytes.
var ErrTooLarge = errors.New("upstream sent a stream event of more than 64 MiB")

const (
	firstBuffer  = 8 << 10  // holds a dozen events of text; thousands of streams are held open at once
	pooledBuffer = 64 << 10 // larger ones, grown for images, are left to the garbage collector
)

var buffers = sync.Pool{New: func() any { b := make([]byte, firstBuffer); return &b }}

// buffer is the window on the stream: b[start:end] was read but not given out.
// Offsets that a scanner keeps are relative to start, since fill moves bytes.
type buffer struct {
	src        io.Reader
	room       Room    // nil where nobody is asked
	home       *[]byte // where b goes back to
	b          []byte
	start, end int
	err        error // why src ended, io.EOF included
	max        int
}

func newBuffer(src io.Reader) buffer {
	home := buffers.Get().(*[]byte)
	return buffer{src: src, home: home, b: *home, max: MaxEvent}
}

func (b *buffer) bytes() []byte { return b.b[b.start:b.end] }

// fill reads at least one byte more, or sets err.
func (b *buffer) fill() {
	if b.start == b.end && len(b.b) > pooledBuffer {
		b.shrink()
	}
	if free := len(b.b) - b.end; free == 0 || b.start > 0 && free < len(b.b)/2 {
		if b.err = b.makeRoom(); b.err != nil {
			return
		}
	}
	for range 100 {
		n, err := b.src.Read(b.b[b.end:])
		b.end += n
		if b.err = err; n > 0 || err != nil {
			return
		}
	}
	b.err = io.ErrNoProgress
}

// Within implements [Frames].
func (b *buffer) Within(room Room) { b.room = room }

// shrink gives up the memory that a large event took: the stream may last for minutes.
func (b *buffer) shrink() {
	b.b, b.start, b.end = *b.home, 0, 0
	if b.room != nil {
		b.room.Leave()
	}
}

// makeRoom moves the window to the front and doubles the memory when that does
// not leave half of it free.
func (b *buffer) makeRoom() error {
	rest := b.end - b.start
	to := b.b
	if rest > len(b.b)/2 {
		if size := 2 * len(b.b); size > pooledBuffer && b.room != nil {
			if err := b.room.Take(int64(size)); err != nil {
				return err
			}
		}
		to = make([]byte, 2*len(b.b))
	}
	copy(to, b.b[b.start:b.end])
	b.b, b.start, b.end = to, 0, rest
	return nil
}

// release gives the memory back. Slices that were handed out are void then.
func (b *buffer) release() {
	if b.home == nil {
		return
	}
	if len(b.b) <= pooledBuffer {
		*b.home = b.b
	}
	buffers.Put(b.home)
	*b = buffer{err: io.EOF}
}
