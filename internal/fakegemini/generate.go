// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// reply is what the simulated model answers, before it is framed.
type reply struct {
	events  [][]object // parts by event
	finish  string
	message string // finishMessage
	block   string
	output  []int64 // candidate tokens by event
	audio   bool    // what the tokens are of
	image   bool

	token       string   // with the finish reason CONTINUATION
	checkpoints []string // tokens by event; nil = none

	thoughts, cached, tools int64 // tools: tokens of what built-in tools found
}

// compose makes the answer to a request. It depends on nothing but the request,
// the steer and what the project has seen before.
func (x *exchange) compose(q *request) reply {
	st, m := &x.steer, x.model
	r := reply{finish: cmp.Or(st.Finish, "STOP"), block: st.Block, cached: cmp.Or(st.Cached, q.cached)}
	if r.cached == 0 {
		r.cached = x.s.seenPrefix(x.e.Project, m.base(), q)
		cacheable := x.s.seenPrefix("", m.base(), q)
		x.s.books.update(func() { x.e.Cached, x.e.Cacheable = r.cached, cacheable })
	}
	if m.Thinking && st.Thoughts >= 0 {
		r.thoughts = cmp.Or(st.Thoughts, x.thinks(q))
	}
	if r.block != "" {
		r.thoughts = 0
		return r
	}
	if r.thoughts > 0 && get(get(q.config, "thinkingConfig"), "includeThoughts").IsTrue() {
		r.add(0, object{"text": "**Reading the request**\n\nThe user wrote " + strconv.Itoa(len(q.lastText)) + " bytes.\n\n\n", "thought": true})
	}
	if silent[r.finish] {
		if r.finish == "MALFORMED_FUNCTION_CALL" {
			r.message = "Malformed function call: call(default_api.something(1, 2"
		}
		return r
	}
	switch {
	case m.TTS:
		r.audio = true
		r.add(25, object{"inlineData": object{"mimeType": "audio/L16;codec=pcm;rate=24000", "data": base64.StdEncoding.EncodeToString(make([]byte, 4800))}})
	case m.Image && wantsImage(q):
		r.image = true
		r.add(1290, object{"inlineData": object{"mimeType": "image/png", "data": onePixel}})
	default:
		x.useTools(&r, q)
		if fc := x.functionCalls(q); len(fc) > 0 {
			r.callTools(fc)
			return r
		}
		x.speak(&r, q)
	}
	return r
}

// silent finish reasons come without content.
var silent = map[string]bool{
	"MALFORMED_FUNCTION_CALL": true, "SAFETY": true, "RECITATION": true, "PROHIBITED_CONTENT": true, "BLOCKLIST": true, "SPII": true,
	"UNEXPECTED_TOOL_CALL": true, "OTHER": true, "NO_IMAGE": true, "IMAGE_SAFETY": true,
}

const onePixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

func wantsImage(q *request) bool {
	list := get(q.config, "responseModalities")
	if list.Len() == 0 {
		return true
	}
	for _, m := range list.Elems() {
		if strings.EqualFold(m.Text(), "IMAGE") {
			return true
		}
	}
	return false
}

func (r *reply) add(tokens int64, parts ...object) {
	r.events = append(r.events, parts)
	r.output = append(r.output, tokens)
}

// checkpoint gives the event that was added last a token.
func (r *reply) checkpoint(token string) {
	for len(r.checkpoints) < len(r.events) {
		r.checkpoints = append(r.checkpoints, "")
	}
	r.checkpoints[len(r.events)-1] = token
}

// tokenAt is the continuation token of event i.
func (r *reply) tokenAt(i int) string {
	switch {
	case i == len(r.events)-1:
		return r.token
	case i < len(r.checkpoints):
		return r.checkpoints[i]
	}
	return ""
}

// thinks is how long the model thinks: not at all with a budget of 0.
func (x *exchange) thinks(q *request) int64 {
	if n, ok := get(get(q.config, "thinkingConfig"), "thinkingBudget").Int(); ok && n == 0 {
		return 0
	}
	return 20 + q.tokens%37
}

