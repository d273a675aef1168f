// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"time"
)

// blockFormat is the first byte of rows in the store. Other values are for later
// formats.
const blockFormat = 1

// What is kept of texts that others chose, in bytes, and of attempts: all that a request
// makes, as the sums are made from them. It makes 32 for each of its calls to Google at
// most; the bound is for what has many calls and finds every one of its keys dead.
const (
	maxName   = 128
	maxError  = 500
	maxReason = 100
	maxTries  = 1024
)

// Rows are kept by columns: what is alike stands together. A column is a count of
// bytes and its content; the table below has them in their order, which is part of
// the format.
const (
	columnID    = iota // request ids
	columnTries        // attempts
	columnInts         // the first of intColumns
)

var columnTexts = columnInts + len(intColumns)

// Places in intColumns that filters look at.
const (
	intAt = iota
	intFlags
	intStatus
	intAttempts
	intDuration
)

// intColumn is a number of a record.
type intColumn struct {
	get func(*Record) int64
	set func(*Record, int64)
}

// millis is a duration as it is kept: whole milliseconds, rounded up, so that some
// time never becomes none.
func millis(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

// Flags of a row; the class stands above them.
const (
	flagStream = 1 << iota
	flagPartial
	flagEstimated
	flagPriced
	flagBodied
	classShift = iota
)

func (r *Record) flags() int64 {
	n := int64(r.Class()) << classShift
	for i, set := range [...]bool{r.Stream, r.Partial, r.Estimated, r.Priced, r.bodied} { // in the order of the flags
		if set {
			n |= 1 << i
		}
	}
	return n
}

func (r *Record) setFlags(n int64) {
	r.Stream, r.Partial, r.Estimated = n&flagStream != 0, n&flagPartial != 0, n&flagEstimated != 0
	r.Priced, r.bodied = n&flagPriced != 0, n&flagBodied != 0
}

func number(at func(*Record) *int64) intColumn {
	return intColumn{func(r *Record) int64 { return *at(r) }, func(r *Record, n int64) { *at(r) = n }}
}

func duration(at func(*Record) *time.Duration) intColumn {
	return intColumn{
		func(r *Record) int64 { return millis(*at(r)) },
		func(r *Record, n int64) { *at(r) = time.Duration(n) * time.Millisecond },
	}
}

var intColumns = [...]intColumn{
	intAt:       {func(r *Record) int64 { return r.At.UnixMilli() }, func(r *Record, n int64) { r.At = time.UnixMilli(n).UTC() }},
	intFlags:    {(*Record).flags, (*Record).setFlags},
	intStatus:   {func(r *Record) int64 { return int64(r.Status) }, func(r *Record, n int64) { r.Status = int(n) }},
	intAttempts: {func(r *Record) int64 { return int64(r.Attempts) }, func(r *Record, n int64) { r.Attempts = int(n) }},
	intDuration: duration(func(r *Record) *time.Duration { return &r.Duration }),
	number(func(r *Record) *int64 { return &r.Input }),
	number(func(r *Record) *int64 { return &r.Cached }),
	number(func(r *Record) *int64 { return &r.Output }),
	number(func(r *Record) *int64 { return &r.Thoughts }),
	number(func(r *Record) *int64 { return &r.ToolUse }),
	number(func(r *Record) *int64 { return &r.Cost }),
	duration(func(r *Record) *time.Duration { return &r.Waited }),
	duration(func(r *Record) *time.Duration { return &r.FirstOutput }),
}

// Places in textColumns that filters look at.
const (
	textDialect = iota
	textModel
	textUser
	textKey
	textOutcome
	textCode
	textProject
)

// textColumn is a text of a record. Each that occurs is written once a block.
type textColumn struct {
	get func(*Record) string
	set func(*Record, string)
	max int
}

func textOf(limit int, at func(*Record) *string) textColumn {
	return textColumn{func(r *Record) string { return *at(r) }, func(r *Record, s string) { *at(r) = s }, limit}
}

var textColumns = [...]textColumn{
	textDialect: textOf(maxName, func(r *Record) *string { return &r.Dialect }),
	textModel:   textOf(maxName, func(r *Record) *string { return &r.Model }),
	textUser:    textOf(maxName, func(r *Record) *string { return &r.UserID }),
	textKey:     textOf(maxName, func(r *Record) *string { return &r.KeyID }),
	textOutcome: textOf(maxName, func(r *Record) *string { return &r.Outcome }),
	textCode:    textOf(maxName, func(r *Record) *string { return &r.Code }),
	textProject: textOf(maxName, func(r *Record) *string { return &r.Project }),
	textOf(maxName, func(r *Record) *string { return &r.Endpoint }),
	textOf(maxName, func(r *Record) *string { return &r.Asked }),
	textOf(maxName, func(r *Record) *string { return &r.Version }),
	textOf(maxName, func(r *Record) *string { return &r.Agent }),
	textOf(maxError, func(r *Record) *string { return &r.Error }),
	textOf(maxName, func(r *Record) *string { return &r.Price }),
	{
		func(r *Record) string { return string(r.IP.Unmap().AsSlice()) },
		func(r *Record, s string) { r.IP, _ = netip.AddrFromSlice([]byte(s)) },
		16,
	},
}

// cut shortens a text to at most limit bytes, at a character's end.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "")
}

