// SPDX-License-Identifier: Apache-2.0

// Package anthropic is the Anthropic dialect: it decodes requests of the Messages
// API to Gemini's and encodes Gemini's answers as Anthropic's.
//
// Requests are read by walking [rawjson.Value]s, strictly from top to bottom of
// the table in specs/native-anthropic.md C.1: decode.go has the steps, the other
// request files one table each. What the answer's conversion has to know of a
// request is its plan, see plan.go. Text, arguments and media stay slices of the
// client's body until the upstream request is appended.
//
// Failures have the path of the field in Param, as Anthropic writes it
// (messages.0.content.1.source.data), and the Message does not repeat it: an error
// answer joins the two by a colon.
//
// Source of every rule: specs/native-anthropic.md; the comments name its sections,
// and those of specs/openai.md as OS§.
package anthropic
