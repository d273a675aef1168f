// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
)

// The styles in which thoughts are shown to a client, values of
// [Options.Reasoning]. Source: specs/openai.md §8.3.
const (
	ReasoningContent = "reasoning_content" // message.reasoning_content
	ReasoningTags    = "thought_tags"      // <thought>…</thought> before the answer, as Google's own endpoint does
	ReasoningOff     = "off"               // never ask for thoughts, never show them
)

// safetySettings are the lists of SafetySettings, by their words.
var safetySettings = func() map[string][]byte {
	all := map[string][]byte{}
	for _, word := range []string{"off", "block_none", "block_only_high", "block_medium_and_above", "block_low_and_above"} {
		list := []byte{'['}
		for _, category := range []string{"HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT", "CIVIC_INTEGRITY"} {
			threshold := strings.ToUpper(word)
			if word == "off" && category == "CIVIC_INTEGRITY" { // some models do not take OFF for it
				threshold = "BLOCK_NONE"
			}
			list = append(list, `{"category":"HARM_CATEGORY_`+category+`","threshold":"`+threshold+`"},`...)
		}
		list[len(list)-1] = ']'
		all[word] = list
	}
	return all
}()

// SafetySettings are settings for [Options.Safety] with one threshold for all that
// Google filters: off is no filter, the word for newer models, block_none are filters
// that block nothing, the word for older ones; block_only_high, block_medium_and_above
// and block_low_and_above block ever more. nil for any other word. The result must not
// be changed. Source: specs/openai.md §9.
func SafetySettings(word string) []byte { return safetySettings[word] }

// Options are the operator's choices. The zero value is ready to use. Options
// are read only and may be shared.
type Options struct {
	// Reasoning is how thoughts are shown: reasoning_content or thought_tags ask
	// for them on every request, off never, "" only where the client asked, as
	// reasoning_content.
	Reasoning string
	// Resolve turns the client's model string into a Gemini model id or into
	// another name with the conventions of clients (a "models/" prefix, a
	// ":search" suffix). nil resolves each to itself.
	Resolve func(model string) string
	// Defaults are what the operator wants of requests for a model by a name, as Resolve
	// got it, that say nothing themselves; nil wants nothing of any.
	Defaults func(name, model string) translate.Defaults
	// File finds an uploaded file of this user by its id, or by Google's name for it
	// ("files/…"). The failure it may return gets the field's name as its Param; see
	// [NoSuchFile]. nil knows no id and passes Google's names on unseen.
	File func(id string) (uri, mimeType string, f *translate.Failure)
	// Cache checks that cached content, by Google's name ("cachedContents/…"), is this
	// user's. The failure it may return gets the field's name as its Param. nil passes
	// names on unseen.
	Cache func(name string) *translate.Failure
	// Capabilities is what the models take; nil is the built-in table.
	Capabilities *capability.Table
	// CountTokens has Google count the tokens of embeddings, in calls of their own,
	// where they would be guessed otherwise.
	CountTokens bool
	// Fetch takes http and https URLs of media, which have to be fetched and given
	// to Provide; see [translate.Linked]. Otherwise they are refused.
	Fetch bool
	// Strict refuses what would be ignored otherwise: unknown top-level fields
	// and penalties the model does not take.
	Strict bool
	// Previous returns what [Responses.Stored] gave for an earlier answer of this
	// user: a JSON array of items, which must not change while a request uses it.
	// nil means that nothing is kept: previous_response_id is refused and answers
	// say that they were not stored.
	Previous func(id string) (items []byte, ok bool)
	// MaxKept is how large, in bytes, a conversation may be for its answer to be kept;
	// 0 sets no limit.
	MaxKept int
	// Safety is sent with requests that bring no safety_settings of their own:
	// a JSON array as Google takes it. nil sends nothing.
	Safety []byte
}
