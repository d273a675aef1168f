// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"slices"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// callIDs are the ids of calls that an answer used.
type callIDs []string

// take is Google's id of a call where clients can live with it, else one of
// ours. Ids are keys to remembered signatures, so short, guessable ones are not
// taken over. Source: specs/openai.md §10.4.
func (ids *callIDs) take(native rawjson.Value, newID func(n int) string) string {
	var id string
	if usableID(native.Inner()) && !slices.Contains(*ids, native.Text()) {
		id = native.Text()
	} else {
		id = "call_" + newID(24)
	}
	*ids = append(*ids, id)
	return id
}

func usableID(id []byte) bool {
	if len(id) < 8 || len(id) > 40 {
		return false
	}
	for _, b := range id {
		if !('0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || b == '_' || b == '-') {
			return false
		}
	}
	return true
}
