// SPDX-License-Identifier: Apache-2.0

// Package openai is the OpenAI dialect: it decodes OpenAI requests to Gemini's
// and encodes Gemini's answers as OpenAI's.
//
// Requests are read by walking [rawjson.Value]s. Text, arguments and media stay
// slices of the client's body until the upstream request is appended.
//
// Source of every rule: specs/openai.md; the comments name its sections.
package openai
