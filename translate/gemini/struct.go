// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"bytes"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// StructSafe returns v with integers beyond ±2^53 as strings: Google reads
// arguments and results as protobuf Structs, whose numbers are doubles, and
// would round an id. v itself is returned where there are none.
func StructSafe(v rawjson.Value) rawjson.Value {
	const digits = 16 // 2^53 has as many
	var out []byte
	copied := 0
	for i := 0; i < len(v); {
		switch c := v[i]; {
		case c == '"':
			i = stringEnd(v, i)
		case c == '-' || '0' <= c && c <= '9':
			end, whole := i+1, true
			for end < len(v) && bytes.IndexByte([]byte("0123456789+-.eE"), v[end]) >= 0 {
				whole = whole && '0' <= v[end] && v[end] <= '9'
				end++
			}
			if whole && end-i >= digits && beyondDouble(v[i:end]) {
				out = append(append(out, v[copied:i]...), '"')
				out = append(append(out, v[i:end]...), '"')
				copied = end
			}
			i = end
		default:
			i++
		}
	}
	if out == nil {
		return v
	}
	return append(out, v[copied:]...)
}

func stringEnd(v []byte, i int) int {
	for i++; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(v)
}

func beyondDouble(n []byte) bool {
	i, err := strconv.ParseInt(string(n), 10, 64)
	return err != nil || i > 1<<53 || i < -1<<53
}
