// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"slices"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Summary is what an answer says of itself besides its content, kept when its
// documents are gone, for those who watch. It has room of its own, so that keeping it
// costs no allocation. The zero value says nothing.
type Summary struct {
	id      [64]byte // responseId; Google's have 23
	idLen   uint8
	reasons [8]string // finishReason by candidate; Google gives eight at most
}

// ResponseID is the id that Google gave the answer; "" where it told none.
func (s *Summary) ResponseID() string { return string(s.id[:s.idLen]) }

// FinishReasons are Google's words for why each candidate ended, in their order.
// Those that did not end, or not yet, are left out; nil for none at all.
func (s *Summary) FinishReasons() []string {
	return slices.DeleteFunc(slices.Clone(s.reasons[:]), func(word string) bool { return word == "" })
}

// Named notes the answer's id. What is longer than any of Google's, or has escapes, is
// none.
func (s *Summary) Named(id rawjson.Value) {
	inner := id.Inner()
	if len(inner) == 0 || len(inner) > len(s.id) || slices.Contains(inner, '\\') {
		return
	}
	s.idLen = uint8(copy(s.id[:], inner)) //nolint:gosec // at most len(s.id)
}

// maxReason is longer than any finishReason.
const maxReason = 64

// ended notes which candidates of a document ended. Google leaves out index 0; where
// several have none, their position counts.
func (s *Summary) ended(candidates []Candidate) {
	for i := range candidates {
		c := &candidates[i]
		at := c.Index
		if at == 0 && candidates[0].Index == 0 {
			at = i
		}
		if c.FinishReason.Inner() == nil || at >= len(s.reasons) || len(c.FinishReason) > maxReason || c.FinishReason.Is(s.reasons[at]) {
			continue
		}
		s.reasons[at] = reasonWord(c.FinishReason)
	}
}

// reasonWord is the text of a finishReason; the usual ones cost nothing.
func reasonWord(v rawjson.Value) string {
	for _, word := range [...]string{"STOP", "MAX_TOKENS", "SAFETY"} {
		if v.Is(word) {
			return word
		}
	}
	return v.Text()
}
