// SPDX-License-Identifier: Apache-2.0

package sse

import "bytes"

// Append appends one event to dst. The name may be empty and must not contain
// line breaks; each line of data gets its own data field.
func Append(dst []byte, name string, data []byte) []byte {
	if name != "" {
		dst = append(append(append(dst, "event: "...), name...), '\n')
	}
	for {
		n := bytes.IndexAny(data, "\r\n")
		if n < 0 {
			break
		}
		dst = append(append(append(dst, "data: "...), data[:n]...), '\n')
		if data[n] == '\r' && n+1 < len(data) && data[n+1] == '\n' {
			n++
		}
		data = data[n+1:]
	}
	return append(append(append(dst, "data: "...), data...), '\n', '\n')
}
