// SPDX-License-Identifier: Apache-2.0

package users

import "strings"

// block has the texts of rows that follow each other, one after the other, so that a
// search goes through all of them at the speed of memory and a million texts are some
// thousands of objects for the garbage collector.
type block struct {
	text   string
	from   int      // place of its first row
	starts []uint32 // where the texts of its rows begin
}

// blockSize is when a block has enough. Larger ones search no faster, and keep more
// texts of keys that were renamed.
const blockSize = 64 << 10

// pack moves the texts of rows into blocks.
func pack(rows []row) (blocks []block) {
	for from := 0; from < len(rows); {
		b := block{from: from}
		var text strings.Builder
		for to := from; to < len(rows) && (to == from || text.Len()+len(rows[to].text) <= blockSize); to++ {
			b.starts = append(b.starts, uint32(text.Len())) //nolint:gosec // at most a block and a row
			text.WriteString(rows[to].text)
		}
		b.text = text.String()
		for i, start := range b.starts {
			r := &rows[from+i]
			r.text = b.text[start : int(start)+len(r.text)]
			r.flags &^= rowLoose
		}
		from += len(b.starts)
		blocks = append(blocks, b)
	}
	return blocks
}

// search sets the bits of the rows whose text has what is searched for; loose rows are
// not in blocks and left to the caller.
func (x *index) search(what string, bits []uint64) {
	for i := range x.blocks {
		x.blocks[i].search(x.rows, what, bits)
	}
}

func (b *block) search(rows []row, what string, bits []uint64) {
	n := 0 // row of the block
	for at := 0; ; {
		next := strings.Index(b.text[at:], what)
		if next < 0 {
			return
		}
		at += next
		for n+1 < len(b.starts) && int(b.starts[n+1]) <= at {
			n++
		}
		i := b.from + n
		r := &rows[i]
		end := int(b.starts[n]) + len(r.text)
		if r.flags&(rowLoose|rowDead) != 0 || at+len(what) > end { // another text is there now, or it goes over the end
			at++
			continue
		}
		bits[i>>6] |= 1 << (i & 63)
		at = end
	}
}
