// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// take takes over the decoded answer, part by part. There is one candidate.
// Source: specs/openai.md §20.3.
func (x *Responses) take(dst []byte) []byte {
	if x.answer.BlockReason != nil && x.refusal == nil {
		x.refusal = appendRefusal(nil, &x.answer)
	}
	if len(x.answer.Candidates) == 0 {
		return dst
	}
	c, all := &x.answer.Candidates[0], &x.all
	if !c.FinishReason.IsNull() {
		all.finish = append(all.finish[:0], c.FinishReason...)
	}
	if c.Grounding.Kind() == rawjson.Object {
		all.grounding = append(all.grounding, rawjson.Compact(nil, c.Grounding))
	}
	if c.Citations.Kind() == rawjson.Object {
		all.citations = append(all.citations, rawjson.Compact(nil, c.Citations))
	}
	if x.req.Logprobs && !c.Logprobs.IsNull() {
		x.logprobs = c.Logprobs
	}
	for i := range c.Parts {
		all.seen = true
		dst = x.part(dst, &c.Parts[i])
	}
	if x.logprobs != nil && x.open.kind == messageItem {
		x.open.probabilities(x.logprobs, x.req.TopLogprobs)
	}
	x.logprobs = nil // the document is gone when the next frame comes
	return dst
}

// part takes over one part.
func (x *Responses) part(dst []byte, p *gemini.Part) []byte {
	switch {
	case p.FunctionCall != nil:
		return x.functionCall(dst, p)
	case p.Thought: // drafts of image models are thoughts with media: not for the client
		return x.thought(dst, p.Text.Inner(), x.signature(p))
	case p.InlineData != nil:
		if strings.HasPrefix(p.InlineData.MIMEType, "image/") {
			return x.image(dst, p)
		}
		return dst // there is no item for sound
	case p.FileData != nil:
		uri := p.FileData.URI.Inner()
		x.scratch = join(x.scratch, "[", uri, "](", uri, ")")
		from := len(x.all.content)
		dst = x.text(dst, x.scratch, nil)
		x.all.addGap(from)
		return dst
	case served(*p) && !x.begun:
		// Nobody sees it yet: until there is output another key may take over.
		x.waiting = append(x.waiting, appendNative(nil, p))
		return dst
	case isNative(p):
		return x.native(dst, p)
	default:
		return x.text(dst, p.Text.Inner(), x.signature(p))
	}
}

// native takes over a part that goes to the client as it is, beside the item that
// shows it, if there is one. Those before the first call are remembered, too.
func (x *Responses) native(dst []byte, p *gemini.Part) []byte {
	switch {
	case p.ExecutableCode != nil:
		dst = x.markNative(dst, p)
		return x.code(dst, p.ExecutableCode.Get("code").Inner())
	case p.CodeResult != nil:
		dst = x.codeResult(dst, p.CodeResult.Get("output").Inner()) // absent when empty
		return x.markNative(dst, p)
	}
	if x.firstCall == "" && len(x.nativeParts) <= maxRemembered && x.env.Memo != nil {
		if len(x.nativeParts) > 0 {
			x.nativeParts = append(x.nativeParts, ',')
		}
		x.nativeParts = append(appendNative(append(x.nativeParts, `{"part":`...), p), '}')
	}
	if p.ServerToolKey == "toolCall" && p.ServerTool.Get("toolType").Is("GOOGLE_SEARCH_WEB") {
		x.searched = true
		dst = x.closeItem(dst, statusCompleted)
		dst = x.searchItem(dst, texts(p.ServerTool.Get("args").Get("queries")))
	}
	return x.markNative(dst, p)
}

// markNative tells of a native part.
func (x *Responses) markNative(dst []byte, p *gemini.Part) []byte {
	if !x.req.encrypted && !x.req.store {
		return dst
	}
	if part := appendNative(nil, p); len(part) <= maxNative {
		dst = x.mark(dst, nativeWhole, "", part)
	}
	return dst
}

// signature is the signature of a part, encoded, where it will be told to
// somebody.
func (x *Responses) signature(p *gemini.Part) []byte {
	if !x.req.encrypted && !x.req.store {
		return nil
	}
	return p.ThoughtSignature.Inner()
}

