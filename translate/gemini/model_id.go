// SPDX-License-Identifier: Apache-2.0

package gemini

// ValidModelID reports whether id can be that of a model, without "models/":
// ^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$. Nothing else reaches a path.
func ValidModelID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}
