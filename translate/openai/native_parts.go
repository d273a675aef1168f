// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"unicode/utf8"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Native parts are those parts of an answer that OpenAI's shapes have no place
// for: the calls and results of Google's own tools, and code that Gemini ran.
// Google wants them back in the next turn, signatures included, so that they go
// to the client beside what it sees, and are remembered for clients that drop
// them. Source: specs/openai.md §5.5 and §7.3.

const (
	// maxNative is the size up to which native parts go to the client, in bytes:
	// all of a chat completion's, each of a response's.
	maxNative = 1 << 20
	// maxRemembered is how much of a turn's is remembered, which users share.
	maxRemembered = 256 << 10
)

// isNative reports whether a part of an answer is one.
func isNative(p *gemini.Part) bool {
	return p.ServerToolKey != "" || p.ExecutableCode != nil || p.CodeResult != nil
}

// appendNative appends a native part as compact JSON.
func appendNative(dst []byte, p *gemini.Part) []byte {
	n := len(dst)
	dst = p.Append(dst)
	return append(dst[:n], rawjson.Compact(nil, rawjson.Value(dst[n:]))...)
}

// takesNative reports whether the model takes the part in its history, where it
// is going to be.
func (d *decoder) takesNative(p *gemini.Part) bool {
	if p.ServerToolKey == "" {
		return d.family.Has(capability.Validated)
	}
	d.served = d.served || d.family.Has(capability.MixedTools)
	return d.family.Has(capability.MixedTools)
}

// served reports whether a part is of one of Google's own tools.
func served(p gemini.Part) bool { return p.ServerToolKey != "" }

// serverSide tells Google that the history has calls of its own tools, as the
// turn did that they are from.
func (d *decoder) serverSide() {
	if d.served && len(d.req.Gemini.Tools) > 0 {
		d.req.Gemini.ToolConfig.ServerSide = true
	}
}

// nativeKey is what the native parts of a turn are remembered under, by the id of
// its first call.
func nativeKey(model, callID string) string { return memoKey(model, callID) + "/parts" }

// aside is a native part and its place in an assistant message. As JSON it is
// {"offset","length","calls","part"}, zeros left out.
type aside struct {
	offset int // bytes of the content before it
	length int // bytes of the content that show it
	calls  int // tool calls before it
	part   gemini.Part
}

// readAsides reads a list of them, sorted as they stand.
func (d *decoder) readAsides(list rawjson.Value) (all []aside) {
	for _, v := range list.Elems() {
		p, ok := gemini.DecodeNativePart(v.Get("part"))
		if !ok || len(all) >= maxMessages || !d.takesNative(&p) {
			continue
		}
		all = append(all, aside{place(v, "offset"), place(v, "length"), place(v, "calls"), p})
	}
	return all
}

// place is a count of a client's, 0 where it is none.
func place(v rawjson.Value, name string) int {
	n, ok := v.Get(name).Int()
	if !ok || n < 0 || n > maxLine {
		return 0
	}
	return int(n)
}

// recallAsides asks the memo for the native parts of the turn whose first call
// has the id.
func (d *decoder) recallAsides(id rawjson.Value) []aside {
	if d.env.Memo == nil || id.Kind() != rawjson.String || !d.family.Has(capability.MixedTools) {
		return nil
	}
	text, ok := d.env.Memo.Signature(nativeKey(d.req.Target, id.Text()))
	if !ok {
		return nil
	}
	list, err := rawjson.Parse([]byte(text))
	if err != nil {
		return nil
	}
	return d.readAsides(list)
}

// asidesOf are the native parts of an assistant message: those it brought, or
// those that are remembered.
func (d *decoder) asidesOf(m *message) []aside {
	if all := d.readAsides(m.extra.Get("google").Get("parts")); all != nil {
		return all
	}
	for _, v := range m.toolCalls.Elems() {
		id, _ := splitID(v.Get("id"))
		return d.recallAsides(id)
	}
	return nil
}

// weave puts the native parts that stand before the first call into the content
// of a message, in place of what showed them. A place that does not fit, because
// the client changed the text, costs no more than the exact order.
func weave(parts []gemini.Part, all []aside) []gemini.Part {
	var text []byte
	if len(parts) == 1 && parts[0].Text != nil {
		text = textBytes(parts[0].Text)
	}
	var out []gemini.Part
	at := 0
	for _, a := range all {
		if a.calls > 0 {
			continue
		}
		from := min(max(a.offset, at), len(text))
		for from < len(text) && !utf8.RuneStart(text[from]) {
			from--
		}
		switch to := from + a.length; {
		case a.length == 0:
		case to > len(text) || !bytes.Equal(text[from:to], shownCode(&a.part)):
			continue // the text says it
		default:
			out = appendText(out, text[at:from])
			at, out = to, append(out, a.part)
			continue
		}
		out = appendText(out, text[at:from])
		at, out = from, append(out, a.part)
	}
	if at == 0 { // the parts come first, and the content stays as it is
		return append(out, parts...)
	}
	tail := len(out)
	if out = appendText(out, text[at:]); len(out) > tail {
		out[tail].ThoughtSignature = parts[0].ThoughtSignature
	} else if s := parts[0].ThoughtSignature; s != nil {
		out = append(out, gemini.Part{Text: rawjson.Value(`""`), ThoughtSignature: s})
	}
	return out
}

func appendText(parts []gemini.Part, text []byte) []gemini.Part {
	if len(text) == 0 {
		return parts
	}
	return append(parts, gemini.Part{Text: rawjson.Quote(string(text))})
}

// joinCode overwrites dst with how code or its output is shown in content, encoded.
func joinCode(dst []byte, p *gemini.Part) []byte {
	if p.ExecutableCode != nil {
		language := p.ExecutableCode.Get("language").Inner()
		code := p.ExecutableCode.Get("code").Inner()
		return join(dst, "\\n```", bytes.ToLower(language), "\\n", code, "\\n```\\n")
	}
	output := p.CodeResult.Get("output").Inner() // absent when empty
	return join(dst, "\\n```", nil, "\\n", output, "\\n```\\n")
}

// shownCode is what joinCode writes, as text.
func shownCode(p *gemini.Part) []byte {
	if p.ExecutableCode == nil && p.CodeResult == nil {
		return nil
	}
	return rawjson.AppendText(nil, quoted(joinCode(nil, p)))
}