// trim makes a record what is kept of it.
func (r *Record) trim() {
	for i := range textColumns {
		c := &textColumns[i]
		if s := c.get(r); len(s) > c.max {
			c.set(r, cut(s, c.max))
		}
	}
	r.RequestID = cut(r.RequestID, maxName)
	if len(r.Tries) > maxTries { // how it began, and how it ended
		r.Tries = append(append([]Try{}, r.Tries[:maxTries-1]...), r.Tries[len(r.Tries)-1])
	}
}

// encodeRows writes up to 65,535 records.
func encodeRows(rows []Record) []byte {
	out := make([]byte, 0, 128+96*len(rows))
	out = append(out, blockFormat)
	out = binary.AppendUvarint(out, uint64(len(rows)))
	var column []byte
	flush := func() {
		out = binary.AppendUvarint(out, uint64(len(column)))
		out = append(out, column...)
		column = column[:0]
	}
	column = appendIDs(column, rows)
	flush()
	column = appendTries(column, rows)
	flush()
	for i := range intColumns {
		column = appendInts(column, rows, intColumns[i].get, i == intAt)
		flush()
	}
	for i := range textColumns {
		column = appendTexts(column, rows, textColumns[i].get)
		flush()
	}
	return out
}

// appendInts writes numbers: none where all are 0. delta writes differences.
func appendInts(out []byte, rows []Record, get func(*Record) int64, delta bool) []byte {
	before, something := int64(0), false
	from := len(out)
	for i := range rows {
		n := get(&rows[i])
		something = something || n != 0
		out = binary.AppendVarint(out, n-before)
		if delta {
			before = n
		}
	}
	if !something {
		return out[:from]
	}
	return out
}

// dictionary collects the texts of a column.
type dictionary struct {
	places map[string]int
	texts  []byte

	last  string // rows that follow one another are alike more often than not
	where int    // its place
}

func (d *dictionary) place(s string) int {
	if s == d.last && len(d.places) > 0 {
		return d.where
	}
	i, known := d.places[s]
	if !known {
		if d.places == nil {
			d.places = map[string]int{}
		}
		i = len(d.places)
		d.places[s] = i
		d.texts = binary.AppendUvarint(d.texts, uint64(len(s)))
		d.texts = append(d.texts, s...)
	}
	d.last, d.where = s, i
	return i
}

// appendTexts writes the texts that occur, and for each row which one it is, in
// no byte, one or two.
func appendTexts(out []byte, rows []Record, get func(*Record) string) []byte {
	var d dictionary
	places := make([]int, len(rows))
	for i := range rows {
		places[i] = d.place(get(&rows[i]))
	}
	out = binary.AppendUvarint(out, uint64(len(d.places)))
	out = append(out, d.texts...)
	for _, p := range places {
		switch {
		case len(d.places) > 256:
			out = append(out, byte(p), byte(p>>8))
		case len(d.places) > 1:
			out = append(out, byte(p))
		}
	}
	return out
}

