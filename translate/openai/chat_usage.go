// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// appendUsage appends the usage object of chat completions. The total is the
// sum that clients check, whatever Google reports.
// Source: specs/openai.md §11.
func appendUsage(dst []byte, u gemini.Usage) []byte {
	number := func(name string, n int64) {
		dst = append(dst, name...)
		dst = strconv.AppendInt(dst, n, 10)
	}
	number(`{"prompt_tokens":`, u.Input())
	number(`,"completion_tokens":`, u.Output())
	number(`,"total_tokens":`, u.Input()+u.Output())
	number(`,"prompt_tokens_details":{"cached_tokens":`, u.Cached)
	number(`,"audio_tokens":`, u.PromptAudio)
	number(`},"completion_tokens_details":{"reasoning_tokens":`, u.Thoughts)
	number(`,"audio_tokens":`, u.CandidatesAudio)
	return append(dst, `,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`...)
}
