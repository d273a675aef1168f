// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// filterParams are what requests can be found by.
var filterParams = []string{
	"from", "to", "class", "status", "code", "reason", "model", "user", "key", "dialect", "min_ms", "min_attempts", "request_id",
}

// filter reads them.
func (q *queryReader) filter() usage.Filter {
	f := usage.Filter{
		From: q.time("from"), To: q.time("to"),
		Class:  q.word("class", []string{"ok", "retried", "client_error", "failed"}),
		Status: q.number("status", 0, 100, 599), Code: q.text("code"), Reason: q.text("reason"),
		Model: q.text("model"), User: q.text("user"), Key: q.text("key"),
		Dialect: q.word("dialect", []string{"openai", "anthropic", "gemini"}), RequestID: q.text("request_id"),
		MinDuration: time.Duration(q.number("min_ms", 0, 0, math.MaxInt32)) * time.Millisecond,
		MinAttempts: q.number("min_attempts", 0, 0, 1000),
	}
	if !f.To.IsZero() && !f.From.Before(f.To) {
		q.fault("to", "must be after from")
	}
	return f
}

// time reads a moment; absent means the zero time.
func (q *queryReader) time(name string) time.Time {
	if !q.query.Has(name) {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, q.query.Get(name))
	if err != nil {
		q.fault(name, "must be a time such as 2026-11-26T08:00:00Z")
	}
	return t
}

// requestPage is a page of the log, the newest first. complete is false where the
// page is not full because looking further takes longer than one answer should:
// next goes on from scanned_to.
type requestPage struct {
	Items     []requestView `json:"items"`
	Next      *string       `json:"next"` // cursor; null at the end
	ScannedTo *time.Time    `json:"scanned_to"`
	Complete  bool          `json:"complete"`
	Kept      keptView      `json:"kept"`
}

// keptView is what the log has.
type keptView struct {
	From      *time.Time `json:"from"` // the oldest; null for none
	Rows      int64      `json:"rows"`
	Bytes     int64      `json:"bytes"`
	Retention int64      `json:"retention_ms"`
	MaxBytes  int64      `json:"max_bytes"`
	Lost      int64      `json:"lost"` // rows since the start that the store could not take
	Bodies    string     `json:"bodies"`
}

func (a *api) kept() keptView {
	log := a.Usage.Log()
	k := log.Kept()
	v := keptView{Rows: k.Rows, Bytes: k.Bytes, Retention: k.Retention.Milliseconds(), MaxBytes: k.MaxSize, Lost: k.Lost, Bodies: string(log.Bodies())}
	if v.Bodies == "" {
		v.Bodies = string(usage.BodiesOff)
	}
	v.From = some(k.From)
	return v
}

