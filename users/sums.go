// SPDX-License-Identifier: Apache-2.0

package users

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The record of an account's counters: words with spaces between them,
//
//	1 <last used> <last address, or -> <limited until> (<period> <taken> <given>)*
//
// Times are in Unix seconds, 0 for never; limited until is the greatest int64 for
// what time does not end. The triples are those of the calendars in the order of
// limitID. Totals only grow within a period, so that writing a record once more, or
// the one of another moment after it, is told from a newer one.
const sumsVersion = "1"

// appendSums writes the record. The caller holds mu.
func (a *Account) appendSums(b []byte, now int64) []byte {
	p := a.policy.Load()
	per := a.registry.calendar.at(now)
	a.counters.turn(per)
	b = append(b, sumsVersion...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, a.used/int64(time.Second), 10)
	b = append(b, ' ')
	if a.ip.IsValid() {
		b = a.ip.AppendTo(b)
	} else {
		b = append(b, '-')
	}
	b = append(b, ' ')
	b = strconv.AppendInt(b, seconds(a.limitedUntil(p, now, per)), 10)
	for i := range a.counters.sums {
		s := &a.counters.sums[i]
		for _, n := range [...]int64{s.period, s.taken, s.given} {
			b = append(b, ' ')
			b = strconv.AppendInt(b, n, 10)
		}
	}
	return b
}

// seconds rounds up to Unix seconds.
func seconds(ns int64) int64 {
	if ns == forever {
		return forever
	}
	return (ns + int64(time.Second) - 1) / int64(time.Second)
}

// readSums fills a fresh account from its record.
func (a *Account) readSums(text string) error {
	words := strings.Split(text, " ")
	damaged := func() error {
		return fmt.Errorf("%s%s is damaged: %q", sumPrefix, a.policy.Load().key.ID, text)
	}
	if words[0] != sumsVersion || len(words) < 4 || (len(words)-4)%3 != 0 {
		return damaged()
	}
	var numbers []int64
	for i, word := range words {
		if i == 2 {
			a.ip, _ = netip.ParseAddr(word) // - is none
			continue
		}
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return damaged()
		}
		numbers = append(numbers, n)
	}
	a.used = numbers[1] * int64(time.Second)
	if a.refused = numbers[2]; a.refused != forever {
		a.refused *= int64(time.Second)
	}
	for i, triple := range chunks(numbers[3:]) {
		if i < int(calendarCount) { // a later version may count more
			a.counters.sums[i] = sum{period: triple[0], taken: triple[1], given: triple[2]}
		}
	}
	return nil
}

func chunks(n []int64) (triples [][3]int64) {
	for ; len(n) >= 3; n = n[3:] {
		triples = append(triples, [3]int64(n))
	}
	return triples
}

// summary is what of a record a list needs.
func summary(text string) (used, limitedUntil int64) {
	words := strings.SplitN(text, " ", 5)
	if len(words) < 4 {
		return 0, 0
	}
	used, _ = strconv.ParseInt(words[1], 10, 64)
	limitedUntil, _ = strconv.ParseInt(words[3], 10, 64)
	return used, limitedUntil
}

// readDay takes the day's requests from a record of an older version, "<day>
// <requests>".
func (a *Account) readDay(text string) {
	period, count, _ := strings.Cut(text, " ")
	s := &a.counters.sums[rpd-firstCalendar]
	s.period, _ = strconv.ParseInt(period, 10, 64)
	s.taken, _ = strconv.ParseInt(count, 10, 64)
}