// The ids that the gateway makes have 20 characters of 62 after this, which take
// 15 bytes.
const (
	idPrefix   = "req_"
	idChars    = 20
	idBytes    = idChars * 6 / 8
	idAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// idSixes are the places of characters in idAlphabet, from 1 on; 0 for those not in it.
var idSixes = func() (places [256]uint8) {
	for i, c := range []byte(idAlphabet) {
		places[c] = uint8(i + 1) //nolint:gosec // 62 of them
	}
	return places
}()

// packID packs an id that the gateway made.
func packID(out []byte, id string) ([]byte, bool) {
	if len(id) != len(idPrefix)+idChars || id[:len(idPrefix)] != idPrefix {
		return out, false
	}
	from := len(out)
	for i := len(idPrefix); i < len(id); i += 4 {
		var word uint32
		for _, c := range []byte(id[i : i+4]) {
			six := idSixes[c]
			if six == 0 {
				return out[:from], false
			}
			word = word<<6 | uint32(six-1)
		}
		out = append(out, byte(word>>16), byte(word>>8), byte(word))
	}
	return out, true
}

func unpackID(packed []byte) string {
	out := make([]byte, 0, len(idPrefix)+idChars)
	out = append(out, idPrefix...)
	for i := 0; i+3 <= len(packed); i += 3 {
		word := uint32(packed[i])<<16 | uint32(packed[i+1])<<8 | uint32(packed[i+2])
		for shift := 18; shift >= 0; shift -= 6 {
			out = append(out, idAlphabet[min(int(word>>shift&63), len(idAlphabet)-1)])
		}
	}
	return string(out)
}

// appendIDs writes request ids: 1 and packed ones, or 0 and texts.
func appendIDs(out []byte, rows []Record) []byte {
	from, packed := len(out), true
	out = append(out, 1)
	for i := 0; i < len(rows) && packed; i++ {
		out, packed = packID(out, rows[i].RequestID)
	}
	if packed {
		return out
	}
	out = append(out[:from], 0)
	for i := range rows {
		out = binary.AppendUvarint(out, uint64(len(rows[i].RequestID)))
		out = append(out, rows[i].RequestID...)
	}
	return out
}

// plain tells whether a try says nothing that its row does not, but for times.
func (t *Try) plain(r *Record) bool {
	return t.KeyID == r.KeyID && t.Project == r.Project && t.Status == 200 && t.Verdict == "ok" && t.Reason == "" && t.Charge == Charge{}
}

// appendCharge writes whether there is any, and its numbers then.
func appendCharge(out []byte, c *Charge) []byte {
	if *c == (Charge{}) {
		return append(out, 0)
	}
	out = append(out, 1)
	for _, n := range c.fields() {
		out = binary.AppendVarint(out, *n)
	}
	return out
}

// appendTries writes the texts of all tries, then the tries of each row.
func appendTries(out []byte, rows []Record) []byte {
	var d dictionary
	var tries []byte
	something := false
	for i := range rows {
		r := &rows[i]
		tries = binary.AppendUvarint(tries, uint64(len(r.Tries)))
		for j := range r.Tries {
			something = true
			t := &r.Tries[j]
			if t.plain(r) {
				tries = append(tries, 1)
			} else {
				tries = append(tries, 0)
				for _, s := range [...]string{cut(t.KeyID, maxName), cut(t.Project, maxName), cut(t.Verdict, maxName), cut(t.Reason, maxReason)} {
					tries = binary.AppendUvarint(tries, uint64(d.place(s)))
				}
				tries = binary.AppendVarint(tries, int64(t.Status))
				tries = appendCharge(tries, &t.Charge)
			}
			tries = binary.AppendVarint(tries, millis(t.Started))
			tries = binary.AppendVarint(tries, millis(t.Duration))
		}
	}
	if !something {
		return out
	}
	out = binary.AppendUvarint(out, uint64(len(d.places)))
	return append(append(out, d.texts...), tries...)
}
