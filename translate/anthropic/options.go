// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
)

// Options are the operator's choices. The zero value is ready to use. Options are
// read only and may be shared by requests of one user.
type Options struct {
	// Resolve turns the client's model string into a Gemini model id; what it does
	// not know it returns as it is. nil resolves each to itself. Claude's names that
	// it does not know go to Gemini's models of the same rank.
	Resolve func(model string) string
	// Defaults are what the operator wants of requests for a model by a name, as Resolve
	// got it, that say nothing themselves; nil wants nothing of any.
	Defaults func(name, model string) translate.Defaults
	// Capabilities is what the models take; nil is the built-in table.
	Capabilities *capability.Table
	// File finds an uploaded file of this user by its id, or by Google's name for it
	// ("files/…"). The failure it may return gets the field's name as its Param. nil
	// knows no id and passes Google's names on unseen.
	File func(id string) (uri, mimeType string, f *translate.Failure)
	// Fetch takes http and https URLs of images and documents, which have to be
	// fetched and given to Provide; see [translate.Linked]. Otherwise they are
	// refused.
	Fetch bool
	// Session is how the client names the conversation beside the request: the header
	// x-claude-code-session-id. "" is none.
	Session string
	// Safety is sent with every request: a JSON array as Google takes it. nil sends
	// nothing.
	Safety []byte
	// Seal turns what answers tell of themselves to the next request into text of the
	// base64url alphabet that nobody else can make, and Open takes such text back; ok
	// is false for any other. Both must work for as long as conversations last. nil
	// leaves the data open to be read and changed, which costs no secret: it is the
	// client's own.
	Seal func(data []byte) string
	Open func(sealed string) (data []byte, ok bool)
}
