// SPDX-License-Identifier: Apache-2.0

package translate

// Relaxed is an [Exchange] whose call may have JSON Schemas. Google refuses some
// for reasons that are not in its documents.
type Relaxed interface {
	Exchange
	// Relax writes the schemas in the next plainer way, for the case that Google
	// refused them, and changes Call. It reports false where there is none left.
	Relax() bool
}
