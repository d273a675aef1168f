// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"slices"
	"strconv"
	"time"
)

// Filter says which requests are wanted; the zero value wants all. Texts are
// compared as a whole.
type Filter struct {
	From, To  time.Time // that ended in this time, To excluded; zero for open
	Class     string    // ok, retried, client_error, failed
	Status    int       // told to the client
	Code      string    // Google's word or HTTP status for an error of any attempt; network for no answer
	Reason    string    // outcome, or verdict of an attempt that failed
	Model     string
	User      string // id of a user key
	Key       string // id of a Gemini key that any attempt used
	Dialect   string
	RequestID string

	MinDuration time.Duration
	MinAttempts int
}

// query is a Filter made ready.
type query struct {
	Filter
	from, to int64 // Unix milliseconds
	class    Class
	classed  bool
	min      int64    // milliseconds
	id       uint64   // hash of the request id
	hashes   []uint64 // of what a row must have besides
	troubles []Class  // that a row can be of, see [Record.trouble]; nil for any
}

// anyTrouble are the classes of rows that were not simply answered.
var anyTrouble = []Class{Retried, ClientError, Failed, troubled}

func (f Filter) query() *query {
	q := &query{Filter: f, from: -1 << 63, to: 1<<63 - 1, min: millis(f.MinDuration)}
	if !f.From.IsZero() {
		q.from = f.From.UnixMilli()
	}
	if !f.To.IsZero() {
		q.to = f.To.UnixMilli()
	}
	if q.class, q.classed = ParseClass(f.Class); q.classed && q.class != OK {
		q.troubles = []Class{q.class}
	} else if !q.classed && (f.Code != "" || f.Reason != "" && f.Reason != outcomeOK || f.Status >= 400 || f.MinAttempts > 1) {
		q.troubles = anyTrouble
	}
	if f.RequestID != "" {
		q.id = byID.hash(f.RequestID)
	}
	status := ""
	if f.Status != 0 {
		status = strconv.Itoa(f.Status)
	}
	for _, w := range [...]struct {
		feature feature
		word    string
	}{{byModel, f.Model}, {byUser, f.User}, {byKey, f.Key}, {byDialect, f.Dialect}, {byStatus, status}, {byCode, f.Code}, {byReason, f.Reason}} {
		if w.word != "" {
			q.hashes = append(q.hashes, w.feature.hash(w.word))
		}
	}
	return q
}

// named tells whether anything is asked for that only the filters of blocks know.
func (q *query) named() bool { return q.RequestID != "" || len(q.hashes) > 0 }

// simple tells whether nothing but time and class is asked for, which summaries
// answer.
func (q *query) simple() bool { return !q.named() && q.min <= 0 && q.MinAttempts <= 0 }

// mayHave tells whether a block can have a row that is wanted, by its summary.
func (q *query) mayHave(s *summary) bool {
	slowest := slices.Max(s.slowest[:])
	if q.classed {
		slowest = s.slowest[q.class]
	}
	if q.MinAttempts > 1 {
		slowest = min(slowest, s.slowTried)
	}
	return s.until >= q.from && s.from < q.to && slowest >= q.min && s.attempts >= int64(q.MinAttempts) &&
		(!q.classed || s.classes[q.class] > 0)
}

// mayBeIn tells the same by what the block's rows have. A row has all that is asked
// for, and one class.
func (q *query) mayBeIn(b bloom) bool {
	if q.RequestID != "" && !b.has(q.id) {
		return false
	}
	if q.troubles == nil {
		return !slices.ContainsFunc(q.hashes, func(hash uint64) bool { return !b.has(hash) })
	}
	return slices.ContainsFunc(q.troubles, func(c Class) bool {
		return !slices.ContainsFunc(q.hashes, func(hash uint64) bool { return !b.has(c.of(hash)) })
	})
}