// functionCalls are the calls the model makes: one for each declared function
// when the prompt says "parallel", else one; none once responses are there.
func (x *exchange) functionCalls(q *request) (out []object) {
	st := &x.steer
	last := q.contents[len(q.contents)-1]
	if len(q.tools) == 0 || st.NoCalls || q.mode == "NONE" || last.role == "model" || len(responses(last)) > 0 && st.Calls == 0 {
		return nil
	}
	tools := q.tools
	if st.Call != "" {
		return x.wantedCall(tools)
	}
	if len(q.allowed) > 0 {
		tools = slices.DeleteFunc(slices.Clone(tools), func(t tool) bool { return !slices.Contains(q.allowed, t.name) })
	}
	n := st.Calls
	if n == 0 {
		if n = 1; strings.Contains(strings.ToLower(q.lastText), "parallel") {
			n = max(len(tools), 2)
		}
	}
	for i := range n {
		t := tools[i%len(tools)]
		args := []byte("{}")
		if t.schema != nil {
			args = instance(nil, t.schema, t.schema, "example", 0)
		}
		out = append(out, x.call(i, t.name, args))
	}
	return out
}

// wantedCall is the one that the steer names, where such a function is declared.
func (x *exchange) wantedCall(tools []tool) []object {
	name, args, _ := strings.Cut(x.steer.Call, " ")
	if !slices.ContainsFunc(tools, func(t tool) bool { return t.name == name }) {
		return nil
	}
	return []object{x.call(0, name, []byte(cmp.Or(args, "{}")))}
}

// call is the part of the i-th call of a turn.
func (x *exchange) call(i int, name string, args []byte) object {
	call := object{"name": name, "args": json.RawMessage(args)}
	if x.model.Generation >= 3 {
		call["id"] = "fc" + x.id(i)[:10]
	}
	part := object{"functionCall": call}
	if i == 0 && (x.model.Generation >= 3 || x.model.Thinking) {
		part["thoughtSignature"] = signature(x.model.base(), name)
	}
	return part
}

// callTools puts the calls into one event, and the end into the next.
func (r *reply) callTools(parts []object) {
	r.message = "Model generated function call(s)."
	r.add(int64(12*len(parts)), parts...)
	r.add(0, object{"text": ""})
}

// speak answers in text or JSON.
func (x *exchange) speak(r *reply, q *request) {
	st, hops := &x.steer, x.steer.Continue
	say := cmp.Or(st.Text, x.defaultText(q))
	switch mime := get(q.config, "responseMimeType").Text(); {
	case q.resumed != nil:
		say, hops = q.resumed.text, q.resumed.hops
	case st.Text != "":
	case mime == "application/json":
		say = structured(q)
	case mime == "text/x.enum":
		for _, v := range get(q.config, "responseSchema").Get("enum").Elems() {
			say = v.Text()
			break
		}
	}
	if len(say) < st.Size && q.resumed == nil {
		say += strings.Repeat(" and so on", (st.Size-len(say)+9)/10)
	}
	for _, stop := range get(q.config, "stopSequences").Elems() {
		if before, _, ok := strings.Cut(say, stop.Text()); ok {
			say = before
		}
	}
	if limit, ok := get(q.config, "maxOutputTokens").Int(); ok {
		room := max(limit-r.thoughts, 0)
		if r.thoughts > limit {
			r.thoughts = limit
		}
		if tokensOf(len(say)) > room {
			say, r.finish = strings.ToValidUTF8(say[:room*4], ""), "MAX_TOKENS"
		}
	}
	say = x.early(r, say, hops)
	pieces, said := split(say, st.Events, x.stream), 0
	for _, p := range pieces {
		r.add(tokensOf(len(p)), object{"text": p})
		if said += len(p); st.Checkpoints && said < len(say) {
			r.checkpoint(x.checkpoint(say, said))
		}
	}
	if x.model.Generation >= 3 && r.thoughts > 0 && len(pieces) > 0 {
		last := r.events[len(r.events)-1]
		last[0]["thoughtSignature"] = signature(x.model.base(), "text")
	}
}

func structured(q *request) string {
	schema := get(q.config, "responseJsonSchema")
	if schema == nil {
		schema = q.config.Get("_responseJsonSchema")
	}
	if schema == nil {
		schema = get(q.config, "responseSchema")
	}
	if schema == nil {
		return `{"answer":` + string(rawjson.Quote(q.lastText)) + `}`
	}
	return string(instance(nil, schema, schema, "example", 0))
}

// defaultText says what the model got: the text, media by type and size, and
// what tools answered.
func (x *exchange) defaultText(q *request) string {
	var b strings.Builder
	last := q.contents[len(q.contents)-1]
	for _, p := range last.parts {
		switch {
		case p.InlineData != nil:
			size := base64.StdEncoding.DecodedLen(len(p.InlineData.Data)) - strings.Count(string(p.InlineData.Data[max(0, len(p.InlineData.Data)-2):]), "=")
			fmt.Fprintf(&b, "I got %s of %d bytes. ", p.InlineData.MIMEType, size)
		case p.FileData != nil:
			fmt.Fprintf(&b, "I got the file %s. ", p.FileData.URI.Text())
		case p.FunctionResponse != nil:
			fmt.Fprintf(&b, "The tool %s answered %s. ", p.FunctionResponse.Name.Text(), rawjson.Compact(nil, p.FunctionResponse.Response))
		}
	}
	if len(responses(last)) == 0 {
		fmt.Fprintf(&b, "This is the simulated %s. You said: %s", x.model.base(), q.lastText)
	}
	return strings.TrimSpace(b.String())
}

