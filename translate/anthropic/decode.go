// SPDX-License-Identifier: Apache-2.0

package anthropic

import "github.com/gemini-balance/caddy-gemini-balance/translate"

// decodeMessages decodes the body of POST /v1/messages.
func decodeMessages(env translate.Env, o *Options, body []byte) (*request, *translate.Failure) {
	return decode(env, o, body, true)
}

// decodeCountTokens decodes the body of POST /v1/messages/count_tokens, which is the
// same without max_tokens and stream.
func decodeCountTokens(env translate.Env, o *Options, body []byte) (*request, *translate.Failure) {
	return decode(env, o, body, false)
}

func decode(env translate.Env, o *Options, body []byte, generate bool) (*request, *translate.Failure) {
	return nil, translate.Invalid("", "not written yet")
}
