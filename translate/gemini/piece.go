// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"encoding/base64"
	"io"
)

// Piece is a large value of an encoded request that stays where it is, mostly in
// the client's body, instead of being copied into the encoding. An image then
// takes its own size and not twice that.
type Piece struct {
	At    int    // where it belongs: its offset in the rest of the encoding
	Data  []byte // read only
	Raw   bool   // Data is sent as base64, not as it is
	Media bool   // Data is a file's, not text
}

// minPiece is from how many bytes on a value becomes a piece. Below, a copy is
// cheaper than a read of its own.
const minPiece = 16 << 10

// Len is how many bytes of the body the piece makes.
func (p *Piece) Len() int {
	if p.Raw {
		return base64.StdEncoding.EncodedLen(len(p.Data))
	}
	return len(p.Data)
}

// Length is the size of a body with its pieces, in bytes.
func Length(body []byte, pieces []Piece) int64 {
	n := int64(len(body))
	for i := range pieces {
		n += int64(pieces[i].Len())
	}
	return n
}

// NewReader reads a body with its pieces, which are in order of At, from an
// offset of body on; pieces before it are left out. Any number of readers may
// read the same body. At its end a reader lets go of it.
func NewReader(body []byte, pieces []Piece, from int) io.Reader {
	for len(pieces) > 0 && pieces[0].At < from {
		pieces = pieces[1:]
	}
	return &reader{body: body, pieces: pieces, at: from}
}

type reader struct {
	body   []byte
	pieces []Piece // to come, the present one included
	at     int     // in body
	piece  int     // in the first piece's data
	left   []byte  // of the group below
	group  [4]byte // of base64, where a read had no room for it
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		switch end := r.border(); {
		case len(r.left) > 0:
			m := copy(p[n:], r.left)
			r.left = r.left[m:]
			n += m
		case r.at < end:
			m := copy(p[n:], r.body[r.at:end])
			r.at += m
			n += m
		case len(r.pieces) == 0:
			if n == 0 {
				*r, err = reader{}, io.EOF
			}
			return n, err
		case r.piece == len(r.pieces[0].Data):
			r.pieces, r.piece = r.pieces[1:], 0
		case r.pieces[0].Raw:
			n += r.encode(p[n:])
		default:
			m := copy(p[n:], r.pieces[0].Data[r.piece:])
			r.piece += m
			n += m
		}
	}
	return n, nil
}

// border is where the body is interrupted next.
func (r *reader) border() int {
	if len(r.pieces) > 0 {
		return r.pieces[0].At
	}
	return len(r.body)
}

// encode takes as many groups of three bytes as p has room for, at least one.
func (r *reader) encode(p []byte) int {
	data := r.pieces[0].Data[r.piece:]
	if len(p) < len(r.group) {
		data = data[:min(len(data), 3)]
		r.piece += len(data)
		base64.StdEncoding.Encode(r.group[:], data)
		r.left = r.group[:]
		return 0
	}
	data = data[:min(len(data), len(p)/4*3)]
	r.piece += len(data)
	base64.StdEncoding.Encode(p, data)
	return base64.StdEncoding.EncodedLen(len(data))
}
