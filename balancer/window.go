// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"cmp"
	"slices"
	"time"
)

const (
	minute = time.Minute
	// skew is how much longer an entry counts here than at Google: requests do not
	// take equally long to get there.
	skew = 300 * time.Millisecond
	// fewSpends is how many entries a window keeps exactly; beyond that, requests of
	// the same spendGrain of the clock share one, which is counted as the last of
	// them.
	fewSpends  = 64
	spendGrain = 500 * time.Millisecond
)

// spend is what requests used at a time.
type spend struct {
	at       int64 // Unix ns of the last of them
	requests int32
	by       int32 // slot of the key that asked, and 1; 0 for several, or where Google may not have counted it
	tokens   int64 // of input
}

// window is what was used in the last minute, or in the current one where
// Google's windows follow the clock. The zero value is empty.
type window struct {
	spends   []spend // oldest first
	requests int64
	tokens   int64
	good     int64 // until when nothing is to be dropped, in Unix ns, if aligned is as it was
	aligned  bool
	first    [2]spend // what spends begins in: most keys of a large pool need no more
}

// forget drops what does not count any more.
func (w *window) forget(now time.Time, aligned bool) {
	if now.UnixNano() < w.good && aligned == w.aligned {
		return
	}
	n := 0
	for n < len(w.spends) && w.spends[n].ends(aligned) <= now.UnixNano() {
		w.requests -= int64(w.spends[n].requests)
		w.tokens -= w.spends[n].tokens
		n++
	}
	if n > 0 {
		w.spends = w.spends[:copy(w.spends, w.spends[n:])]
	}
	w.good, w.aligned = 0, aligned
	if len(w.spends) > 0 {
		w.good = w.spends[0].ends(aligned)
	}
}

// ends is when a spend does not count any more, in Unix ns.
func (s spend) ends(aligned bool) int64 {
	if aligned {
		return (s.at/int64(minute)+1)*int64(minute) + int64(skew)
	}
	return s.at + int64(minute+skew)
}

// add counts a request of a key; see spend.by.
func (w *window) add(now time.Time, tokens int64, by int32) {
	at := now.UnixNano()
	w.requests++
	w.tokens += tokens
	if n := len(w.spends); n > 0 {
		// By the clock and not by distance: a steady flow must not share one for ever.
		if last := &w.spends[n-1]; at == last.at || n >= fewSpends && grain(at) == grain(last.at) {
			last.at = max(last.at, at)
			last.requests++
			last.tokens += tokens
			if last.by != by {
				last.by = 0
			}
			return
		}
	}
	if w.spends == nil {
		w.spends = w.first[:0]
	}
	w.spends = append(w.spends, spend{at, 1, by, tokens})
}

// merge takes over what was counted elsewhere.
func (w *window) merge(spends []spend) {
	for _, s := range spends {
		w.requests += int64(s.requests)
		w.tokens += s.tokens
	}
	if w.spends == nil {
		w.spends = w.first[:0]
	}
	w.spends = append(w.spends, spends...)
	w.good = 0
	slices.SortStableFunc(w.spends, func(a, b spend) int { return cmp.Compare(a.at, b.at) })
}

// grain is the part of the clock in which requests may share an entry. A minute has
// a whole number of them.
func grain(at int64) int64 { return at / int64(spendGrain) }

// settle corrects what a request of a time was counted with: by so many tokens,
// and not at all with undo. What has left the window is not corrected.
func (w *window) settle(at, tokens int64, undo bool) {
	i := w.of(at)
	if i < 0 {
		return
	}
	s := &w.spends[i]
	tokens = max(tokens, -s.tokens)
	s.tokens += tokens
	w.tokens += tokens
	if !undo || s.requests == 0 {
		return
	}
	s.requests--
	w.requests--
	if s.requests == 0 {
		w.tokens -= s.tokens
		w.spends = slices.Delete(w.spends, i, i+1)
	}
}

// breaks reports whether a request that counts now leaves the minute, if that rolls,
// before a time at which Google says that the first one does.
func (w *window) breaks(now, at time.Time) bool {
	return slices.ContainsFunc(w.spends, func(s spend) bool {
		leaves := time.Unix(0, s.at+int64(minute))
		return s.by > 0 && leaves.After(now) && leaves.Before(at.Add(-kinSure))
	})
}

// leads reports whether a request leaves the minute at a time that Google announced,
// and none before it.
func (w *window) leads(at time.Time) bool {
	for _, s := range w.spends {
		switch d := at.Sub(time.Unix(0, s.at+int64(minute))); {
		case d > kinSure:
			return false
		case d > -kinTolerance:
			return true
		}
	}
	return false
}

// doubt notes that Google may not have counted a request of a time.
func (w *window) doubt(at int64) {
	if i := w.of(at); i >= 0 {
		w.spends[i].by = 0
	}
}

// part takes out what keys used, by their slots, and returns it for each.
func (w *window) part(slots []int) map[int][]spend {
	out := map[int][]spend{}
	kept := w.spends[:0]
	for _, s := range w.spends {
		if slot := int(s.by) - 1; s.by > 0 && slices.Contains(slots, slot) {
			out[slot] = append(out[slot], s)
			w.requests -= int64(s.requests)
			w.tokens -= s.tokens
			continue
		}
		kept = append(kept, s)
	}
	w.spends, w.good = kept, 0
	return out
}

// of returns the index of the entry that has the request of a time: its own, else
// the first of its grain that is not older; -1 for none.
func (w *window) of(at int64) int {
	found := -1
	for i := range w.spends {
		switch s := &w.spends[i]; {
		case s.at == at:
			return i
		case found < 0 && s.at > at && grain(s.at) == grain(at):
			found = i
		case grain(s.at) > grain(at):
			return found
		}
	}
	return found
}

// room returns when so many requests and tokens have left the window that less
// than limit requests and at most mostTokens are in it.
func (w *window) room(limit, mostTokens int64, aligned bool) time.Time {
	requests, tokens := w.requests, w.tokens
	at := int64(0)
	for _, s := range w.spends {
		if requests < limit && tokens <= mostTokens {
			break
		}
		requests -= int64(s.requests)
		tokens -= s.tokens
		at = s.ends(aligned)
	}
	return time.Unix(0, at)
}
