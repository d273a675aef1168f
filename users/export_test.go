// SPDX-License-Identifier: Apache-2.0

package users

// ForgeSecret returns a credential of the same id with another secret and the
// right checksum.
func ForgeSecret(credential string) string {
	body := []byte(credential[:checksumStart])
	if body[idEnd+1]++; body[idEnd+1] > 'y' {
		body[idEnd+1] = 'b'
	}
	sum := checksum(string(body))
	return string(body) + string(sum[:])
}

// Cached counts the accounts in memory.
func (r *Registry) Cached() (n int) {
	for i := range r.shards {
		n += len(r.shards[i].ring)
	}
	return n
}