// wants tells whether a record is wanted.
func (q *query) wants(r *Record) bool {
	at := r.At.UnixMilli()
	return at >= q.from && at < q.to &&
		(!q.classed || r.Class() == q.class) &&
		(q.Status == 0 || r.Status == q.Status) &&
		(q.Model == "" || r.Model == q.Model) &&
		(q.User == "" || r.UserID == q.User) &&
		(q.Dialect == "" || r.Dialect == q.Dialect) &&
		(q.RequestID == "" || r.RequestID == q.RequestID) &&
		millis(r.Duration) >= q.min && r.Attempts >= q.MinAttempts &&
		(q.Key == "" || r.usedKey(q.Key)) &&
		(q.Code == "" || r.hadCode(q.Code)) &&
		(q.Reason == "" || r.hadReason(q.Reason))
}

func (r *Record) usedKey(id string) bool {
	found := r.KeyID == id
	for i := 0; i < len(r.Tries) && !found; i++ {
		found = r.Tries[i].KeyID == id
	}
	return found
}

func (r *Record) hadCode(code string) bool {
	found := r.Code == code
	for i := 0; i < len(r.Tries) && !found; i++ {
		found = r.Tries[i].failed() && r.Tries[i].errorCode() == code
	}
	return found
}

func (r *Record) hadReason(reason string) bool {
	found := r.Outcome == reason
	for i := 0; i < len(r.Tries) && !found; i++ {
		found = r.Tries[i].failed() && r.Tries[i].Verdict == reason
	}
	return found
}

// inside is the query for the rows of a block: without the time that it has anyway.
func (q *query) inside(s *summary) *query {
	if s.from < q.from || s.until >= q.to {
		return q
	}
	in := *q
	in.from, in.to = -1<<63, 1<<63-1
	return &in
}

// find returns which rows of a block are wanted, in order. It looks at the columns
// that are asked for, and makes a row a record only where that tells too little.
func (q *query) find(b *rows) (found []int) {
	one := -1
	if q.RequestID != "" {
		if one = b.findID(q.RequestID); one < 0 {
			return nil
		}
	}
	words := [...]struct {
		column int
		word   string
	}{{textModel, q.Model}, {textUser, q.User}, {textDialect, q.Dialect}}
	var want [len(words)]int
	var texts [len(words)]*texts
	for i, w := range words {
		if w.word == "" {
			continue
		}
		texts[i] = b.text(w.column)
		if want[i] = texts[i].find(w.word); want[i] < 0 {
			return nil
		}
	}
	tried, possible := q.attempted(b)
	if !possible {
		return nil
	}
	numbers := q.numbers(b)
rows:
	for i := range b.n {
		if one >= 0 && i != one {
			continue
		}
		for _, n := range numbers {
			if v := n.values[i] >> n.shift; v < n.least || v > n.most {
				continue rows
			}
		}
		for j, t := range texts {
			if t != nil && t.place(i) != want[j] {
				continue rows
			}
		}
		if tried.wanted(i) {
			found = append(found, i)
		}
	}
	return found
}

// asked is what is asked of a number of a row.
type asked struct {
	values      []int64
	shift       int
	least, most int64
}

// numbers are those that are asked for; other columns need not be decoded.
func (q *query) numbers(b *rows) (out []asked) {
	const most = 1<<63 - 1
	if q.from > -1<<63 || q.to < most {
		out = append(out, asked{b.int(intAt), 0, q.from, q.to - 1})
	}
	if q.classed {
		out = append(out, asked{b.int(intFlags), classShift, int64(q.class), int64(q.class)})
	}
	if q.Status != 0 {
		out = append(out, asked{b.int(intStatus), 0, int64(q.Status), int64(q.Status)})
	}
	if q.min > 0 {
		out = append(out, asked{b.int(intDuration), 0, q.min, most})
	}
	if q.MinAttempts > 0 {
		out = append(out, asked{b.int(intAttempts), 0, int64(q.MinAttempts), most})
	}
	return out
}
