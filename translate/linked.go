// SPDX-License-Identifier: Apache-2.0

package translate

// Linked is an Exchange whose request may name media by URL that have to be in
// the call itself. Where Remote is not empty, the gateway fetches and then calls
// Provide, before the first attempt and after [Exchange.Call] served for the
// checks that need no media.
type Linked interface {
	Exchange
	// Remote lists the URLs to fetch, each once. It is empty after Provide.
	Remote() []string
	// Provide completes the call. find returns what came of a URL of Remote: its
	// type and bytes, which must not change while the exchange is in use, or why
	// it did not come, in words for the client.
	Provide(find func(url string) (mimeType string, data []byte, err error)) *Failure
}
