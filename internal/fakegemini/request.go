// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// request is what the simulated model sees of a request.
type request struct {
	body     rawjson.Value
	contents []content
	system   bool
	lastText string // all text of the last user content with text
	tools    []tool
	builtIn  []string
	mode     string // of function calling
	allowed  []string
	config   rawjson.Value
	files    []string // URIs
	cache    string   // name
	stores   []string // names
	token    string   // continuationToken

	resumed    *continuation // what the token stands for
	toolConfig bool          // it is there
	cached     int64         // tokens of the cache, which the counts below have in them

	tokens, textTokens, imageTokens, audioTokens int64
	headTokens                                   int64 // of the system instruction and the tools
}

type content struct {
	role  string
	parts []gemini.Part
	raw   rawjson.Value
}

type tool struct {
	name   string
	schema rawjson.Value
}

// messageOf the body, by method.
var messageOf = map[string]string{
	"generateContent": "GenerateContentRequest", "streamGenerateContent": "GenerateContentRequest",
	"countTokens": "CountTokensRequest", "embedContent": "EmbedContentRequest", "batchEmbedContents": "BatchEmbedContentsRequest",
}

// decode reads and checks the body. With an answer the request is refused; it
// may be set all the same, so that directives in it still count.
func (x *exchange) decode() (*request, answer) {
	v, err := rawjson.Parse(x.e.Body)
	if err != nil {
		return nil, failure(400, "Invalid JSON payload received. "+err.Error())
	}
	req := &request{body: v}
	body := v
	if g := get(v, "generateContentRequest"); g != nil && x.e.Method == "countTokens" {
		body = g
	}
	req.read(body)
	if found := check(v, messageOf[x.e.Method], "", nil); len(found) > 0 {
		return req, refusal(found)
	}
	if x.e.Method == "embedContent" || x.e.Method == "batchEmbedContents" {
		return req, answer{}
	}
	for _, rule := range requestRules {
		if message := rule(x.model, req); message != "" {
			return req, failure(400, message)
		}
	}
	return req, answer{}
}

// get is Value.Get for both spellings of a name.
func get(v rawjson.Value, name string) rawjson.Value {
	if m := v.Get(name); m != nil {
		return m
	}
	return v.Get(snake(name))
}

func (q *request) read(v rawjson.Value) {
	for _, c := range get(v, "contents").Elems() {
		q.addContent(c)
	}
	if c := get(v, "content"); c != nil { // embedContent
		q.addContent(c)
	}
	for _, r := range get(v, "requests").Elems() { // batchEmbedContents
		q.addContent(r.Get("content"))
	}
	contents := q.textTokens
	if s := get(v, "systemInstruction"); !s.IsNull() {
		q.system = true
		q.count(partsOf(s))
	}
	for _, t := range get(v, "tools").Elems() {
		for k := range t.Members() {
			if n := k.Text(); snake(n) != "function_declarations" {
				q.builtIn = append(q.builtIn, n)
			}
		}
		for _, name := range get(get(t, "fileSearch"), "fileSearchStoreNames").Elems() {
			q.stores = append(q.stores, name.Text())
		}
		for _, f := range get(t, "functionDeclarations").Elems() {
			schema := get(f, "parametersJsonSchema")
			if schema == nil {
				schema = f.Get("parameters")
			}
			q.tools = append(q.tools, tool{name: f.Get("name").Text(), schema: schema})
			q.textTokens += tokensOf(len(f))
		}
	}
	q.headTokens = q.textTokens - contents
	q.cache, q.token = get(v, "cachedContent").Text(), get(v, "continuationToken").Text()
	q.toolConfig = !get(v, "toolConfig").IsNull()
	calling := get(get(v, "toolConfig"), "functionCallingConfig")
	q.mode = strings.ToUpper(calling.Get("mode").Text())
	for _, n := range get(calling, "allowedFunctionNames").Elems() {
		q.allowed = append(q.allowed, n.Text())
	}
	q.config = get(v, "generationConfig")
	q.tokens = q.textTokens + q.imageTokens + q.audioTokens
}

func partsOf(c rawjson.Value) (parts []gemini.Part) {
	for _, p := range c.Get("parts").Elems() {
		parts = append(parts, gemini.DecodePart(p))
	}
	return parts
}

