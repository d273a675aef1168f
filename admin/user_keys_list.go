// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// userKeyParams are the parameters of the list.
var userKeyParams = []string{"limit", "offset", "q", "status", "tag", "expiring", "unused", "sort", "order"}

// userKeySorts are the words of sort. Those of the last 24 hours come from the books.
var userKeySorts = []string{"created", "name", "last_used", "expires_at", "requests_24h", "tokens_24h", "cost_24h_nano"}

func statusWords() (words []string) {
	for _, s := range users.Statuses {
		words = append(words, string(s))
	}
	return words
}

func (a *api) listUserKeys(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	query := users.Query{
		Limit: q.limit(), Offset: q.offset(), Search: q.search(), Label: q.text("tag"),
		Status:   users.Status(q.word("status", statusWords())),
		Expiring: q.days("expiring"), Unused: q.days("unused"),
		Sort:      users.Sort(q.word("sort", userKeySorts)),
		Ascending: q.word("order", []string{"asc", "desc"}) == "asc",
	}
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	if err := a.rankUserKeys(&query); err != nil {
		return 0, nil, err
	}
	page, err := a.Users.List(c.Context(), query)
	if err != nil {
		return 0, nil, err
	}
	keys := make([]userKey, len(page.Keys))
	for i := range page.Keys {
		keys[i] = a.userKey(&page.Keys[i])
	}
	answer := newList(keys, page.Total, query.Offset)
	answer.Counts = page.Counts
	return http.StatusOK, answer, nil
}

// rankUserKeys has keys sorted by what the books say of their last 24 hours.
func (a *api) rankUserKeys(q *users.Query) error {
	value := map[users.Sort]func(*usage.Counts) int64{
		"requests_24h":  func(c *usage.Counts) int64 { return c.Requests },
		"tokens_24h":    func(c *usage.Counts) int64 { return c.Tokens() },
		"cost_24h_nano": func(c *usage.Counts) int64 { return c.Cost },
	}[q.Sort]
	if value == nil {
		return nil
	}
	names, _, err := a.sums.of(a.Usage, usage.ByUser, 24*time.Hour, a.Now())
	if err != nil {
		return err
	}
	q.Sort, q.Values = users.ByValue, make(map[string]int64, len(names))
	for id, c := range names {
		q.Values[id] = value(&c)
	}
	return nil
}

// days reads a number of days, as 7 or 7d; absent means 0.
func (q *queryReader) days(name string) time.Duration {
	if !q.query.Has(name) {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSuffix(q.query.Get(name), "d"))
	if err != nil || n < 1 || n > 3650 {
		q.fault(name, "must be days from 1 to 3650, such as 7 or 7d")
		return 0
	}
	return time.Duration(n) * 24 * time.Hour
}
