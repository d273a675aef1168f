// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// choice is what is known of one of the answer's alternatives. Byte slices hold
// JSON that belongs to it; text is encoded, without quotes.
type choice struct {
	index   int
	role    bool // the chunk with the role was sent
	seen    bool // some part came, however empty
	output  bool // text, a call or media
	tagOpen bool // a <thought> tag waits for its end
	tagged  bool // there was one
	flowing bool // JSON that is streamed goes out as it comes

	// Message content so far. Streams keep it, too: sources that come with the last
	// event point anywhere into it, a signature is remembered by the whole text, and
	// Google's answers end at some 300 KiB of it.
	content   []byte
	home      *[]byte // where its memory goes back to; nil for nowhere
	gaps      []gap   // what of it is not the model's text
	partAt    []int   // where each part of the answer starts in it
	lastPart  int     // what the last of them is
	reasoning []byte  // only when not streamed
	calls     []byte  // elements of tool_calls, or the one function_call; only when not streamed
	callCount int
	sawCall   bool // also when the call is not shown
	images    []byte
	imgCount  int
	sound     []*gemini.Blob // only when not streamed
	audioID   string
	logprobs  []byte // only when not streamed
	signature []byte // of the text, not told yet

	textSigned []byte // the last signature of the text, told or not
	native     []byte // elements, see [aside]
	tooMuch    bool   // they are too large
	firstCall  string // its id

	finish    []byte // Gemini's finishReason, encoded with its quotes
	grounding []rawjson.Value
	citations []rawjson.Value
}

// maxIndex is the highest index that OpenAI's Go SDK accepts. Gemini gives at
// most eight candidates.
const maxIndex = 127

// gap is a stretch of content that Gemini's byte offsets do not count.
type gap struct{ from, to int }

// choice returns the choice that the n-th candidate of the decoded answer
// belongs to. Google leaves out index 0; where several candidates have none,
// their position counts. Source: specs/openai.md §10.2.
func (x *Chat) choice(n int) *choice {
	index := x.answer.Candidates[n].Index
	if index == 0 && len(x.answer.Candidates) > 1 && unnumbered(x.answer.Candidates) {
		index = n
	}
	for i := range x.choices {
		if x.choices[i].index == index {
			return &x.choices[i]
		}
	}
	if index > maxIndex {
		return &choice{index: index}
	}
	x.choices = append(x.choices, choice{index: index})
	c := &x.choices[len(x.choices)-1]
	if x.req.Stream {
		c.borrow()
	}
	return c
}

func unnumbered(candidates []gemini.Candidate) bool {
	for i := range candidates {
		if candidates[i].Index != 0 {
			return false
		}
	}
	return true
}

// candidate takes over what the decoded answer has of c, part by part, in order.
func (x *Chat) candidate(dst []byte, c *choice, candidate *gemini.Candidate) ([]byte, error) {
	if c.index > maxIndex {
		return dst, nil
	}
	if x.req.Logprobs && !candidate.Logprobs.IsNull() {
		x.logprobs = candidate.Logprobs
	}
	var err error
	for i := range candidate.Parts {
		c.seen = true
		c.startPart(&candidate.Parts[i], i > 0 || !x.req.Stream)
		if dst, err = x.part(dst, c, &candidate.Parts[i]); err != nil {
			return dst, err
		}
	}
	dst = x.strayLogprobs(dst, c)
	if !candidate.FinishReason.IsNull() {
		c.finish = append(c.finish[:0], candidate.FinishReason...)
	}
	if g := candidate.Grounding; g.Kind() == rawjson.Object {
		c.grounding = append(c.grounding, rawjson.Compact(nil, g))
	}
	if g := candidate.Citations; g.Kind() == rawjson.Object {
		c.citations = append(c.citations, rawjson.Compact(nil, g))
	}
	return dst, nil
}

// part takes over one part. Source: the table in specs/openai.md §10.2.
func (x *Chat) part(dst []byte, c *choice, p *gemini.Part) ([]byte, error) {
	switch {
	case p.FunctionCall != nil:
		return x.toolCall(dst, c, p), nil
	case p.Thought:
		// Drafts of image models are thoughts with media: not for the client.
		return x.thought(dst, c, p.Text.Inner()), nil
	case p.InlineData != nil:
		return x.media(dst, c, p)
	case p.FileData != nil:
		uri := p.FileData.URI.Inner()
		x.scratch = join(x.scratch, "[", uri, "](", uri, ")")
		return x.aside(dst, c), nil
	case isNative(p):
		return x.native(dst, c, p), nil
	default:
		return x.text(dst, c, p.Text.Inner(), p.ThoughtSignature.Inner()), nil
	}
}

