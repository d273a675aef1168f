// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Each function here takes over one kind of part and appends the blocks that become
// of it: this is the state machine of specs/native-anthropic.md C.13.

// coming is what is left of the parts that came in one document. They may have the
// signature that an open thinking block is to carry for them.
type coming struct {
	parts []gemini.Part
	at    int      // the one that is being taken over
	ids   []string // of the calls among parts, where one was needed yet
}

// upcoming sets the parts of a document.
func (x *Messages) upcoming(parts []gemini.Part) {
	x.now.parts, x.now.at = parts, 0
	x.now.ids = append(x.now.ids[:0], make([]string, len(parts))...)
}

// callID is the id of the call that part i makes. It says nothing and is never
// repeated: what is remembered of the call goes by it.
func (x *Messages) callID(i int) string {
	if x.now.ids[i] == "" {
		x.now.ids[i] = "toolu_" + x.env.NewID(22)
	}
	return x.now.ids[i]
}

// callName is what the client calls the function of a part; "" for what is no call.
func (x *Messages) callName(p *gemini.Part) string {
	if p.FunctionCall == nil {
		return ""
	}
	return x.plan.names.Client(p.FunctionCall.Name.Text())
}

// text takes over visible text. The signature of an empty one, where streams of
// Gemini 3 often end, shows nothing. Signed or not, it is text: what makes a thought
// is that the part says so.
func (x *Messages) text(dst []byte, v rawjson.Value) []byte {
	if len(v.Inner()) == 0 {
		return dst
	}
	x.output = true
	dst = x.leaveThinking(dst)
	switch {
	case len(x.plan.stops) > 0:
		return x.cutText(dst, v)
	case x.plan.json:
		return x.jsonText(dst, v)
	default:
		return x.say(dst, v)
	}
}

// say writes text, or keeps it where its sources are told with its last event.
func (x *Messages) say(dst []byte, v rawjson.Value) []byte {
	if x.sources == nil {
		return x.blocks.text(dst, v.Inner())
	}
	x.sources.text = rawjson.AppendText(x.sources.text, v)
	if x.plan.stream {
		dst = append(dst, pingEvent...) // a sign of life, as the text may take long
	}
	return dst
}

// aside takes over something visible that is not the model's text, encoded.
func (x *Messages) aside(dst, inner []byte) []byte {
	x.output = true
	dst = x.leaveThinking(dst)
	if x.sources != nil || len(x.held)+len(x.fenced) > 0 {
		dst = x.closeText(dst)
	}
	return x.blocks.text(dst, inner)
}

// leaveThinking begins the message, ends an open thinking block, and has parts of
// Google's tools that came since the last one travel in another, ahead of the text.
func (x *Messages) leaveThinking(dst []byte) []byte {
	dst = x.begin(dst)
	switch {
	case x.blocks.open == blockThinking:
		return x.closeThinking(dst)
	case len(x.pending) > 0:
		return x.carry(dst)
	default:
		return dst
	}
}

// thought takes over reasoning.
func (x *Messages) thought(dst, inner []byte) []byte {
	if len(inner) == 0 || !x.plan.thinking || !x.plan.thoughts {
		return dst
	}
	dst = x.begin(dst)
	if x.blocks.open != blockThinking {
		dst = x.closeText(dst)
	}
	return x.blocks.thinking(dst, inner)
}

// toolUse takes over a function call.
func (x *Messages) toolUse(dst []byte, p *gemini.Part) []byte {
	name := x.callName(p)
	if name == "" || x.plan.oneCall && x.calls > 0 {
		return dst
	}
	x.output = true
	dst = x.begin(dst)
	id := x.callID(x.now.at)
	signature := p.ThoughtSignature
	signed := gemini.ValidSignature(signature)
	switch {
	case x.blocks.open == blockThinking:
		dst = x.closeThinking(dst)
	case x.plan.thinking && signed && !x.sealed[id], len(x.pending) > 0:
		dst = x.carry(dst)
	default:
		dst = x.closeText(dst)
	}
	if signed && x.env.Memo != nil {
		x.env.Memo.Remember(memoKey(x.plan.target, id), signature.Text())
	}
	x.calls++
	return x.blocks.call(dst, "tool_use", id, name, x.arguments(p.FunctionCall.Args))
}

// arguments are the input of a call, compact and an object whatever came.
func (x *Messages) arguments(args rawjson.Value) []byte {
	switch args.Kind() {
	case rawjson.Missing, rawjson.Null:
		return append(x.scratch[:0], '{', '}')
	case rawjson.Object:
		x.scratch = rawjson.Compact(x.scratch[:0], args)
	default:
		x.scratch = append(rawjson.Compact(append(x.scratch[:0], `{"value":`...), args), '}')
	}
	return x.scratch
}

// carry writes a thinking block that has nothing but its signature. Another block
// was in between since the last, or there are no thoughts.
func (x *Messages) carry(dst []byte) []byte {
	dst = x.closeText(dst)
	return x.closeThinking(x.blocks.thinking(dst, nil))
}

// closeThinking ends the open thinking block with its signature: what Google wants
// back with the calls that follow it. It is never empty, as clients drop blocks
// that are not signed. Source: specs/native-anthropic.md C.5.
func (x *Messages) closeThinking(dst []byte) []byte {
	e := envelope{family: x.plan.family, parts: x.pending}
	var text rawjson.Value // the signature of the text that follows
	calls := x.calls
	for i := x.now.at; i < len(x.now.parts); i++ {
		p := &x.now.parts[i]
		signed := gemini.ValidSignature(p.ThoughtSignature)
		switch {
		case p.Thought:
			if x.plan.thoughts && i > x.now.at && len(p.Text.Inner()) > 0 {
				i = len(x.now.parts) // a block of its own begins there
			}
		case x.callName(p) != "":
			if x.plan.oneCall && calls > 0 {
				continue
			}
			if calls++; signed {
				e.calls = append(e.calls, signedCall{x.callID(i), p.ThoughtSignature})
				x.markSealed(x.callID(i))
			}
		case p.Text != nil && signed && calls == x.calls:
			text = p.ThoughtSignature
		}
	}
	if text != nil {
		e.calls = append(e.calls, signedCall{signedText, text})
	}
	x.pending = nil
	return x.blocks.sign(dst, e.seal(x.opts))
}

// markSealed notes that an envelope has the signature of a call.
func (x *Messages) markSealed(id string) {
	if x.sealed == nil {
		x.sealed = map[string]bool{}
	}
	x.sealed[id] = true
}

// closeText ends the open text block, and writes what was kept of text before.
func (x *Messages) closeText(dst []byte) []byte {
	if len(x.held) > 0 { // it did not become a stop sequence
		held := rawjson.Quote(string(x.held))
		x.held = nil
		dst = x.say(dst, held)
	}
	if len(x.fenced) > 0 {
		dst = x.sayFenced(dst, unfenced(x.fenced))
	}
	x.flowing = false
	if x.sources != nil {
		dst = x.tellSources(dst)
	}
	if x.blocks.open == blockText {
		dst = x.blocks.endText(dst)
	}
	return dst
}

// closeAll ends the last block.
func (x *Messages) closeAll(dst []byte) []byte {
	if x.blocks.open == blockThinking {
		dst = x.closeThinking(dst)
	}
	return x.closeText(dst)
}
