// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a list. Source: specs/ui.md §4.
const (
	defaultLimit = 100
	maxLimit     = 500
	maxSearch    = 256 // bytes
)

// list is the answer to a paged request.
type list[T any] struct {
	Items  []T            `json:"items"`            // never null
	Total  int            `json:"total"`            // matching, on all pages
	Offset int            `json:"offset"`           // of the first item
	Counts map[string]int `json:"counts,omitempty"` // by state, where there are states
}

func newList[T any](items []T, total, offset int) list[T] {
	if items == nil {
		items = []T{}
	}
	return list[T]{Items: items, Total: total, Offset: offset}
}

// queryReader takes parameters out of a query and collects what is wrong.
type queryReader struct {
	*call
	faults []fieldError
}

func (q *queryReader) fault(name, message string) {
	q.faults = append(q.faults, fieldError{name, "invalid_parameter", message})
}

func (q *queryReader) err() error { return invalid("invalid_query", q.faults) }

// number reads a whole number from least to most; absent means standard.
func (q *queryReader) number(name string, standard, least, most int) int {
	if !q.query.Has(name) {
		return standard
	}
	n, err := strconv.Atoi(q.query.Get(name))
	if err != nil || n < least || n > most {
		q.fault(name, fmt.Sprintf("must be a whole number from %d to %d", least, most))
		return standard
	}
	return n
}

// word reads one of the words; absent means "".
func (q *queryReader) word(name string, words []string) string {
	value := q.query.Get(name)
	if q.query.Has(name) && !slices.Contains(words, value) {
		q.fault(name, "must be one of: "+strings.Join(words, ", "))
		return ""
	}
	return value
}

// text reads words of the client's own; absent means "".
func (q *queryReader) text(name string) string {
	value := strings.TrimSpace(q.query.Get(name))
	if len(value) > maxSearch {
		q.fault(name, fmt.Sprintf("is longer than %d bytes", maxSearch))
		return ""
	}
	return value
}

// wholeKey finds whole keys of Google's and of ours.
var wholeKey = regexp.MustCompile(`\bAIza[0-9A-Za-z_-]{35}|\bAQ\.[0-9A-Za-z_-]{20}|\bgb-[0-9a-z]{12}-[0-9A-Za-z]{20}`)

// search reads q, which must hold no whole key: access logs keep URLs.
func (q *queryReader) search() string {
	text := q.text("q")
	if wholeKey.MatchString(text) {
		q.fault("q", "holds a whole key, which access logs keep with the URL. Send its hint, as lists show it, or the id of a Gemini key: gk_ and the first 12 hex digits of its SHA-256")
		return ""
	}
	return text
}

func (q *queryReader) limit() int  { return q.number("limit", defaultLimit, 1, maxLimit) }
func (q *queryReader) offset() int { return q.number("offset", 0, 0, 1<<31-1) }
