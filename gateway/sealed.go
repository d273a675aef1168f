// SPDX-License-Identifier: Apache-2.0

package gateway

// SealedPrefixes are where the store has what this package keeps, each value sealed as
// a whole for its key.
func SealedPrefixes() []string { return []string{resourcePrefix, homePrefix, conversationPrefix} }
