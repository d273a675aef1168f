// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// The statuses of items and responses.
const (
	statusCompleted  = "completed"
	statusIncomplete = "incomplete"
)

// itemList collects the items of an answer that are done.
type itemList struct {
	buf    []byte // each with a comma after it; signatures included
	hidden []gap  // stretches of buf that the client did not ask for
	count  int    // items the client sees
}

// append appends the items from an offset on as the client sees them, without
// the last comma.
func (l *itemList) append(dst []byte, from int) []byte {
	start := len(dst)
	for _, h := range l.hidden {
		if h.from >= from {
			dst = append(dst, l.buf[from:h.from]...)
			from = h.to
		}
	}
	dst = append(dst, l.buf[from:]...)
	if n := len(dst); n > start && dst[n-1] == ',' {
		dst = dst[:n-1]
	}
	return dst
}

// itemKind is the kind of the item that is open. Calls and images come whole and
// are never open.
type itemKind uint8

const (
	noItem itemKind = iota
	reasoningItem
	messageItem
	codeItem
)

// openItem is the item that parts are added to.
type openItem struct {
	kind      itemKind
	id        string
	place     []byte // the members item_id and output_index of its events
	from      int    // messages: where its text begins in all of it
	text      []byte // summary or code, encoded
	outputs   []byte // code: elements of outputs
	logprobs  []byte // elements, of a message
	plain     []byte // the same as events have them
	signed    bool   // its signature is known
	signature []byte // where it was not told before the item
	part      signedPart
	callID    string
}

// sign notes the signature of the item, to be told when it closes.
func (o *openItem) sign(part signedPart, signature []byte) {
	o.signed, o.part, o.signature = true, part, append(o.signature[:0], signature...)
}

// probabilities collects logprobs for the end of a message.
func (o *openItem) probabilities(result rawjson.Value, top int) {
	for _, list := range []struct {
		to    *[]byte
		bytes bool
	}{{&o.logprobs, true}, {&o.plain, false}} {
		n := len(*list.to)
		if n > 0 {
			*list.to = append(*list.to, ',')
		}
		before := len(*list.to)
		if *list.to = appendTokens(*list.to, result, top, list.bytes); len(*list.to) == before {
			*list.to = (*list.to)[:n]
		}
	}
}

// openItem begins an item after the open one was closed.
func (x *Responses) openItem(dst []byte, kind itemKind, prefix string) []byte {
	dst = x.begin(dst)
	dst = x.closeItem(dst, statusCompleted)
	x.open = openItem{kind: kind, from: len(x.all.content)}
	x.open.id, x.open.place = x.newItem(prefix)
	return dst
}

// newItem makes the id of the next item, and what its events say of it.
func (x *Responses) newItem(prefix string) (id string, place []byte) {
	id = prefix + x.id[len(responsePrefix):] + x.env.NewID(itemSuffix)
	place = append(append([]byte(`,"item_id":"`), id...), `","output_index":`...)
	return id, strconv.AppendInt(place, int64(x.items.count), 10)
}

func (x *Responses) openMessage(dst []byte) []byte {
	dst = x.closeItem(dst, statusCompleted)
	dst = x.search(dst)
	dst = x.openItem(dst, messageItem, "msg_")
	if !x.req.Stream {
		return dst
	}
	dst = x.added(dst)
	dst = append(append(append(dst, `{"type":"message","id":"`...), x.open.id...), `","status":"in_progress","role":"assistant","content":[]}`...)
	dst = append(dst, "}\n\n"...)
	dst = x.itemEvent(dst, "response.content_part.added")
	return append(dst, `,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}`+"}\n\n"...)
}

func (x *Responses) openReasoning(dst []byte) []byte {
	dst = x.openItem(dst, reasoningItem, "rs_")
	if !x.req.Stream {
		return dst
	}
	dst = x.added(dst)
	dst = append(append(append(dst, `{"type":"reasoning","id":"`...), x.open.id...), `","summary":[]}`...)
	dst = append(dst, "}\n\n"...)
	dst = x.itemEvent(dst, "response.reasoning_summary_part.added")
	return append(dst, `,"summary_index":0,"part":{"type":"summary_text","text":""}`+"}\n\n"...)
}

// closeItem ends the open item, if there is one.
func (x *Responses) closeItem(dst []byte, status string) []byte {
	o := x.open
	x.open = openItem{}
	switch o.kind {
	case noItem:
	case reasoningItem:
		return x.closeReasoning(dst, &o, status)
	case codeItem:
		return x.closeCode(dst, &o, status)
	case messageItem:
		dst = x.closeMessage(dst, &o, status)
		if len(o.signature) > 0 {
			dst = x.mark(dst, o.part, "", o.signature)
		}
	}
	return dst
}