// split cuts a text into n events, or as a model streams: a word first, then
// ever longer stretches. Pieces end between runes.
func split(s string, n int, stream bool) []string {
	if !stream || s == "" {
		return []string{s}
	}
	var out []string
	for i := 1; s != ""; i++ {
		size := 8 << min(i-1, 9)
		if n > 0 {
			size = (len(s) + n - i) / max(n-i+1, 1)
			if i >= n {
				size = len(s)
			}
		}
		for size = min(max(size, 1), len(s)); size < len(s) && s[size]&0xC0 == 0x80; {
			size++
		}
		out, s = append(out, s[:size]), s[size:]
	}
	return out
}

// id is a response id or part of one, the same in every run.
func (x *exchange) id(n int) string {
	h := fnv.New64a()
	_, _ = h.Write(fmt.Appendf(nil, "%d %d %d", x.s.cfg.Seed, x.e.N+x.part<<32, n)) // a hash takes everything
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%016x", h.Sum64()))
}

// seenPrefix is how many tokens of the conversation the project has seen before
// with this model, in whole contents, with the system instruction and the tools
// before them; the conversation counts as seen from now on.
func (s *Server) seenPrefix(project, model string, q *request) (cached int64) {
	if s.cfg.ImplicitCache <= 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write(fmt.Appendf(nil, "%s %s %s %s", project, model, get(q.body, "systemInstruction"), get(q.body, "tools"))) // as above
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.prefixes) > 1<<20 {
		s.prefixes = map[uint64]bool{}
	}
	before := request{textTokens: q.headTokens}
	for _, c := range q.contents {
		_, _ = h.Write(c.raw) // a hash takes everything
		before.count(c.parts)
		if sum := h.Sum64(); s.prefixes[sum] {
			cached = before.textTokens + before.imageTokens + before.audioTokens
		} else {
			s.prefixes[sum] = true
		}
	}
	if cached < s.cfg.ImplicitCache {
		return 0
	}
	return min(cached, q.tokens-1)
}

// usage is usageMetadata after the first n events.
func (r *reply) usage(q *request, n int) object {
	u := object{"promptTokenCount": q.tokens, "promptTokensDetails": q.details(), "serviceTier": "standard"}
	var out int64
	for _, t := range r.output[:n] {
		out += t
	}
	if out > 0 {
		u["candidatesTokenCount"] = out
	}
	modality := ""
	switch {
	case r.audio:
		modality = "AUDIO"
	case r.image:
		modality = "IMAGE"
	}
	if modality != "" && out > 0 {
		u["candidatesTokensDetails"] = []object{{"modality": modality, "tokenCount": out}}
	}
	if r.thoughts > 0 {
		u["thoughtsTokenCount"] = r.thoughts
	}
	if r.cached > 0 {
		u["cachedContentTokenCount"] = r.cached
		u["cacheTokensDetails"] = []object{{"modality": "TEXT", "tokenCount": r.cached}}
	}
	if r.tools > 0 {
		u["toolUsePromptTokenCount"] = r.tools
		u["toolUsePromptTokensDetails"] = []object{{"modality": "TEXT", "tokenCount": r.tools}}
	}
	u["totalTokenCount"] = q.tokens + out + r.thoughts + r.tools
	return u
}

// document is one GenerateContentResponse.
type document struct {
	Candidates     []object `json:"candidates,omitempty"`
	PromptFeedback object   `json:"promptFeedback,omitempty"`
	UsageMetadata  object   `json:"usageMetadata,omitempty"`
	ModelVersion   string   `json:"modelVersion"`
	ResponseID     string   `json:"responseId"`
}

// joined are all parts in one, text parts of one kind joined.
func (r *reply) joined() (parts []object) {
	for _, e := range r.events {
		for _, p := range e {
			p = maps.Clone(p)
			text, isText := p["text"].(string)
			if isText && text == "" && p["thoughtSignature"] == nil {
				continue
			}
			if n := len(parts); n > 0 && isText && parts[n-1]["text"] != nil && parts[n-1]["thought"] == p["thought"] {
				p["text"] = parts[n-1]["text"].(string) + text
				parts[n-1] = p
				continue
			}
			parts = append(parts, p)
		}
	}
	return parts
}
