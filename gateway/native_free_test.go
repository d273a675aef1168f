// SPDX-License-Identifier: Apache-2.0

package gateway

import "testing"

// TestNative_FreeJSON: what is the client's own, such as schemas and results of
// functions, may hold any words; what Google reads beside it is looked at.
func TestNative_FreeJSON(t *testing.T) {
	w := newWorld(t, keys(1))
	const (
		free     = `{"uri":"gs://b/x","source":"files/a","environment":"environments/e","agent":"agents/x","cachedContent":"none","fileSearchStoreNames":["fileSearchStores/x"],"previousInteractionId":"x","continuationToken":"t"}`
		foreign  = `{"uri":"https://generativelanguage.googleapis.com/v1beta/files/theirs","type":"image"}`
		interact = "/v1beta/interactions"
	)
	input := func(result string) string {
		return `{"model":"` + model + `","input":[` + result + `]}`
	}
	declared := func(member string) string {
		return `{` + prompt + `,"tools":[{"functionDeclarations":[{"name":"f",` + member + `}]}]}`
	}
	part := func(p string) string {
		return `{"contents":[{"role":"user","parts":[{"text":"x"},` + p + `]}]}`
	}
	for _, tc := range []struct {
		name, path, body string
		asked            bool
	}{
		{"result of a function", interact, input(`{"type":"function_result","call_id":"c","name":"f","result":` + free + `}`), true},
		{"type behind it", interact, input(`{"result":` + free + `,"call_id":"c","name":"f","type":"function_result"}`), true},
		{"contents of a result", interact, input(`{"type":"function_result","call_id":"c","name":"f","result":[` + foreign + `]}`), false},
		{"items of a result", interact, input(`{"type":"function_result","call_id":"c","name":"f","result":{"items":[` + foreign + `]}}`), false},
		{"escaped items of a result", interact, input(`{"type":"function_result","call_id":"c","name":"f","result":{"it\u0065ms":[` + foreign + `]}}`), false},
		{"another's result", interact, input(`{"type":"x","result":` + foreign + `}`), false},
		{"format", interact, `{"model":"` + model + `","input":"x","response_format":{"type":"text","schema":{"default":` + free + `}}}`, true},
		{"beside the format's schema", interact, `{"model":"` + model + `","input":"x","response_format":` + foreign + `}`, false},
		{"a schema of nothing", interact, `{"model":"` + model + `","input":"x","schema":` + foreign + `}`, false},
		{"parameters", generate, declared(`"parameters":{"type":"object","properties":{"o":{"type":"object","default":` + free + `}}}`), true},
		{"parametersJsonSchema", generate, declared(`"parametersJsonSchema":{"type":"object","examples":[` + free + `]}`), true},
		{"parameters of the method", "/v1beta/models/veo-3.1-generate-preview:predictLongRunning", `{"instances":[{"prompt":"a cat"}],"parameters":` + foreign + `}`, false},
		{"responseJsonSchema", generate, `{` + prompt + `,"generationConfig":{"responseMimeType":"application/json","responseJsonSchema":{"type":"object","default":` + free + `}}}`, true},
		{"response_schema", generate, `{` + prompt + `,"generation_config":{"response_mime_type":"application/json","response_schema":{"type":"object","default":` + free + `}}}`, true},
		{"toolCall", generate, part(`{"toolCall":{"id":"1","args":` + free + `}}`), true},
		{"toolResponse", generate, part(`{"tool_response":{"id":"1","response":` + free + `}}`), true},
		{"beside a toolResponse's", generate, part(`{"toolResponse":{"id":"1","parts":[{"fileData":{"fileUri":"files/theirs"}}]}}`), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.google.Forget()
			if a := w.post(tc.path, tc.body); (w.google.Count() > 0) != tc.asked {
				t.Errorf("%d %s, Google asked %d times, want it asked: %v", a.status, a.body, w.google.Count(), tc.asked)
			}
		})
	}
}
