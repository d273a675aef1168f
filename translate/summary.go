// SPDX-License-Identifier: Apache-2.0

package translate

import "github.com/gemini-balance/caddy-gemini-balance/translate/gemini"

// Summarized is an [Exchange] that can tell more of its answer than its usage. Those
// whose answers have neither an id nor an end, such as lists of models, are not.
type Summarized interface {
	Exchange
	// Summary is that of the present attempt's answer, as far as it has come. It is
	// valid until Begin.
	Summary() *gemini.Summary
}
