// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"context"
	"io"
)

// kind is how the end of a body is known.
type kind uint8

const (
	noBody      kind = iota
	sizedBody        // Content-Length
	chunkedBody      // Transfer-Encoding
	endlessBody      // with the connection
)

// body is the body of an answer. It reads into the memory of who asks, and takes
// chunks apart there: between two reads it holds none.
type body struct {
	c     *conn
	ctx   context.Context
	stop  func() bool // takes the context's hold off the connection
	buf   *buffer     // what came with the header, from start on; nil when it is used up
	start int
	kind  kind
	last  bool  // the connection is not used again
	left  int64 // of a sized body
	chunk chunks
	err   error // why there is no more
}

// begin ends the body at once if it is empty.
func (b *body) begin() {
	if b.kind == noBody || b.kind == sizedBody && b.left == 0 {
		b.end(io.EOF)
		return
	}
	b.drained()
}

// drained gives the buffer back when nothing is left in it.
func (b *body) drained() {
	if b.buf != nil && b.start == len(b.buf.b) {
		b.buf.put()
		b.buf = nil
	}
}

// Read implements [io.Reader]. The end is told with the last bytes.
func (b *body) Read(p []byte) (n int, err error) {
	for n == 0 && b.err == nil && len(p) > 0 {
		if n, err = b.next(p); err != nil {
			if err != io.EOF {
				err = because(b.ctx, err)
			}
			b.end(err)
		}
	}
	return n, b.err
}

// next reads once.
func (b *body) next(p []byte) (n int, err error) {
	if b.kind == sizedBody && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	if b.buf != nil {
		n = copy(p, b.buf.b[b.start:])
		b.start += n
		b.drained()
	} else if n, err = b.c.read(p); n > 0 {
		err = nil // it comes again
	}
	switch {
	case b.kind == endlessBody:
		return n, err
	case err == io.EOF:
		return n, errBroken
	case err != nil:
		return n, err
	case b.kind == sizedBody:
		if b.left -= int64(n); b.left == 0 {
			err = io.EOF
		}
		return n, err
	}
	data, used, err := b.chunk.decode(p[:n])
	if err == io.EOF && used < n {
		b.last = true
	}
	return data, err
}

// Close implements [io.Closer]. A body whose end did not come takes its connection
// with it.
func (b *body) Close() error {
	if b.err == nil && b.buf != nil {
		for scratch := make([]byte, 512); b.err == nil && b.buf != nil; {
			_, _ = b.Read(scratch) // does not wait
		}
	}
	if b.err == nil {
		b.end(errClosed)
	}
	return nil
}

// end ends the body, and with it the request's hold on the connection.
func (b *body) end(err error) {
	b.err = err
	silent := b.buf == nil || b.start == len(b.buf.b)
	if b.buf != nil {
		b.buf.put()
		b.buf = nil
	}
	if b.stop() && err == io.EOF && silent && !b.last {
		b.c.t.put(b.c)
	} else {
		b.c.close()
	}
	b.c, b.ctx, b.stop = nil, nil, nil
}
