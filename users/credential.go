// SPDX-License-Identifier: Apache-2.0

package users

import (
	"crypto/rand"
	"hash/crc32"
)

// A credential is gb-<public id>-<secret>. The public id is the key's id. The
// secret is 33 random characters of 62 (196 bits) and 6 of checksum: CRC-32 of
// all that precedes it, so that typing errors and random junk are refused
// without a look into the store. The checksum protects nothing; the hash does.
// The 55 bytes are the most that SHA-256 takes in one block.
// No separator within the parts, so that a double click selects a part.
const (
	credentialPrefix = "gb-"
	idSize           = 12 // 36^12, 62 bits
	randomSize       = 33
	checksumSize     = 6 // 62^6 > 2^32
	credentialSize   = len(credentialPrefix) + idSize + 1 + randomSize + checksumSize
	idEnd            = len(credentialPrefix) + idSize
	checksumStart    = credentialSize - checksumSize
)

const alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// tailSize is how much of a secret's end may be kept to tell it by. It is the end of
// the checksum: of the random part, nothing is kept.
const tailSize = 4

// newCredential makes a credential and the id in it.
func newCredential() (credential, id string) {
	id = randomText(idSize, alphabet[:36])
	return credentialFor(id), id
}

// credentialFor makes a credential with an id.
func credentialFor(id string) string {
	body := credentialPrefix + id + "-" + randomText(randomSize, alphabet)
	sum := checksum(body)
	return body + string(sum[:])
}

// randomText draws characters evenly: bytes beyond the last whole multiple of
// the alphabet are drawn again.
func randomText(n int, letters string) string {
	limit := 256 - 256%len(letters)
	text := make([]byte, 0, n)
	var noise [64]byte
	for {
		rand.Read(noise[:]) //nolint:errcheck // never fails since Go 1.24
		for _, b := range noise {
			if int(b) >= limit {
				continue
			}
			if text = append(text, letters[int(b)%len(letters)]); len(text) == n {
				return string(text)
			}
		}
	}
}

// checksum is the CRC-32 (IEEE) of body as six characters. By the table, since
// the assembly behind crc32.ChecksumIEEE makes its argument escape to the heap.
func checksum(body string) (sum [checksumSize]byte) {
	c := ^uint32(0)
	for i := range len(body) {
		c = crc32.IEEETable[byte(c)^body[i]] ^ c>>8
	}
	c = ^c
	for i := checksumSize - 1; i >= 0; i-- {
		sum[i] = alphabet[c%62]
		c /= 62
	}
	return sum
}

// wellFormed tells whether a credential has the form and a right checksum.
func wellFormed(credential string) bool {
	return len(credential) == credentialSize &&
		credential[:len(credentialPrefix)] == credentialPrefix &&
		credential[idEnd] == '-' &&
		checksum(credential[:checksumStart]) == [checksumSize]byte([]byte(credential[checksumStart:]))
}
