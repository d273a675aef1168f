// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

func TestRequest_Append(t *testing.T) {
	str := rawjson.Quote
	for name, tc := range map[string]struct {
		in   Request
		want string
	}{
		"zero": {Request{}, `{"contents":[]}`},
		"every part": {Request{Contents: []Content{{Role: "user", Parts: []Part{
			{Text: str("a\"b")},
			{Text: str(""), ThoughtSignature: str("SIG")},
			{Text: str("hm"), Thought: true},
			{InlineData: &Blob{MIMEType: "image/png", Data: []byte("AAAA")}, MediaResolution: "MEDIA_RESOLUTION_LOW"},
			{FileData: &FileData{URI: str("files/x")}},
			{FunctionCall: &FunctionCall{ID: str("c1"), Name: str("f"), Args: rawjson.Value(`{"a":1}`)}, ThoughtSignature: str("S")},
			{FunctionCall: &FunctionCall{Name: str("g")}},
			{FunctionResponse: &FunctionResponse{ID: str("c1"), Name: str("f"), Response: rawjson.Value(`{"output":"x"}`), Parts: []Part{{InlineData: &Blob{MIMEType: "image/png", Data: []byte("AA==")}}}}},
			{ExecutableCode: rawjson.Value(`{"code":"1"}`)},
			{CodeResult: rawjson.Value(`{"outcome":"OUTCOME_OK"}`)},
			{ServerToolKey: "toolCall", ServerTool: rawjson.Value(`{"id":"t"}`)},
		}}}}, `{"contents":[{"role":"user","parts":[{"text":"a\"b"},{"text":"","thoughtSignature":"SIG"},{"text":"hm","thought":true},` +
			`{"inlineData":{"mimeType":"image/png","data":"AAAA"},"mediaResolution":{"level":"MEDIA_RESOLUTION_LOW"}},{"fileData":{"fileUri":"files/x"}},` +
			`{"functionCall":{"id":"c1","name":"f","args":{"a":1}},"thoughtSignature":"S"},{"functionCall":{"name":"g"}},` +
			`{"functionResponse":{"id":"c1","name":"f","response":{"output":"x"},"parts":[{"inlineData":{"mimeType":"image/png","data":"AA=="}}]}},` +
			`{"executableCode":{"code":"1"}},{"codeExecutionResult":{"outcome":"OUTCOME_OK"}},{"toolCall":{"id":"t"}}]}]}`},
		"everything else": {Request{
			SystemInstruction: []Part{{Text: str("s")}},
			Tools: []Tool{{BuiltIn: "googleSearch"}, {Functions: []FunctionDeclaration{
				{Name: "f", Description: str("d"), JSONSchema: rawjson.Value(`{"type":"object"}`)}, {Name: "g", Schema: rawjson.Value(`{}`)},
			}}},
			ToolConfig:     ToolConfig{Mode: "ANY", Allowed: []string{"f", "g"}, ServerSide: true},
			SafetySettings: rawjson.Value(`[]`),
			Config: GenerationConfig{
				Temperature: rawjson.Value("0"), TopP: rawjson.Value("0.5"), TopK: rawjson.Value("3"), CandidateCount: 2,
				MaxOutputTokens: 7, StopSequences: []rawjson.Value{str("x")}, Seed: rawjson.Value("0"), ResponseLogprobs: true, Logprobs: 3,
				ResponseMIMEType: "application/json", ResponseJSONSchema: rawjson.Value(`{"type":"object"}`), ResponseModalities: []string{"TEXT", "IMAGE"},
				Thinking: ThinkingConfig{Include: true, Budget: rawjson.Value("0")},
			},
			CachedContent: str("cachedContents/c"), ServiceTier: "flex",
		}, `{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[],"tools":[{"googleSearch":{}},{"functionDeclarations":[{"name":"f","description":"d",` +
			`"parametersJsonSchema":{"type":"object"}},{"name":"g","parameters":{}}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f","g"]},` +
			`"includeServerSideToolInvocations":true},"safetySettings":[],"generationConfig":{"temperature":0,"topP":0.5,"topK":3,"candidateCount":2,"maxOutputTokens":7,` +
			`"stopSequences":["x"],"seed":0,"responseLogprobs":true,"logprobs":3,"responseMimeType":"application/json","responseJsonSchema":{"type":"object"},` +
			`"responseModalities":["TEXT","IMAGE"],"thinkingConfig":{"includeThoughts":true,"thinkingBudget":0}},"cachedContent":"cachedContents/c","serviceTier":"flex"}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := string(tc.in.Append(nil))
			if !json.Valid([]byte(got)) {
				t.Fatalf("not JSON: %s", got)
			}
			if got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestPart_DecodeAppendRoundTrip(t *testing.T) {
	for _, doc := range []string{
		`{"text":"é\n"}`, `{"text":"","thoughtSignature":"S"}`, `{"inlineData":{"mimeType":"image/png","data":"AA=="}}`,
		`{"fileData":{"mimeType":"a/b","fileUri":"u"}}`, `{"functionCall":{"id":"i","name":"n","args":{"z":1,"a":[2]}},"thoughtSignature":"S"}`,
		`{"functionResponse":{"id":"i","name":"n","response":{"output":1}}}`, `{"executableCode":{"language":"PYTHON","code":"1"}}`,
		`{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1"}}`, `{"toolResponse":{"id":"x"}}`,
	} {
		p := DecodePart(rawjson.Value(doc))
		w := &writer{}
		w.part(&p)
		if string(w.b) != doc {
			t.Errorf("%s became %s", doc, w.b)
		}
	}
}

func TestResponse_DecodeStream(t *testing.T) {
	var r Response
	for _, doc := range []string{
		`{"candidates":[{"content":{"parts":[{"text":"Hm","thought":true}],"role":"model"}}],"usageMetadata":{"promptTokenCount":5},"responseId":"R","modelVersion":"m"}`,
		`{"candidates":[{"index":1,"content":{}},{"content":{"parts":[{"text":"Hi"},{"functionCall":{"name":"f"}}]}}],"usageMetadata":{"candidatesTokenCount":7,"thoughtsTokenCount":"3"}}`,
	} {
		if err := r.Decode([]byte(doc)); err != nil {
			t.Fatal(err)
		}
	}
	want := Usage{Reported: true, Prompt: 5, Candidates: 7, Thoughts: 3, Version: "m"}
	if r.Usage != want {
		t.Errorf("Usage = %+v, want %+v", r.Usage, want)
	}
	if r.Summary.ResponseID() != "R" || r.ResponseID != nil || len(r.Candidates) != 2 || r.Candidates[0].Index != 1 || len(r.Candidates[0].Parts) != 0 || len(r.Candidates[1].Parts) != 2 {
		t.Errorf("decoded %+v", r)
	}
}

// TestUsage_Charged: what is charged besides tokens. A query with nothing in it is
// free, and one that is repeated is one; events repeat what was searched for.
func TestUsage_Charged(t *testing.T) {
	grounded := func(members string) string {
		return `{"candidates":[{"content":{"parts":[{"text":"a"}]},"groundingMetadata":{` + members + `}}],"modelVersion":"m"}`
	}
	for name, tc := range map[string]struct {
		docs []string
		want Usage
	}{
		"no search":         {[]string{grounded(``)}, Usage{Version: "m"}},
		"searches":          {[]string{grounded(`"webSearchQueries":["a","b"]`)}, Usage{Version: "m", Queries: 2}},
		"an empty one":      {[]string{grounded(`"webSearchQueries":["","a"]`)}, Usage{Version: "m", Queries: 1}},
		"one twice":         {[]string{grounded(`"webSearchQueries":["a","b","a"]`)}, Usage{Version: "m", Queries: 2}},
		"in two events":     {[]string{grounded(`"webSearchQueries":["a"]`), grounded(`"webSearchQueries":["a","b"]`)}, Usage{Version: "m", Queries: 2}},
		"not in the last":   {[]string{grounded(`"webSearchQueries":["a"]`), grounded(``)}, Usage{Version: "m", Queries: 1}},
		"two candidates":    {[]string{`{"candidates":[{"groundingMetadata":{"webSearchQueries":["a"]}},{"groundingMetadata":{"webSearchQueries":["a"]}}]}`}, Usage{Queries: 2}},
		"another type":      {[]string{grounded(`"webSearchQueries":7,"groundingChunks":"x"`)}, Usage{Version: "m"}},
		"maps":              {[]string{grounded(`"groundingChunks":[{"web":{}},{"maps":{"uri":"u"}},{"maps":{}}]`)}, Usage{Version: "m", Maps: 1}},
		"images":            {[]string{`{"predictions":[{"bytesBase64Encoded":"AA=="},{"raiFilteredReason":"no"},{"bytesBase64Encoded":"AA=="}]}`}, Usage{Images: 2}},
		"vectors":           {[]string{`{"predictions":[{"embeddings":{}}]}`}, Usage{}},
		"traffic":           {[]string{`{"usageMetadata":{"trafficType":"ON_DEMAND"}}`}, Usage{Reported: true}},
		"traffic, priority": {[]string{`{"usageMetadata":{"trafficType":"ON_DEMAND_PRIORITY","serviceTier":"standard"}}`}, Usage{Reported: true, Tier: PriorityTier}},
		"traffic, flex":     {[]string{`{"usageMetadata":{"trafficType":"ON_DEMAND_FLEX"}}`}, Usage{Reported: true, Tier: FlexTier}},
		"paid beforehand":   {[]string{`{"usageMetadata":{"trafficType":"PROVISIONED_THROUGHPUT"}}`}, Usage{Reported: true, Tier: OtherTier}},
		"endless version":   {[]string{`{"modelVersion":"` + strings.Repeat("m", 1000) + `"}`}, Usage{}},
		"version, changed":  {[]string{`{"modelVersion":"a"}`, `{"modelVersion":"b"}`, `{}`}, Usage{Version: "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			var r Response
			for _, doc := range tc.docs {
				if err := r.Decode([]byte(doc)); err != nil {
					t.Fatal(err)
				}
			}
			if r.Usage != tc.want {
				t.Errorf("got  %+v\nwant %+v", r.Usage, tc.want)
			}
		})
	}
	sum := Usage{Reported: true, Queries: 1, Version: "m"}.Plus(Usage{Reported: true, Queries: 2, Maps: 1, Images: 3, Version: "n"})
	if want := (Usage{Reported: true, Queries: 3, Maps: 1, Images: 3, Version: "m"}); sum != want {
		t.Errorf("sum %+v, want %+v", sum, want)
	}
}

func TestResponse_DecodeFaults(t *testing.T) {
	for doc, check := range map[string]func(r *Response) bool{
		`{"error":{"code":503}}`:                                       func(r *Response) bool { return r.Error.Get("code") != nil },
		`[{"error":{"code":429}}]`:                                     func(r *Response) bool { return r.Error.Get("code") != nil },
		`{"promptFeedback":{"blockReason":"SAFETY"}}`:                  func(r *Response) bool { return r.BlockReason.Is("SAFETY") },
		`{"promptFeedback":{"safetyRatings":[]}}`:                      func(r *Response) bool { return r.BlockReason == nil },
		`{"usageMetadata":{"promptTokenCount":-5}}`:                    func(r *Response) bool { return r.Usage.Prompt == 0 },
		`{"usageMetadata":{"promptTokenCount":9e18}}`:                  func(r *Response) bool { return r.Usage.Prompt == 1<<31-1 },
		`{"candidates":{"content":1},"usageMetadata":[],"error":null}`: func(r *Response) bool { return r.Candidates == nil && r.Error == nil },
	} {
		var r Response
		if err := r.Decode([]byte(doc)); err != nil || !check(&r) {
			t.Errorf("%s: %v %+v", doc, err, r)
		}
	}
}

func TestUsage_Output(t *testing.T) {
	for name, tc := range map[string]struct {
		u    Usage
		want int64
	}{
		"thoughts beside candidates": {Usage{Prompt: 29, Candidates: 15, Thoughts: 1801, Total: 1845}, 1816},
		"thoughts inside candidates": {Usage{Prompt: 10, Candidates: 20, Thoughts: 5, Total: 30}, 20},
		"only thoughts":              {Usage{Prompt: 10, Thoughts: 5, Total: 15}, 5},
		"tool use counts as input":   {Usage{Prompt: 10, ToolUse: 4, Candidates: 2, Total: 16}, 2},
		"nothing reported":           {Usage{}, 0},
	} {
		if got := tc.u.Output(); got != tc.want {
			t.Errorf("%s: Output() = %d, want %d", name, got, tc.want)
		}
	}
}

func TestResponse_DecodeReusesMemory(t *testing.T) {
	doc := []byte(`{"candidates": [{"content": {"parts": [{"text": "lorem ipsum"}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 180,"candidatesTokenCount": 3,"totalTokenCount": 183},"modelVersion": "m","responseId": "r"}`)
	var r Response
	if err := r.Decode(doc); err != nil {
		t.Fatal(err)
	}
	first := r
	if allocs := testing.AllocsPerRun(100, func() { _ = r.Decode(doc) }); allocs > 0 {
		t.Errorf("decoding an event again allocates %v times", allocs)
	}
	first.shape, r.shape = nil, nil // learnt meanwhile
	if !reflect.DeepEqual(first, r) {
		t.Errorf("decoding twice differs: %+v, %+v", first, r)
	}
}

func BenchmarkResponse_Decode(b *testing.B) {
	doc := []byte(`{"candidates": [{"content": {"parts": [{"text": "lorem ipsum dolor sit amet lorem ipsum dolor sit amet lorem ipsum dolor sit amet lorem ipsum dolor sit amet"}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 180,"candidatesTokenCount": 3,"totalTokenCount": 183,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 180}]},"modelVersion": "gemini-3.5-flash","responseId": "b36LaY3KGr2jnsEPgI2t6Ao"}`)
	var r Response
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Decode(doc); err != nil {
			b.Fatal(err)
		}
	}
}

func TestUsage_Plus(t *testing.T) {
	apart := Usage{Reported: true, Prompt: 10, Cached: 4, ToolUse: 1, Candidates: 5, Thoughts: 3, Total: 19}
	within := Usage{Reported: true, Prompt: 10, Candidates: 8, Thoughts: 3, Total: 18} // thoughts counted as candidates
	sum := apart.Plus(within)
	if sum.Input() != 21 || sum.Output() != 16 || sum.Thoughts != 6 || sum.Cached != 4 || sum.Total != 37 || !sum.Reported {
		t.Errorf("%+v", sum)
	}
	if apart.Plus(Usage{}).Reported {
		t.Error("what one call did not report cannot be reported of both")
	}
}

func TestRequest_RawBlob(t *testing.T) {
	r := Request{Contents: []Content{{Role: "user", Parts: []Part{{InlineData: &Blob{MIMEType: "audio/wav", Raw: []byte("RIFF")}}}}}}
	r.Config.AudioTranscription = rawjson.Value(`{"diarization":true}`)
	const want = `{"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"audio/wav","data":"UklGRg=="}}]}],"generationConfig":{"audioTranscriptionConfig":{"diarization":true}}}`
	if got := string(r.Append(nil)); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// TestUsage_ByKindAndTier: what is charged for at prices of its own.
func TestUsage_ByKindAndTier(t *testing.T) {
	decode := func(members string) Usage {
		var r Response
		if err := r.Decode([]byte(`{"usageMetadata": {` + members + `}}`)); err != nil {
			t.Fatal(err)
		}
		return r.Usage
	}
	details := `[{"modality": "TEXT", "tokenCount": 1}, {"modality": "AUDIO", "tokenCount": 2}, {"modality": "IMAGE", "tokenCount": 3}, {"modality": "VIDEO", "tokenCount": 4}]`
	got := decode(`"promptTokensDetails": ` + details + `, "cacheTokensDetails": ` + details + `, "candidatesTokensDetails": ` + details)
	want := Usage{
		Reported: true, PromptAudio: 2, PromptImage: 3, PromptVideo: 4, CachedAudio: 2, CachedImage: 3, CachedVideo: 4,
		CandidatesAudio: 2, CandidatesImage: 3, CandidatesVideo: 4,
	}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	twice := got.Plus(got)
	if twice.PromptVideo != 8 || twice.CandidatesVideo != 8 || twice.CachedAudio != 4 || twice.CachedImage != 6 || twice.CachedVideo != 8 {
		t.Errorf("twice that is %+v", twice)
	}
	for tier, want := range map[string]ServiceTier{`"standard"`: StandardTier, `"flex"`: FlexTier, `"priority"`: PriorityTier, `"express"`: OtherTier, `null`: StandardTier} {
		if got := decode(`"serviceTier": ` + tier).Tier; got != want {
			t.Errorf("serviceTier %s is %d, want %d", tier, got, want)
		}
	}
}