// some is a time, or nil for none.
func some(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (a *api) listRequests(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	f, limit, cursor := q.filter(), q.limit(), q.text("cursor")
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	p, err := a.Usage.Log().List(c.Context(), f, cursor, limit)
	if errors.Is(err, usage.ErrCursor) {
		q.fault("cursor", "is not one that an answer gave as next")
		return 0, nil, q.err()
	}
	if err != nil {
		return 0, nil, err
	}
	v := requestPage{Items: a.viewRequests(p.Rows), ScannedTo: some(p.ScannedTo), Complete: p.Complete, Kept: a.kept()}
	if p.Next != "" {
		v.Next = &p.Next
	}
	return http.StatusOK, v, nil
}

// requestDetail is one request with its attempts.
type requestDetail struct {
	requestView
	Tries  []tryView   `json:"tries"`
	Bodies *bodiesView `json:"bodies,omitempty"`
}

// tryView is one attempt.
type tryView struct {
	KeyID    string `json:"key_id"`
	Hint     string `json:"hint"`
	Project  string `json:"project"`
	Status   int    `json:"status"` // 0 for no answer
	Verdict  string `json:"verdict"`
	Reason   string `json:"reason"`
	Started  int64  `json:"started_ms"` // since the request came
	Duration int64  `json:"duration_ms"`
}

// bodiesView are bodies as text; what is no UTF-8 is replaced.
type bodiesView struct {
	Request  string `json:"request"`
	Response string `json:"response"`
	Cut      bool   `json:"cut"`
}

func (a *api) getRequest(c *call) (status int, body any, err error) {
	r, found, err := a.Usage.Log().Find(c.Context(), c.id)
	if err != nil {
		return 0, nil, err
	}
	if !found {
		return 0, nil, problem(http.StatusNotFound, "request_not_found", "There is no request with this id in the log; it has those of the last days only, and a new one after some 100 ms.")
	}
	who := a.newNames()
	v := requestDetail{requestView: who.request(&r), Tries: []tryView{}}
	for _, t := range r.Tries {
		v.Tries = append(v.Tries, tryView{
			t.KeyID, who.hint(t.KeyID), t.Project, t.Status, t.Verdict, t.Reason, t.Started.Milliseconds(), t.Duration.Milliseconds(),
		})
	}
	// What users sent and got is for admins.
	if r.Bodies != nil && c.actor.role == roleAdmin {
		v.Bodies = &bodiesView{string(r.Bodies.Request), string(r.Bodies.Response), r.Bodies.Cut}
		c.note("bodies of %s", r.RequestID)
	}
	return http.StatusOK, v, nil
}

// bars are counts of requests in buckets of equal length.
type bars struct {
	T           []time.Time `json:"t"`
	Step        int64       `json:"step_ms"`
	OK          []int64     `json:"ok"`
	Retried     []int64     `json:"retried"`
	ClientError []int64     `json:"client_error"`
	Failed      []int64     `json:"failed"`
	Complete    bool        `json:"complete"` // false: what ended before scanned_to is missing
	ScannedTo   *time.Time  `json:"scanned_to"`
}

// barSteps are the lengths of buckets, and maxBars how many there may be.
var barSteps = []time.Duration{
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 24 * time.Hour,
}

const maxBars = 120

func (a *api) requestHistogram(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	f := q.filter()
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	log, now := a.Usage.Log(), a.Now()
	kept := log.Kept()
	if f.To.IsZero() || f.To.After(now) {
		f.To = now.Add(time.Second)
	}
	if oldest := now.Add(-kept.Retention); f.From.Before(oldest) {
		f.From = oldest
	}
	if f.From.Before(kept.From) {
		f.From = kept.From
	}
	if !f.From.Before(f.To) || kept.From.IsZero() {
		f.From = f.To.Add(-time.Minute)
	}
	i, _ := slices.BinarySearch(barSteps, f.To.Sub(f.From)/maxBars)
	step := barSteps[min(i, len(barSteps)-1)]
	for f.To.Sub(f.From)/step > maxBars {
		step *= 2
	}
	b, err := log.Histogram(c.Context(), f, step)
	if err != nil {
		return 0, nil, err
	}
	v := bars{
		Step: b.Step.Milliseconds(), Complete: b.Complete, ScannedTo: some(b.ScannedTo),
		T: []time.Time{}, OK: []int64{}, Retried: []int64{}, ClientError: []int64{}, Failed: []int64{},
	}
	for i, n := range b.Counts {
		v.T = append(v.T, b.Start.Add(time.Duration(i)*b.Step).UTC())
		v.OK, v.Retried = append(v.OK, n[usage.OK]), append(v.Retried, n[usage.Retried])
		v.ClientError, v.Failed = append(v.ClientError, n[usage.ClientError]), append(v.Failed, n[usage.Failed])
	}
	return http.StatusOK, v, nil
}

// maxExport bounds an export. Source: specs/ui.md §3.7.
const maxExport = 100_000

func (a *api) exportRequests(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	f, format := q.filter(), q.word("format", []string{"csv", "ndjson"})
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	if format == "" {
		format = "csv"
	}
	c.note("%s of requests, up to %d", format, maxExport)
	name := fmt.Sprintf("requests-%s", a.Now().UTC().Format("20060102-150405"))
	return http.StatusOK, fileOf(format, name, nil, a.exportLines(c, f)), nil
}
