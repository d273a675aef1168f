// SPDX-License-Identifier: Apache-2.0

package usage

import "time"

// words are the texts that occur in a column, each once. They are spelled when
// they are asked for: most blocks are read for few rows.
type words struct {
	n   int
	raw []byte   // each preceded by its length
	all []string // once all are spelled
}

// at returns a word by its place. known is false for damage.
func (w *words) at(place int) (word string, known bool) {
	switch {
	case place >= w.n:
		return "", false
	case len(w.all) > 0:
		return w.all[place], true
	}
	in := reader{rest: w.raw}
	for range place {
		in.take(in.uvarint())
	}
	return in.text(), !in.damaged
}

// find returns the place of a word, or -1.
func (w *words) find(word string) int {
	in := reader{rest: w.raw}
	for i := 0; i < w.n && !in.damaged; i++ {
		if string(in.take(in.uvarint())) == word {
			return i
		}
	}
	return -1
}

// spell makes all of them texts, which share one string.
func (w *words) spell() (damaged bool) {
	if len(w.all) > 0 || w.n == 0 {
		return false
	}
	all, in := string(w.raw), reader{rest: w.raw}
	w.all = make([]string, w.n)
	for i := range w.all {
		n := in.uvarint()
		from := len(all) - len(in.rest)
		if in.take(n); in.damaged {
			return true
		}
		w.all[i] = all[from : from+int(n)]
	}
	return false
}

// texts is a column of texts: which word each row has.
type texts struct {
	words
	places []byte
	width  int // bytes of a place
	read   bool
}

func (t *texts) place(i int) int {
	switch t.width {
	case 1:
		return int(t.places[i])
	case 2:
		return int(t.places[2*i]) | int(t.places[2*i+1])<<8
	}
	return 0
}

// text returns a column of texts.
func (b *rows) text(column int) *texts {
	t := &b.texts[column]
	if t.read {
		return t
	}
	in := reader{rest: b.columns[columnTexts+column]}
	t.read, t.n = true, in.count()
	switch {
	case t.n > 256:
		t.width = 2
	case t.n > 1:
		t.width = 1
	}
	size := t.width * b.n
	if in.damaged || size > len(in.rest) {
		*t = texts{read: true}
		b.damaged = true
		return t
	}
	t.raw, t.places = in.rest[:len(in.rest)-size], in.rest[len(in.rest)-size:]
	return t
}

// word returns a text of a row.
func (b *rows) word(column, i int) string {
	t := b.text(column)
	if b.many {
		b.damaged = t.spell() || b.damaged
	}
	word, known := t.at(t.place(i))
	b.damaged = b.damaged || !known
	return word
}

// tries are where the attempts of each row are.
type tries struct {
	words
	rest  []byte
	at    []int  // in rest
	plain []bool // rows whose tries are all plain

	read   bool // words and rest are of these rows
	placed bool // at and plain are
	some   bool // any row has tries
}

// attempts returns the tries of a row.
func (b *rows) attempts(i int) []Try {
	t := b.allTries()
	if !t.some {
		return nil
	}
	in := reader{rest: t.rest[t.at[i]:]}
	n := in.count()
	if n == 0 {
		return nil
	}
	if b.many || n > manyRows {
		b.damaged = t.spell() || b.damaged
	}
	word := func() string {
		w, known := t.words.at(int(min(in.uvarint(), 1<<31-1)))
		in.damaged = in.damaged || !known
		return w
	}
	out := make([]Try, n)
	for j := range out {
		t := &out[j]
		if kind := in.take(1); len(kind) == 1 && kind[0] == 1 {
			t.KeyID, t.Project, t.Status, t.Verdict = b.word(textKey, i), b.word(textProject, i), 200, "ok"
		} else {
			t.KeyID, t.Project, t.Verdict, t.Reason = word(), word(), word(), word()
			t.Status = int(in.varint())
			if charged := in.take(1); len(charged) == 1 && charged[0] == 1 {
				for _, n := range t.Charge.fields() {
					*n = in.varint()
				}
			}
		}
		t.Started = time.Duration(in.varint()) * time.Millisecond
		t.Duration = time.Duration(in.varint()) * time.Millisecond
	}
	b.damaged = b.damaged || in.damaged
	return out
}

// triesWords opens the column of tries.
func (b *rows) triesWords() *tries {
	t := &b.tries
	if t.read {
		return t
	}
	t.read = true
	in := reader{rest: b.columns[columnTries]}
	if len(in.rest) == 0 {
		return t
	}
	t.n = in.count()
	all := in.rest
	for range t.n {
		in.take(in.uvarint())
	}
	t.raw, t.rest, t.some = all[:len(all)-len(in.rest)], in.rest, true
	b.damaged = b.damaged || in.damaged
	return t
}

// allTries finds where the tries of each row are, without reading them.
func (b *rows) allTries() *tries {
	t := b.triesWords()
	if !t.some || t.placed {
		return t
	}
	t.placed = true
	if cap(t.at) < b.n {
		t.at, t.plain = make([]int, b.n), make([]bool, b.n)
	}
	t.at, t.plain = t.at[:b.n], t.plain[:b.n]
	in := reader{rest: t.rest}
	for i := range b.n {
		t.at[i], t.plain[i] = len(t.rest)-len(in.rest), true
		for range in.count() {
			if kind := in.take(1); len(kind) != 1 || kind[0] != 1 {
				t.plain[i] = false
				in.skip(5)
				if charged := in.take(1); len(charged) == 1 && charged[0] == 1 {
					in.skip(chargeFields)
				}
			}
			in.skip(2)
		}
	}
	b.damaged = b.damaged || in.damaged
	return t
}