func (q *request) addContent(v rawjson.Value) {
	c := content{role: v.Get("role").Text(), parts: partsOf(v), raw: v}
	q.contents = append(q.contents, c)
	q.count(c.parts)
	if c.role == "model" {
		return
	}
	var text []string
	for _, p := range c.parts {
		if len(p.Text) > 0 {
			text = append(text, p.Text.Text())
		}
	}
	if len(text) > 0 {
		q.lastText = strings.Join(text, " ")
	}
}

// count adds tokens: a quarter of the bytes of text, 258 an image, 32 a
// kilobyte of other media.
func (q *request) count(parts []gemini.Part) {
	for _, p := range parts {
		n := len(p.Text.Inner())
		if c := p.FunctionCall; c != nil {
			n += len(c.Name) + len(c.Args)
		}
		if r := p.FunctionResponse; r != nil {
			n += len(r.Name) + len(r.Response)
		}
		q.textTokens += tokensOf(n)
		switch d := p.InlineData; {
		case d == nil:
		case strings.HasPrefix(d.MIMEType, "audio/"):
			q.audioTokens += 32 * (int64(len(d.Data))/1024 + 1)
		default:
			q.imageTokens += 258
		}
		if p.FileData != nil {
			q.imageTokens += 258
			q.files = append(q.files, p.FileData.URI.Text())
		}
	}
}

func tokensOf(bytes int) int64 { return int64(bytes+3) / 4 }

// details is promptTokensDetails.
func (q *request) details() []object {
	var out []object
	for _, m := range []struct {
		name string
		n    int64
	}{{"TEXT", q.textTokens}, {"IMAGE", q.imageTokens}, {"AUDIO", q.audioTokens}} {
		if m.n > 0 {
			out = append(out, object{"modality": m.name, "tokenCount": m.n})
		}
	}
	return out
}

// requestRules are what Google checks beyond the form, each with its message;
// "" passes. Source: specs/openai.md §2, §3.5–3.7, §7.1.
var requestRules = []func(m *Model, q *request) string{
	contentsSpecified, partsSound, rolesValid, callsAnswered, signaturesPresent,
	trailingTurn, knobs, declarations, inputFits,
}

func contentsSpecified(_ *Model, q *request) string {
	if len(q.contents) == 0 {
		return "* GenerateContentRequest.contents: contents is not specified\n"
	}
	return ""
}

func partsSound(_ *Model, q *request) string {
	for i, c := range q.contents {
		if len(c.parts) == 0 {
			return fmt.Sprintf("* GenerateContentRequest.contents[%d].parts: contents.parts must not be empty.\n", i)
		}
		for j, p := range c.parts {
			n := 0
			for _, set := range []bool{len(p.Text) > 0, p.InlineData != nil, p.FileData != nil, p.FunctionCall != nil,
				p.FunctionResponse != nil, p.ExecutableCode != nil, p.CodeResult != nil, p.ServerToolKey != ""} {
				if set {
					n++
				}
			}
			if n == 0 && len(p.ThoughtSignature) == 0 || p.Text.IsEmptyString() && len(p.ThoughtSignature) == 0 {
				return fmt.Sprintf("* GenerateContentRequest.contents[%d].parts[%d].data: required oneof field 'data' must have one initialized field\n", i, j)
			}
			if n > 1 {
				return fmt.Sprintf("Invalid value at 'contents[%d].parts[%d]' (oneof), oneof field 'data' is already set.", i, j)
			}
			if d := p.InlineData; d != nil {
				if _, err := base64.StdEncoding.DecodeString(string(d.Data)); err != nil || d.MIMEType == "" {
					return fmt.Sprintf("Invalid value at 'contents[%d].parts[%d].inline_data.data' (TYPE_BYTES), Base64 decoding failed", i, j)
				}
			}
			if r := p.FunctionResponse; r != nil && r.Response.Kind() != rawjson.Object {
				return fmt.Sprintf("Invalid value at 'contents[%d].parts[%d].function_response.response' (type.googleapis.com/google.protobuf.Struct), %s", i, j, r.Response)
			}
		}
	}
	return ""
}

