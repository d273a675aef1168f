// SPDX-License-Identifier: Apache-2.0

package usage

import "strconv"

// attempted is what is asked of attempts, in the places that a block has for it:
// nothing is spelled to compare it.
type attempted struct {
	rows  *rows
	asked []attemptWord

	status          int64 // that the code asked for stands for; -1 for none
	fine, unnamed   int   // places of the verdicts that are none of a failure
	keyed, reasoned int   // places of the key and the verdict that are asked for
	byTries         bool  // whether a try can have any of them
}

// attemptWord is one of up to three words: a row has it itself, or a try of it.
type attemptWord struct {
	kind   int
	column *texts
	place  int // of the word in the column; -1 for none
}

// Kinds of them.
const (
	attemptKey = iota
	attemptCode
	attemptReason
	attemptKinds
)

// attempted makes ready what is asked of attempts. possible is false for a block
// that has no such row.
func (q *query) attempted(b *rows) (a attempted, possible bool) {
	a = attempted{rows: b, status: -1, keyed: -1, reasoned: -1}
	if q.Key == "" && q.Code == "" && q.Reason == "" {
		return a, true
	}
	tries := b.triesWords()
	if tries.some {
		a.fine, a.unnamed = tries.find("ok"), tries.find("")
		a.keyed, a.reasoned = tries.place(q.Key), tries.place(q.Reason)
		a.status = statusOf(q.Code)
	}
	for kind, w := range [attemptKinds]struct {
		column  int
		word    string
		byTries bool
	}{
		attemptKey:    {textKey, q.Key, a.keyed >= 0},
		attemptCode:   {textCode, q.Code, a.status >= 0},
		attemptReason: {textOutcome, q.Reason, a.reasoned >= 0},
	} {
		if w.word == "" {
			continue
		}
		t := b.text(w.column)
		place := t.find(w.word)
		if place < 0 && !w.byTries {
			return a, false
		}
		a.byTries = a.byTries || w.byTries
		a.asked = append(a.asked, attemptWord{kind, t, place})
	}
	return a, true
}

// place is find for a word that may not be asked for.
func (w *words) place(word string) int {
	if word == "" {
		return -1
	}
	return w.find(word)
}

// statusOf is the status of which a code is [Try.errorCode], or -1.
func statusOf(code string) int64 {
	if code == "network" {
		return 0
	}
	if n, err := strconv.ParseInt(code, 10, 64); err == nil && n != 0 && strconv.FormatInt(n, 10) == code {
		return n
	}
	return -1
}

// wanted tells whether a row is what is asked for.
func (a *attempted) wanted(i int) bool {
	var missing [attemptKinds]bool
	for j := range a.asked {
		w := &a.asked[j]
		missing[w.kind] = w.column.place(i) != w.place
	}
	if missing == [attemptKinds]bool{} {
		return true
	}
	if !a.byTries || a.rows.allTries().plain[i] { // plain tries have the row's key and no failure
		return false
	}
	for kind, has := range a.tried(i) {
		if missing[kind] && !has {
			return false
		}
	}
	return true
}

// tried tells which of the words the tries of a row have.
func (a *attempted) tried(i int) (has [attemptKinds]bool) {
	t := &a.rows.tries
	in := reader{rest: t.rest[t.at[i]:]}
	for range in.count() {
		if kind := in.take(1); len(kind) != 1 || kind[0] == 1 {
			in.skip(2)
			continue
		}
		by := int(in.uvarint())
		in.skip(1)
		verdict := int(in.uvarint())
		in.skip(1)
		status := in.varint()
		if charged := in.take(1); len(charged) == 1 && charged[0] == 1 {
			in.skip(chargeFields)
		}
		in.skip(2)
		has[attemptKey] = has[attemptKey] || by == a.keyed
		if verdict != a.fine && verdict != a.unnamed || status >= 400 {
			has[attemptCode] = has[attemptCode] || status == a.status
			has[attemptReason] = has[attemptReason] || verdict == a.reasoned
		}
	}
	return has
}
