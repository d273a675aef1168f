// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"slices"
	"strings"
)

// Filter selects keys. The zero value selects all.
type Filter struct {
	// Search is a part of the id, the name, the project or a tag, in any case, or the
	// last four characters of the secret, alone or as in [Key.Mask], or a whole secret.
	Search string
	State  State
	Status Status
	Tag    string
	Batch  string
}

// Query selects a page of keys. The zero value is the first 100 of all keys.
type Query struct {
	Limit  int    // 0 means 100
	Offset int    // keys to skip
	Search string // as in [Filter]
	State  State
	Status Status
	Tag    string
	Batch  string
	Sort   string // "" as added, one of Sorts, or "measure"
	Order  string // "" or "asc", "desc"
	// Measure is what sorting by "measure" compares, by id.
	Measure func(id string) int64
}

func (q *Query) filter() Filter {
	return Filter{Search: q.Search, State: q.State, Status: q.Status, Tag: q.Tag, Batch: q.Batch}
}

// needle is a search that is prepared.
type needle struct {
	text  string // in lower case; "" for all
	last4 string // of the secret, as it was typed
	id    string // of the only key that is meant; "" for none
}

// maskedSearch separates the ends of a secret as it is shown and as it may be typed.
var maskedSearch = []string{"…", "..."}

func (p *Pool) needle(search string) needle {
	search = strings.TrimSpace(search)
	n := needle{text: strings.ToLower(search)}
	if len(search) == 4 {
		n.last4 = search
	}
	for _, mark := range maskedSearch {
		if _, end, found := strings.Cut(search, mark); found && len(end) == 4 {
			return needle{text: "\x00", last4: end}
		}
	}
	if len(search) >= 8 && !strings.ContainsAny(search, " \t") {
		id := KeyID(search)
		p.mu.Lock()
		if e := p.byID[id]; e != nil && sameSecret(*e.secret, search) {
			n.id = id
		}
		p.mu.Unlock()
	}
	return n
}

// matches reports whether the needle is part of what identifies a key.
func (n *needle) matches(e *entry) bool {
	switch {
	case n.text == "":
		return true
	case n.id != "":
		return e.id == n.id
	case n.last4 != "" && len(*e.secret) >= 16 && strings.EqualFold((*e.secret)[len(*e.secret)-4:], n.last4):
		return true
	}
	s := e.spec.Load()
	if strings.Contains(e.id, n.text) || contains(s.name, n.text) || contains(s.project, n.text) {
		return true
	}
	if c := e.live.Load().consumer; c != "" && strings.Contains("projects/"+c, n.text) {
		return true
	}
	return slices.ContainsFunc(s.tags, func(t string) bool { return contains(t, n.text) })
}

// contains reports whether lower, which is in lower case, is part of s in any case.
// It allocates nothing for ASCII.
func contains(s, lower string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return strings.Contains(strings.ToLower(s), lower)
		}
	}
	for i := 0; i+len(lower) <= len(s); i++ {
		if foldsTo(s[i:i+len(lower)], lower) {
			return true
		}
	}
	return false
}

// foldsTo reports whether s, which is ASCII, is lower in lower case.
func foldsTo(s, lower string) bool {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// found are keys that match, and how many there are of each kind.
type found struct {
	entries  []*entry // in the order of slots
	statuses [isNone]int
	states   map[State]int
	total    int // of all statuses
}

// find looks for keys. The counts are of those that match but for their status and
// state. It holds up no pick.
func (p *Pool) find(f Filter) found {
	out := found{states: map[State]int{}}
	table := p.statusTable()
	n := p.needle(f.Search)
	var tagged *bitmap
	if f.Tag != "" {
		p.mu.Lock()
		tagged = p.tags[f.Tag]
		p.mu.Unlock()
		if tagged == nil {
			return out
		}
	}
	status := slices.Index(Statuses, f.Status)
	slots := *p.slots.Load()
	for i := range slots {
		e := slots[i].Load()
		if e == nil || tagged != nil && !tagged.has(i) || !n.matches(e) || f.Batch != "" && e.spec.Load().batch != f.Batch {
			continue
		}
		is := table.of(p, e)
		state := states[is]
		if is == isInvalid {
			state = e.live.Load().state
			if state.status() != isInvalid { // since a moment
				is = state.status()
			}
		}
		out.total++
		out.statuses[is]++
		if is == isInvalid {
			out.states[state]++
		}
		if (f.Status == "" || int(is) == status) && (f.State == "" || f.State == state) {
			out.entries = append(out.entries, e)
		}
	}
	out.states[StateActive] = out.statuses[isActive] + out.statuses[isCooling] + out.statuses[isExhausted]
	out.states[StateUntested], out.states[StateDisabled] = out.statuses[isUntested], out.statuses[isDisabled]
	return out
}

// states are the states of keys by their status, but for isInvalid.
var states = [...]State{
	isActive: StateActive, isUntested: StateUntested, isCooling: StateActive, isExhausted: StateActive,
	isInvalid: StateInvalid, isDisabled: StateDisabled, isNone: "",
}
