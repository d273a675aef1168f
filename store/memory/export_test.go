// SPDX-License-Identifier: Apache-2.0

package memory

// Size counts the pairs held, expired ones included.
func Size(s *Store) (n int) {
	s.root.ascend("", func(*node) bool { n++; return true })
	return n
}
