// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// blockKind is what a content block has.
type blockKind uint8

const (
	blockNone blockKind = iota
	blockThinking
	blockText
)

// blocks writes the content blocks of one message: the events of a stream, or the
// elements of content. At most one block is open at a time, and blocks are numbered
// without gaps; clients' accumulators insist on both. Text that is passed in is
// encoded, without quotes. Source: specs/native-anthropic.md C.7.
type blocks struct {
	events bool // write events
	open   blockKind
	index  int // of the next block, or of the one that is open
}

// start appends everything before the members of a content_block_start.
func (b *blocks) start(dst []byte) []byte {
	if !b.events {
		if b.index > 0 {
			dst = append(dst, ',')
		}
		return dst
	}
	dst = append(dst, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":"...)
	dst = strconv.AppendInt(dst, int64(b.index), 10)
	return append(dst, `,"content_block":`...)
}

// delta appends everything before the delta of a content_block_delta.
func (b *blocks) delta(dst []byte) []byte {
	dst = append(dst, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"...)
	dst = strconv.AppendInt(dst, int64(b.index), 10)
	return append(dst, `,"delta":`...)
}

const endEvent = "}\n\n"

// stop ends a block.
func (b *blocks) stop(dst []byte) []byte {
	if b.events {
		dst = append(dst, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":"...)
		dst = strconv.AppendInt(dst, int64(b.index), 10)
		dst = append(dst, endEvent...)
	}
	b.index++
	b.open = blockNone
	return dst
}

// text adds to the open text block, or opens one. No other block may be open.
func (b *blocks) text(dst, inner []byte) []byte {
	if b.open != blockText {
		dst = b.start(dst)
		b.open = blockText
		if b.events {
			dst = append(dst, `{"type":"text","text":""}`+endEvent...)
		} else {
			dst = append(dst, `{"type":"text","text":"`...)
		}
	}
	if !b.events {
		return append(dst, inner...)
	}
	dst = append(b.delta(dst), `{"type":"text_delta","text":"`...)
	dst = append(dst, inner...)
	return append(dst, `"}`+endEvent...)
}

// thinking adds to the open thinking block, or opens one; inner may be empty. No
// other block may be open.
func (b *blocks) thinking(dst, inner []byte) []byte {
	if b.open != blockThinking {
		dst = b.start(dst)
		b.open = blockThinking
		if b.events {
			dst = append(dst, `{"type":"thinking","thinking":"","signature":""}`+endEvent...)
		} else {
			dst = append(dst, `{"type":"thinking","thinking":"`...)
		}
	}
	if !b.events {
		return append(dst, inner...)
	}
	if len(inner) == 0 {
		return dst
	}
	dst = append(b.delta(dst), `{"type":"thinking_delta","thinking":"`...)
	dst = append(dst, inner...)
	return append(dst, `"}`+endEvent...)
}

// sign ends the open thinking block. Its signature goes out once: one SDK joins
// several, another keeps the last. Source: specs/native-anthropic.md C.5.
func (b *blocks) sign(dst []byte, signature string) []byte {
	if b.events {
		dst = append(b.delta(dst), `{"type":"signature_delta","signature":"`...)
		dst = append(append(dst, signature...), `"}`+endEvent...)
	} else {
		dst = append(append(append(dst, `","signature":"`...), signature...), `"}`...)
	}
	return b.stop(dst)
}

// endText ends the open text block.
func (b *blocks) endText(dst []byte) []byte {
	if !b.events {
		dst = append(dst, `"}`...)
	}
	return b.stop(dst)
}

// cited appends a text block with citations, encoded objects of which there is at
// least one.
func (b *blocks) cited(dst, inner []byte, citations [][]byte) []byte {
	dst = b.start(dst)
	if !b.events {
		dst = append(append(append(dst, `{"type":"text","text":"`...), inner...), `","citations":[`...)
		for i, c := range citations {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, c...)
		}
		return b.stop(append(dst, ']', '}'))
	}
	dst = append(dst, `{"type":"text","text":"","citations":[]}`+endEvent...)
	dst = append(b.delta(dst), `{"type":"text_delta","text":"`...)
	dst = append(append(dst, inner...), `"}`+endEvent...)
	for _, c := range citations {
		dst = append(b.delta(dst), `{"type":"citations_delta","citation":`...)
		dst = append(append(dst, c...), '}')
		dst = append(dst, endEvent...)
	}
	return b.stop(dst)
}

// call appends a tool_use or server_tool_use block. input is a compact JSON object.
func (b *blocks) call(dst []byte, typ, id, name string, input []byte) []byte {
	dst = append(append(append(b.start(dst), `{"type":"`...), typ...), `","id":"`...)
	dst = append(append(dst, id...), `","name":`...)
	dst = append(rawjson.AppendQuoted(dst, name), `,"input":`...)
	if !b.events {
		return b.stop(append(append(dst, input...), '}'))
	}
	dst = append(dst, `{}}`+endEvent...)
	dst = append(b.delta(dst), `{"type":"input_json_delta","partial_json":"`...)
	for _, c := range input { // in compact JSON only these need an escape
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return b.stop(append(dst, `"}`+endEvent...))
}

// whole appends a block that comes in one piece, as results of server tools do.
func (b *blocks) whole(dst, block []byte) []byte {
	dst = append(b.start(dst), block...)
	if b.events {
		dst = append(dst, endEvent...)
	}
	return b.stop(dst)
}
