// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// The texts in place of a signature that Google lets pass.
var bypass = map[string]bool{"skip_thought_signature_validator": true, "context_engineering_is_the_way_to_go": true}

const signaturePrefix = "simulated signature "

// signature is what the simulated model signs its thoughts with.
func signature(model, what string) string {
	return base64.StdEncoding.EncodeToString([]byte(signaturePrefix + model + " " + what))
}

func genuine(s string) bool {
	b, err := base64.StdEncoding.DecodeString(s)
	return err == nil && strings.HasPrefix(string(b), signaturePrefix)
}

// kinds of turns, for the order of calls and their responses.
func calls(c content) (out []*gemini.FunctionCall) {
	for _, p := range c.parts {
		if p.FunctionCall != nil {
			out = append(out, p.FunctionCall)
		}
	}
	return out
}

func responses(c content) (out []*gemini.FunctionResponse) {
	for _, p := range c.parts {
		if p.FunctionResponse != nil {
			out = append(out, p.FunctionResponse)
		}
	}
	return out
}

// callsAnswered checks that every turn of calls has its turn of responses.
// Source: specs/openai.md §3.5, §3.7.
func callsAnswered(_ *Model, q *request) string {
	for i, c := range q.contents {
		fc, fr := calls(c), responses(c)
		if len(fc) > 0 {
			if c.role != "model" {
				return "Please ensure that function call turn comes immediately after a user turn or after a function response turn."
			}
			if i == 0 || q.contents[i-1].role == "model" {
				return "Please ensure that function call turn comes immediately after a user turn or after a function response turn."
			}
			if i+1 == len(q.contents) || len(responses(q.contents[i+1])) != len(fc) {
				return "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn."
			}
		}
		if len(fr) == 0 {
			continue
		}
		if i == 0 || len(calls(q.contents[i-1])) == 0 {
			return "Please ensure that function response turn comes immediately after a function call turn."
		}
		if message := pairs(calls(q.contents[i-1]), fr); message != "" {
			return message
		}
	}
	return ""
}

func pairs(fc []*gemini.FunctionCall, fr []*gemini.FunctionResponse) string {
	if len(fc) != len(fr) {
		return "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn."
	}
	for i := range fc {
		if fr[i].Name.Text() == "" {
			return "* GenerateContentRequest.contents.parts.function_response.name: Name cannot be empty."
		}
		if fc[i].ID.Text() != fr[i].ID.Text() {
			return fmt.Sprintf("functionResponse.id does not match functionCall.id: %q, %q", fr[i].ID.Text(), fc[i].ID.Text())
		}
		if fc[i].Name.Text() != fr[i].Name.Text() {
			return fmt.Sprintf("Please ensure that the function response name matches the function call name: %q, %q", fr[i].Name.Text(), fc[i].Name.Text())
		}
	}
	return ""
}

// signaturesPresent checks the first call of every model turn since the last
// real user text, for models from Gemini 3 on. Signatures that nobody made are
// refused everywhere.
// Source: specs/openai.md §7.1.
func signaturesPresent(m *Model, q *request) string {
	for _, c := range q.contents {
		for _, p := range c.parts {
			if s := p.ThoughtSignature.Text(); s != "" && !bypass[s] && !genuine(s) {
				return "Corrupted thought signature."
			}
		}
	}
	if m.Generation < 3 {
		return ""
	}
	last := 0 // content after the last one that a user wrote
	for i, c := range q.contents {
		if c.role != "model" && len(responses(c)) == 0 {
			last = i
		}
	}
	for i := last; i < len(q.contents); i++ {
		for j, p := range q.contents[i].parts {
			if p.FunctionCall == nil {
				continue
			}
			if len(p.ThoughtSignature) == 0 {
				return fmt.Sprintf("Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance. Additional data, function call `default_api:%s`, position %d. Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details.",
					p.FunctionCall.Name.Text(), i+j+1)
			}
			break // only the first one of a turn is signed
		}
	}
	return ""
}
