// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// topItem is a line of GET /admin/stats/top for models, Gemini keys and user keys.
// For Gemini keys, attempts and errors are what was tried with them.
type topItem struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"` // of a user key, or the hint of a Gemini key; "" if it is gone
	Requests int64    `json:"requests"`
	Success  *float64 `json:"success"`
	Attempts int64    `json:"attempts"`
	Errors   int64    `json:"errors"`
	Tokens   int64    `json:"tokens"`
	Cost     *int64   `json:"cost_nano"`
	Unpriced int64    `json:"unpriced"`
}

// topError is one for errors.
type topError struct {
	Code   string  `json:"code"`   // Google's HTTP status, network for no answer
	Reason string  `json:"reason"` // what it was taken for
	Count  int64   `json:"count"`  // attempts
	Share  float64 `json:"share"`
	Fate   fate    `json:"fate"`
	Keys   int     `json:"keys"` // Gemini keys, within some percent
}

// fate is what became of the requests of attempts that failed.
type fate struct {
	Retried int64 `json:"retried"` // answered after all
	Client  int64 `json:"client"`  // passed to the client as its own fault
	Failed  int64 `json:"failed"`
}

// top is the answer: since is what the sums really begin with.
type top struct {
	By    string    `json:"by"`
	Since time.Time `json:"since"`
	Items any       `json:"items"`
	Total int       `json:"total"` // lines that there are
}

func (a *api) statsTop(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	by := q.word("by", []string{"model", "user", "key", "error"})
	if !q.query.Has("by") {
		q.fault("by", "is missing: model, user, key or error")
	}
	span := windows[q.window(overviewWindows...)]
	limit := q.number("limit", 10, 1, maxLimit)
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	answer := top{By: by}
	if by == "user" || by == "key" {
		answer.Items, answer.Total, answer.Since, err = a.topNames(by, span, limit)
		return http.StatusOK, answer, err
	}
	r, err := a.Usage.Report(a.Now().Add(-span), time.Time{})
	if err != nil {
		return 0, nil, err
	}
	answer.Since = r.From
	if by == "error" {
		answer.Total, answer.Items = len(r.Failures), viewFailures(r.Failures, limit)
		return http.StatusOK, answer, nil
	}
	items := []topItem{}
	for _, m := range r.Models[:min(len(r.Models), limit)] {
		items = append(items, viewTop(m.Model, "", &m.Counts))
	}
	answer.Total, answer.Items = len(r.Models), items
	return http.StatusOK, answer, nil
}

// topNames are the user keys or Gemini keys with the most requests.
func (a *api) topNames(by string, span time.Duration, limit int) (items []topItem, total int, from time.Time, err error) {
	d, value := usage.ByUser, func(c *usage.Counts) int64 { return c.Requests }
	if by == "key" {
		d, value = usage.ByKey, func(c *usage.Counts) int64 { return c.Attempts }
	}
	sums, from, err := a.sums.of(a.Usage, d, span, a.Now())
	if err != nil {
		return nil, 0, from, err
	}
	who := a.newNames()
	items = []topItem{}
	for _, id := range rank(sums, value, limit) {
		c, name := sums[id], who.user(id)
		if by == "key" {
			name = who.hint(id)
		}
		items = append(items, viewTop(id, name, &c))
	}
	return items, len(sums), from, nil
}

func viewTop(id, name string, c *usage.Counts) topItem {
	return topItem{
		ID: id, Name: name, Requests: c.Requests, Success: successOf(c), Attempts: c.Attempts, Errors: c.Errors,
		Tokens: c.Tokens(), Cost: costOf(c), Unpriced: c.Unpriced,
	}
}

func viewFailures(all []usage.Failure, limit int) []topError {
	total := int64(0)
	for i := range all {
		total += all[i].Count
	}
	items := []topError{}
	for _, f := range all[:min(len(all), limit)] {
		items = append(items, topError{
			f.Code, f.Reason, f.Count, float64(f.Count) / float64(total), fate{f.Retried, f.Client, f.Failed}, f.Keys,
		})
	}
	return items
}

// names finds what people call keys, each once.
type names struct {
	api   *api
	users map[string]string
	hints map[string]string
}

func (a *api) newNames() *names {
	return &names{api: a, users: map[string]string{}, hints: map[string]string{}}
}

// user is the name of a user key, "" if it is gone.
func (n *names) user(id string) string {
	name, known := n.users[id]
	if !known && id != "" {
		if key, err := n.api.Users.Get(id); err == nil {
			name = key.Name
		}
		n.users[id] = name
	}
	return name
}

// hint is what may be shown of a Gemini key, "" if it is gone.
func (n *names) hint(id string) string {
	hint, known := n.hints[id]
	if !known && id != "" {
		if key, there := n.api.Pool.Get(id); there {
			hint = key.Mask
		}
		n.hints[id] = hint
	}
	return hint
}
