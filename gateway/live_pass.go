// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"io"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// chunks are what messages are passed in; a session has one while a message is on
// its way, so that silent sessions hold none.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

const chunkSize = 32 << 10

// flow is one direction of a session.
type flow struct {
	from, to *liveSide
	scan     jsonScan
	check    func(*jsonScan) error // looks at each message before its end is passed on
	// renamed looks at the values that were captured since it was asked last, and
	// says what stands for them, in order; nil where nothing is ever renamed.
	renamed func() ([]edit, error)
}

// pump passes the messages of one side to the other, each as it comes: a reader
// that does not take them stops the writer. first is a message that has begun
// already, nil for none.
func (d *flow) pump(kind websocket.MessageType, first io.Reader) pumped {
	for {
		var err error
		if first == nil {
			d.from.waiting.Store(true)
			kind, first, err = d.from.conn.Reader(background)
			d.from.waiting.Store(false)
			if err != nil {
				return pumped{d.from, false, err}
			}
		}
		d.from.read.Store(time.Now().UnixNano())
		d.scan.reset()
		if p, ok := d.pass(kind, first); !ok {
			return p
		}
		first = nil
	}
}

// pass passes one message on. One that fits into a chunk is held until it is
// whole; of a larger one all but the end is passed as it comes. A value that may be
// renamed stays until it is whole, too.
func (d *flow) pass(kind websocket.MessageType, message io.Reader) (p pumped, ok bool) {
	chunk := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(chunk)
	var stream io.WriteCloser
	for base, held := 0, 0; ; {
		n, err := fill(message, chunk[held:])
		last := err == io.EOF
		if err != nil && !last {
			return pumped{d.from, false, err}, false
		}
		d.scan.write(chunk[held : held+n])
		n += held
		piece, keep, err := d.look(chunk[:n], base, last)
		if err != nil {
			return pumped{d.from, false, err}, false
		}
		d.to.writing.Store(time.Now().UnixNano())
		err = write(d.to.conn, &stream, kind, piece, last)
		d.to.writing.Store(0)
		if err != nil {
			return pumped{d.from, true, err}, false
		}
		if last {
			return pumped{}, true
		}
		base += n - keep
		held = copy(chunk[:], chunk[n-keep:n])
	}
}

// look checks what was read of a message, from its byte base, and returns what of
// it is passed on, and how many bytes at its end wait for more.
func (d *flow) look(read []byte, base int, last bool) (piece []byte, keep int, err error) {
	piece = read
	if d.renamed != nil {
		edits, err := d.renamed()
		if err != nil {
			return nil, 0, err
		}
		if keep = d.scan.open(); keep == chunkSize {
			return nil, 0, errUnreadable
		}
		piece = edited(read[:len(read)-keep], base, edits)
	}
	if last {
		err = d.check(&d.scan)
	}
	return piece, keep, err
}

// edited is a part of a document, from its byte base, with its edits.
func edited(part []byte, base int, edits []edit) []byte {
	if len(edits) == 0 {
		return part
	}
	out, from := make([]byte, 0, len(part)+256), 0
	for _, e := range edits {
		out = append(append(out, part[from:e.from-base]...), e.text...)
		from = e.to - base
	}
	return append(out, part[from:]...)
}

// write writes a piece of a message, the whole of it as one frame.
func write(conn *websocket.Conn, stream *io.WriteCloser, kind websocket.MessageType, piece []byte, last bool) (err error) {
	if *stream == nil {
		if last {
			return conn.Write(background, kind, piece)
		}
		if *stream, err = conn.Writer(background, kind); err != nil {
			return err
		}
	}
	if len(piece) > 0 {
		if _, err = (*stream).Write(piece); err != nil {
			return err
		}
	}
	if last {
		return (*stream).Close()
	}
	return nil
}

// fill reads until p is full or the message ends, which is io.EOF alone: errors of
// the connection may wrap that.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) {
		m, err := r.Read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// watched checks a message of Google's. The library takes a connection that ends
// within a message for the message's end.
func (l *liveSession) watched(scan *jsonScan) error {
	if !scan.whole() {
		return io.ErrUnexpectedEOF
	}
	l.watch.end()
	if told := &l.watch.usage.told; *told && l.x.taken != nil {
		l.x.taken.Use(l.x.running(l.Usage()))
		*told = false
	}
	return nil
}

var errUnreadable = &translate.Failure{Kind: translate.InvalidRequest, Message: "The message cannot be read."}

// checked refuses a message of the client that goes beyond what the setup was
// admitted for.
func (l *liveSession) checked(scan *jsonScan) error {
	w := &l.setup.watch
	switch {
	case scan.broken || w.tooMuch:
		return errUnreadable
	case !scan.whole():
		return io.ErrUnexpectedEOF
	case w.setups > 1:
		return &translate.Failure{Kind: translate.InvalidRequest, Message: "The setup can only be the first message."}
	}
	return nil
}

// renamed checks the files that the client's message names, and has those that it
// knows by the gateway's address named as Google knows them.
func (l *liveSession) renamed() (edits []edit, err error) {
	w := &l.setup.watch
	for _, file := range w.files {
		google := l.x.googleURI(file.uri)
		if f := l.file(google); f != nil {
			return nil, f
		}
		if google != file.uri {
			edits = append(edits, edit{file.from, file.to, rawjson.Quote(google)})
		}
	}
	w.files = w.files[:0]
	return edits, nil
}
