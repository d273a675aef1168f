// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"fmt"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// fieldTable has the messages of a request. A field's type follows "="; without
// one it is a scalar, "any" takes any JSON, "map:T" is a map of T. Both
// spellings, camelCase and snake_case, are accepted, as protobuf's JSON does.
// Source: github.com/googleapis/go-genai types.go; specs/openai.md §5.3.
const fieldTable = `
GenerateContentRequest model contents=Content systemInstruction=Content tools=Tool toolConfig=ToolConfig safetySettings=SafetySetting generationConfig=GenerationConfig cachedContent serviceTier store continuationToken
CountTokensRequest model contents=Content generateContentRequest=GenerateContentRequest
EmbedContentRequest model content=Content taskType title outputDimensionality embedContentConfig=any
BatchEmbedContentsRequest model requests=EmbedContentRequest
CachedContent name model displayName contents=Content systemInstruction=Content tools=Tool toolConfig=ToolConfig ttl expireTime createTime updateTime usageMetadata=any
Content role parts=Part
Part text thought thoughtSignature inlineData=Blob fileData=FileData functionCall=FunctionCall functionResponse=FunctionResponse executableCode=ExecutableCode codeExecutionResult=CodeExecutionResult toolCall=any toolResponse=any videoMetadata=VideoMetadata mediaResolution=any partMetadata=any
Blob mimeType data displayName
FileData mimeType fileUri displayName
FunctionCall id name args=any
FunctionResponse id name response=any parts=FunctionResponsePart willContinue scheduling
FunctionResponsePart inlineData=Blob fileData=FileData
ExecutableCode id language code
CodeExecutionResult id outcome output
VideoMetadata startOffset endOffset fps
Tool functionDeclarations=FunctionDeclaration googleSearch=any googleSearchRetrieval=any codeExecution=any urlContext=any googleMaps=any computerUse=any fileSearch=any mcpServers=any
FunctionDeclaration name description parameters=Schema parametersJsonSchema=any response=Schema responseJsonSchema=any behavior
ToolConfig functionCallingConfig=FunctionCallingConfig retrievalConfig=any includeServerSideToolInvocations
FunctionCallingConfig mode allowedFunctionNames
SafetySetting category threshold
GenerationConfig stopSequences responseMimeType responseSchema=Schema responseJsonSchema=any _responseJsonSchema=any responseModalities candidateCount maxOutputTokens temperature topP topK seed presencePenalty frequencyPenalty responseLogprobs logprobs enableEnhancedCivicAnswers speechConfig=any thinkingConfig=ThinkingConfig imageConfig=any mediaResolution responseFormat=any
ThinkingConfig includeThoughts thinkingBudget thinkingLevel
Schema type format title description nullable enum items=Schema maxItems minItems properties=map:Schema required minProperties maxProperties minLength maxLength pattern example=any anyOf=Schema propertyOrdering default=any minimum maximum
`

// fields by message, by name in either spelling: snake_case name and type.
var fields = func() map[string]map[string][2]string {
	all := map[string]map[string][2]string{}
	for line := range strings.Lines(strings.TrimSpace(fieldTable)) {
		words := strings.Fields(line)
		message := map[string][2]string{}
		for _, f := range words[1:] {
			name, kind, _ := strings.Cut(f, "=")
			entry := [2]string{snake(name), kind}
			message[name], message[snake(name)] = entry, entry
		}
		all[words[0]] = message
	}
	return all
}()

func snake(s string) string {
	var b strings.Builder
	for _, c := range s {
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// violation is one fieldViolation of a 400.
type violation struct{ path, text string }

// check finds the fields of v that the message does not have, and values of the
// wrong kind, as protobuf's JSON parser reports them.
func check(v rawjson.Value, message, path string, found []violation) []violation {
	if v.Kind() == rawjson.Array {
		n := 0
		for _, e := range v.Elems() {
			found = check(e, message, fmt.Sprintf("%s[%d]", path, n), found)
			n++
		}
		return found
	}
	if v.Kind() != rawjson.Object {
		if v.IsNull() {
			return found
		}
		return append(found, violation{path, fmt.Sprintf("Invalid value at '%s' (type.googleapis.com/google.ai.generativelanguage.v1beta.%s), %s", path, message, v)})
	}
	for k, m := range v.Members() {
		f, ok := fields[message][k.Text()]
		if !ok {
			text := fmt.Sprintf("Invalid JSON payload received. Unknown name %s: Cannot find field.", k)
			if path != "" {
				text = fmt.Sprintf("Invalid JSON payload received. Unknown name %s at '%s': Cannot find field.", k, path)
			}
			found = append(found, violation{path, text})
			continue
		}
		at := f[0]
		if path != "" {
			at = path + "." + f[0]
		}
		kind, isMap := strings.CutPrefix(f[1], "map:")
		switch {
		case isMap:
			n := 0
			for _, e := range m.Members() {
				found = check(e, kind, fmt.Sprintf("%s[%d].value", at, n), found)
				n++
			}
		case kind == "" && m.Kind() == rawjson.Object:
			found = append(found, violation{at, fmt.Sprintf("Invalid value at '%s' (TYPE_STRING), %s", at, m)})
		case kind != "" && kind != "any":
			found = check(m, kind, at, found)
		}
	}
	return found
}

// refusal is the 400 for violations, in one message as Google does it.
func refusal(found []violation) answer {
	var text []string
	var list []object
	for _, v := range found {
		text = append(text, v.text)
		one := object{"description": v.text}
		if v.path != "" {
			one["field"] = v.path
		}
		list = append(list, one)
	}
	return failure(400, strings.Join(text, "\n"), object{"@type": rpcType + "BadRequest", "fieldViolations": list})
}
