// SPDX-License-Identifier: Apache-2.0

package translate

// Released is an [Exchange] that can let go of its request, which may be large
// while the answer takes minutes.
type Released interface {
	Exchange
	// Release forgets what only another attempt would need, the client's body
	// foremost, once output was sent: Call has no Body and no Pieces after it.
	Release()
}