// join overwrites dst.
func join(dst []byte, a string, b []byte, c string, d []byte, e string) []byte {
	dst = append(append(append(dst[:0], a...), b...), c...)
	return append(append(dst, d...), e...)
}

// aside takes over visible content that is not the model's text, from scratch.
func (x *Chat) aside(dst []byte, c *choice) []byte {
	from := len(c.content)
	dst = x.text(dst, c, x.scratch, nil)
	c.addGap(from)
	return dst
}

// native takes over a part that has no place in a message: shown or not, it goes
// to the client as it is, too.
func (x *Chat) native(dst []byte, c *choice, p *gemini.Part) []byte {
	offset, length := c.spoken(), 0
	if p.ServerToolKey == "" {
		x.scratch = joinCode(x.scratch, p)
		dst = x.aside(dst, c)
		length = c.spoken() - offset
	}
	c.addNative(p, offset, length)
	return dst
}

// spoken is how long the content is as it comes back, in bytes of its text:
// without the thought before it.
func (c *choice) spoken() int {
	text := rawjson.AppendText(nil, quoted(c.content))
	if !c.tagged {
		return len(text)
	}
	_, answer, _ := bytes.Cut(text, []byte(thoughtEnd))
	return len(answer)
}

// addNative notes a native part; see [aside]. Where they get too large there are
// none at all: a call without its result is worse.
func (c *choice) addNative(p *gemini.Part, offset, length int) {
	part := appendNative(nil, p)
	if c.tooMuch = c.tooMuch || len(c.native)+len(part) > maxNative; c.tooMuch {
		c.native = nil
		return
	}
	if len(c.native) > 0 {
		c.native = append(c.native, ',')
	}
	c.native = append(c.native, '{')
	for _, n := range [...]struct {
		name  string
		value int
	}{{`"offset":`, offset}, {`"length":`, length}, {`"calls":`, c.callCount}} {
		if n.value > 0 {
			c.native = append(strconv.AppendInt(append(c.native, n.name...), int64(n.value), 10), ',')
		}
	}
	c.native = append(append(append(c.native, `"part":`...), part...), '}')
}

// rememberNative keeps the native parts for clients that drop them.
func (x *Chat) rememberNative(c *choice) {
	if len(c.native) > 0 && len(c.native) <= maxRemembered && c.firstCall != "" && x.env.Memo != nil {
		x.env.Memo.Remember(nativeKey(x.req.Target, c.firstCall), "["+string(c.native)+"]")
	}
}

// addGap marks everything after from as not the model's text.
func (c *choice) addGap(from int) {
	if n := len(c.gaps); n > 0 && c.gaps[n-1].to >= from {
		c.gaps[n-1].to = len(c.content)
		return
	}
	c.gaps = append(c.gaps, gap{from, len(c.content)})
}

// The finish reasons of chat completions. Clients' types know no others.
const (
	finishStop     = "stop"
	finishLength   = "length"
	finishCalls    = "tool_calls"
	finishFilter   = "content_filter"
	finishFunction = "function_call"
)

// finishReason translates the end of a choice, or says why it is none.
func (x *Chat) finishReason(c *choice) (string, *translate.Failure) {
	reason, fault := finishOf(rawjson.Value(c.finish).Text(), c.output)
	switch {
	case reason != finishStop || !c.sawCall:
		return reason, fault
	case x.req.LegacyFunctions:
		return finishFunction, nil
	default:
		return finishCalls, nil
	}
}

// finishOf translates Gemini's finishReason of an answer with or without output:
// to stop, length or content_filter, or to what is wrong with the answer.
// Source: the table in specs/openai.md §10.3.
func finishOf(reason string, output bool) (string, *translate.Failure) {
	switch reason {
	case "MAX_TOKENS":
		return finishLength, nil
	case "SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT",
		"RECITATION", "IMAGE_RECITATION", "LANGUAGE":
		return finishFilter, nil
	case "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE":
		if !output {
			return "", &translate.Failure{
				Kind: translate.MalformedAnswer, Code: "malformed_function_call", Status: 200, Retry: true,
				Message: "Gemini made a function call that is not valid (" + reason + ").",
			}
		}
	case "MISSING_THOUGHT_SIGNATURE":
		return "", &translate.Failure{
			Kind: translate.MalformedAnswer, Code: "missing_thought_signature", Status: 200, Retry: true,
			Message: "Gemini misses a thought signature in the conversation.",
		}
	case "OTHER":
		if !output {
			return "", translate.NoContent()
		}
	}
	return finishStop, nil
}
