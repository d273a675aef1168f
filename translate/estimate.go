// SPDX-License-Identifier: Apache-2.0

package translate

// Estimated is an Exchange whose answer begins with the size of the prompt, maybe
// before Google has counted it.
type Estimated interface {
	Exchange
	// Estimate tells what the prompt was taken for, in tokens. The gateway calls it
	// before the first attempt.
	Estimate(input int64)
}
