// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Some clients, Cursor for one, send the body of a Responses request to chat
// completions and read a chat completion. What both APIs have in their own words
// may stand there in either, and faults are told in the words of the client.
// Source: specs/native-anthropic.md §E, Cursor.

// hasItems tells such a body from one that lacks its messages.
func hasItems(root rawjson.Value) bool { return !root.Get("input").IsNull() }

// decodeChatItems decodes a chat completions request whose conversation are items.
func decodeChatItems(env translate.Env, o Options, doc rawjson.Document) (*ChatRequest, *translate.Failure) {
	words := responsesWords
	d := &responsesDecoder{decoder: newDecoder(env, &o, &words), chat: true}
	d.out = &responsesRequest{ChatRequest: d.req}
	d.sort(doc, func(name string) *rawjson.Value {
		switch name {
		case "stream_options", "user", "metadata":
			return d.in.field(name)
		case "max_completion_tokens":
			words.limit = name
		case "reasoning_effort":
			words.effort = name
		case "response_format":
			words.format, words.schema = chatWords.format, chatWords.schema
		}
		if slot := d.slot(name); slot != nil {
			return slot
		}
		return d.in.field(name)
	})
	d.model(d.in.model)
	f := d.run(
		d.params, d.limits, d.penalties, d.probabilities, d.tier, d.output,
		d.stateful, d.repeated, d.included, d.text, d.reasoning,
		d.tools, d.extras, d.search, d.toolChoice, d.combine, d.format, d.thinking,
		d.items, d.contents, d.cached, d.relaxed,
	)
	if f != nil {
		return nil, f
	}
	d.req.turn = d.turnHash()
	return d.req, nil
}