func rolesValid(m *Model, q *request) string {
	for _, c := range q.contents {
		if c.role != "" && c.role != "user" && c.role != "model" && c.role != "function" {
			return "Please use a valid role: user, model."
		}
	}
	if q.system && m.NoSystem {
		return "Developer instruction is not enabled for models/" + m.ID
	}
	return ""
}

func trailingTurn(m *Model, q *request) string {
	if m.NoTrailing && q.contents[len(q.contents)-1].role == "model" {
		return "Requests ending with a model turn are not supported by this model. Please end the request with a user turn."
	}
	return ""
}

func knobs(m *Model, q *request) string {
	c := q.config
	if t, ok := c.Get("temperature").Float(); ok && (t < 0 || t > 2) {
		return fmt.Sprintf("* GenerateContentRequest.generation_config.temperature: temperature must be in the range [0.0, 2.0], got %v\n", t)
	}
	if n, ok := get(c, "topP").Float(); ok && (n < 0 || n > 1) {
		return "* GenerateContentRequest.generation_config.top_p: top_p must be in the range [0.0, 1.0].\n"
	}
	if n, ok := get(c, "candidateCount").Int(); ok && (n < 1 || n > 8 || n > 1 && m.Generation >= 3) {
		if m.Generation >= 3 {
			return "Multiple candidates is not enabled for this model"
		}
		return "* GenerateContentRequest.generation_config.candidate_count: candidate_count must be in the range [1, 8].\n"
	}
	for _, name := range []string{"presencePenalty", "frequencyPenalty"} {
		if n, ok := get(c, name).Float(); ok && n != 0 {
			return "Penalty is not enabled for models/" + m.ID
		}
	}
	if get(c, "responseLogprobs").IsTrue() {
		return "Logprobs is not enabled for models/" + m.ID
	}
	if n, ok := get(c, "maxOutputTokens").Int(); ok && (n < 1 || n > m.Output) {
		return fmt.Sprintf("Unable to submit request because it has a maxOutputTokens value of %d but the supported range is from 1 (inclusive) to %d (exclusive). Update the value and try again.", n, m.Output+1)
	}
	if get(c, "stopSequences").Len() > 5 {
		return fmt.Sprintf("Unable to submit request because it has %d stop sequences but the supported range is from 0 (inclusive) to 6 (exclusive).", get(c, "stopSequences").Len())
	}
	thinking := get(c, "thinkingConfig")
	_, budget := get(thinking, "thinkingBudget").Int()
	level := get(thinking, "thinkingLevel")
	switch {
	case budget && level != nil:
		return "You can only set only one of thinking budget and thinking level."
	case level != nil && m.Generation < 3:
		return "Thinking level is not supported for this model."
	case thinking != nil && get(thinking, "includeThoughts").IsTrue() && !m.Thinking:
		return "Thinking is not enabled for models/" + m.ID
	}
	return ""
}

var functionName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$`)

func declarations(m *Model, q *request) string {
	seen := map[string]bool{}
	for i, t := range q.tools {
		if !functionName.MatchString(t.name) {
			return fmt.Sprintf("* GenerateContentRequest.tools[0].function_declarations[%d].name: Invalid function name. Must start with a letter or an underscore. Must be alphameric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 128.\n", i)
		}
		if seen[t.name] {
			return "Duplicate function declaration found: " + t.name
		}
		seen[t.name] = true
	}
	if len(q.tools) > 0 && m.Generation < 3 {
		if mime := get(q.config, "responseMimeType").Text(); mime != "" && mime != "text/plain" {
			return "Function calling with a response mime type: '" + mime + "' is unsupported"
		}
		if len(q.builtIn) > 0 {
			return "Built-in tools ({" + q.builtIn[0] + "}) and Function Calling cannot be combined in the same request. Please choose one to proceed."
		}
	}
	for _, name := range q.allowed {
		if !seen[name] {
			return "allowed_function_names must be a subset of the function declarations: " + name
		}
	}
	return ""
}

func inputFits(m *Model, q *request) string {
	if m.Input > 0 && q.tokens > m.Input {
		return fmt.Sprintf("The input token count (%d) exceeds the maximum number of tokens allowed (%d).", q.tokens, m.Input)
	}
	return ""
}