func (x *Responses) closeMessage(dst []byte, o *openItem, status string) []byte {
	if x.req.JSONMode && o.from == 0 && !x.all.flowing {
		if x.all.unfence(); x.req.Stream {
			dst = x.textDelta(dst, o, x.all.content, nil)
		}
	}
	text := x.all.content[o.from:]
	var sources []byte
	for i, s := range x.sources(o.from) {
		if i > 0 {
			sources = append(sources, ',')
		}
		start := len(sources)
		if sources = s.appendFlat(sources); x.req.Stream {
			dst = x.event(dst, "response.output_text.annotation.added")
			dst = append(append(dst, o.place...), `,"content_index":0,"annotation_index":`...)
			dst = strconv.AppendInt(dst, int64(i), 10)
			dst = append(append(dst, `,"annotation":`...), sources[start:]...)
			dst = append(dst, "}\n\n"...)
		}
	}
	size := len(text) + len(sources) + len(o.logprobs) + 512
	part := func(dst []byte) []byte {
		dst = append(append(dst, `{"type":"output_text","text":"`...), text...)
		dst = append(append(dst, `","annotations":[`...), sources...)
		return append(append(append(dst, `],"logprobs":[`...), o.logprobs...), ']', '}')
	}
	if x.req.Stream {
		dst = slices.Grow(dst, 4*size) // three events have it now, and the last one of all again
		dst = x.event(dst, "response.output_text.done")
		dst = append(append(dst, o.place...), `,"content_index":0,"text":"`...)
		dst = append(append(dst, text...), `","logprobs":[`...)
		dst = append(append(dst, o.plain...), "]}\n\n"...)
		dst = x.event(dst, "response.content_part.done")
		dst = append(append(dst, o.place...), `,"content_index":0,"part":`...)
		dst = append(part(dst), "}\n\n"...)
	}
	from, b := len(x.items.buf), slices.Grow(x.items.buf, size)
	b = append(append(append(b, `{"type":"message","id":"`...), o.id...), `","status":"`...)
	b = append(append(b, status...), `","role":"assistant","content":[`...)
	x.items.buf = append(part(b), "]},"...)
	return x.done(dst, from)
}

// sources are the annotations of the message whose text begins at from. Offsets
// count from there.
func (x *Responses) sources(from int) []span {
	spans := x.all.spans()
	if len(spans) == 0 {
		return nil
	}
	before := utf8.RuneCount(rawjson.AppendText(nil, quoted(x.all.content[:from])))
	kept := spans[:0]
	for _, s := range spans {
		if s.from >= before { // the others belong to messages before
			s.from, s.to = s.from-before, s.to-before
			kept = append(kept, s)
		}
	}
	return kept
}

// appendFlat appends a citation as the Responses API has it.
func (s span) appendFlat(dst []byte) []byte {
	dst = append(dst, `{"type":"url_citation","start_index":`...)
	dst = strconv.AppendInt(dst, int64(s.from), 10)
	dst = append(dst, `,"end_index":`...)
	dst = strconv.AppendInt(dst, int64(s.to), 10)
	dst = append(append(append(dst, `,"url":"`...), s.url...), `","title":"`...)
	return append(append(dst, s.title...), `"}`...)
}

func (x *Responses) closeReasoning(dst []byte, o *openItem, status string) []byte {
	if x.req.Stream {
		dst = x.event(dst, "response.reasoning_summary_text.done")
		dst = append(append(append(dst, o.place...), `,"summary_index":0,"text":"`...), o.text...)
		dst = append(dst, "\"}\n\n"...)
		dst = x.event(dst, "response.reasoning_summary_part.done")
		dst = append(append(dst, o.place...), `,"summary_index":0,"part":{"type":"summary_text","text":"`...)
		dst = append(append(dst, o.text...), "\"}}\n\n"...)
	}
	from := len(x.items.buf)
	x.appendReasoning(o, status)
	return x.done(dst, from)
}

// appendReasoning adds a reasoning item to the list. The signature is hidden
// where only the store gets it.
func (x *Responses) appendReasoning(o *openItem, status string) {
	b := append(append(append(x.items.buf, `{"type":"reasoning","id":"`...), o.id...), `","summary":[`...)
	if len(o.text) > 0 {
		b = append(append(append(b, `{"type":"summary_text","text":"`...), o.text...), `"}`...)
	}
	b = append(b, ']')
	if len(o.signature) > 0 {
		from := len(b)
		b = appendEnvelope(append(b, `,"encrypted_content":"`...), o.part, o.callID, o.signature)
		if b = append(b, '"'); !x.req.encrypted {
			x.items.hidden = append(x.items.hidden, gap{from, len(b)})
		}
	}
	x.items.buf = append(append(append(b, `,"status":"`...), status...), `"},`...)
}

// mark tells the signature of a part before its item, in the reasoning item that
// is open or in one of its own (§20.4).
func (x *Responses) mark(dst []byte, part signedPart, callID string, signature []byte) []byte {
	if x.open.kind == reasoningItem && !x.open.signed {
		x.open.sign(part, signature)
		x.open.callID = callID
		return x.closeItem(dst, statusCompleted)
	}
	dst = x.closeItem(dst, statusCompleted)
	dst = x.begin(dst)
	o := openItem{part: part, callID: callID, signature: signature}
	from := len(x.items.buf)
	if !x.req.encrypted {
		o.id, _ = x.newItem("rs_")
		n := len(x.items.hidden)
		x.appendReasoning(&o, statusCompleted)
		x.items.hidden = append(x.items.hidden[:n], gap{from, len(x.items.buf)})
		return dst
	}
	o.id, _ = x.newItem("rs_")
	x.appendReasoning(&o, statusCompleted)
	if x.req.Stream {
		dst = x.added(dst)
		dst = append(append(append(dst, `{"type":"reasoning","id":"`...), o.id...), `","summary":[]}`+"}\n\n"...)
	}
	return x.done(dst, from)
}