// text takes over visible text. Of two signed texts each gets a message of its
// own, so that both signatures find back.
func (x *Responses) text(dst, inner, signature []byte) []byte {
	signs := len(signature) > 0
	if len(inner) == 0 {
		switch {
		case !signs:
		case x.open.kind == messageItem && !x.open.signed:
			x.open.sign(signedTail, signature)
		default:
			dst = x.closeItem(dst, statusCompleted)
			dst = x.mark(dst, signedTail, "", signature)
		}
		return dst
	}
	x.all.output = true
	if x.open.kind != messageItem || x.open.signed && signs {
		if x.open.kind == messageItem {
			dst = x.closeItem(dst, statusCompleted)
		}
		if signs {
			dst = x.mark(dst, signedText, "", signature)
		}
		dst = x.openMessage(dst)
		x.open.signed = signs
	} else if signs {
		x.open.sign(signedLast, signature)
	}
	x.all.content = append(x.all.content, inner...)
	logprobs := x.logprobs
	if logprobs != nil {
		x.open.probabilities(logprobs, x.req.TopLogprobs)
		x.logprobs = nil
	}
	if !x.req.Stream {
		return dst
	}
	if x.req.JSONMode && x.open.from == 0 {
		if inner = x.all.flow(inner); inner == nil {
			return dst
		}
	}
	return x.textDelta(dst, &x.open, inner, logprobs)
}

// textDelta appends an event of text of the message o; none for nothing.
func (x *Responses) textDelta(dst []byte, o *openItem, inner []byte, logprobs rawjson.Value) []byte {
	if len(inner) == 0 && logprobs == nil {
		return dst
	}
	x.piece(inner)
	dst = x.event(dst, "response.output_text.delta")
	dst = append(append(dst, o.place...), `,"content_index":0,"delta":"`...)
	dst = append(append(dst, inner...), `","logprobs":[`...)
	if logprobs != nil {
		dst = appendTokens(dst, logprobs, x.req.TopLogprobs, false)
	}
	return append(dst, "]}\n\n"...)
}

// piece notes a delta for [Responses.Trace].
func (x *Responses) piece(inner []byte) {
	if x.req.store {
		x.deltas = append(x.deltas, len(inner))
	}
}

// thought takes over reasoning.
func (x *Responses) thought(dst, inner, signature []byte) []byte {
	if len(inner) == 0 || x.req.Reasoning == ReasoningOff {
		return dst
	}
	if x.open.kind != reasoningItem || x.open.signed {
		dst = x.openReasoning(dst)
	}
	x.open.text = append(x.open.text, inner...)
	if x.req.Stream {
		x.piece(inner)
		dst = x.event(dst, "response.reasoning_summary_text.delta")
		dst = append(append(dst, x.open.place...), `,"summary_index":0,"delta":"`...)
		dst = append(append(dst, inner...), "\"}\n\n"...)
	}
	if len(signature) > 0 {
		x.open.sign(signedThought, signature)
	}
	return dst
}

// tooLarge reports whether the images so far and those of the decoded answer
// are more than a client reads in one line. The last event has them all.
func (x *Responses) tooLarge() bool {
	size := 0
	for i := range x.answer.Candidates {
		for _, p := range x.answer.Candidates[i].Parts {
			if p.InlineData != nil && !p.Thought {
				size += len(p.InlineData.Data)
			}
		}
	}
	return size > 0 && size+len(x.items.buf) > maxLine-(64<<10)
}

// ending is how an answer ended.
type ending struct {
	status  string             // of the response; "" while it goes on
	reason  string             // incomplete_details.reason
	failure *translate.Failure // where it failed
}

// verdict reads the end of the answer, or says why it is none.
// Source: specs/openai.md §20.3 and §10.3.
func (x *Responses) verdict() (ending, error) {
	const filtered = "content_filter"
	switch {
	case x.refusal != nil:
		return ending{status: statusIncomplete, reason: filtered}, nil
	case x.all.finish == nil && x.all.seen:
		return ending{}, translate.CutOff()
	case x.all.finish == nil:
		return ending{}, translate.NoContent()
	}
	reason, fault := finishOf(rawjson.Value(x.all.finish).Text(), x.all.output)
	switch {
	case fault != nil && !x.all.output:
		return ending{}, fault
	case reason == finishLength:
		return ending{status: statusIncomplete, reason: "max_output_tokens"}, nil
	case reason == finishFilter:
		return ending{status: statusIncomplete, reason: filtered}, nil
	}
	return ending{status: statusCompleted}, nil
}

// conclude closes what is open and adds what is only known at the end.
func (x *Responses) conclude(dst []byte) ([]byte, ending, error) {
	end, err := x.verdict()
	if err != nil {
		return dst, end, err
	}
	dst = x.begin(dst)
	dst = x.closeItem(dst, end.status)
	dst = x.search(dst)
	if n := len(x.nativeParts); n > 0 && n <= maxRemembered && x.firstCall != "" {
		x.env.Memo.Remember(nativeKey(x.req.Target, x.firstCall), "["+string(x.nativeParts)+"]")
	}
	switch {
	case x.refusal != nil && !x.all.output:
		dst = x.refuse(dst)
	case !x.all.output && (x.items.count == 0 || end.status == statusCompleted):
		// Clients look into the first message; one without text is better than none.
		dst = x.openMessage(dst)
		dst = x.closeItem(dst, end.status)
	}
	return dst, end, nil
}
