// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"testing"
	"time"
)

func TestRefusesSchema(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		text   string
		want   bool
	}{
		{"unknown keyword", 400, `Invalid JSON payload received. Unknown name \"const\" at 'tools[0].function_declarations[0].parameters.properties[0].value': Cannot find field.`, true},
		{"too many states", 400, `The specified schema produces a constraint that has too many states for serving.`, true},
		{"nesting depth", 400, `A schema in GenerationConfig in the request exceeds the maximum allowed nesting depth.`, true},
		{"reference", 400, `* GenerateContentRequest.generation_config.response_json_schema: reference to undefined schema`, true},
		{"required without property", 400, `* GenerateContentRequest.tools[0].function_declarations[0].parameters.required[0]: property is not defined`, true},
		{"empty object", 400, `* GenerateContentRequest.tools[0].function_declarations[3].parameters.properties: should be non-empty for OBJECT type`, true},
		{"bare text", 400, `Invalid JSON payload received.`, true},
		{"a message is unknown", 400, `Invalid JSON payload received. Unknown name \"x\" at 'contents[0].parts[0]': Cannot find field.`, false},
		{"base64", 400, `Invalid value at 'contents[0].parts[0].inline_data.data' (TYPE_BYTES), Base64 decoding failed`, false},
		{"too long", 400, `The input token count (1) exceeds the maximum number of tokens allowed (0).`, false},
		{"order of turns", 400, `Please ensure that function call turn comes immediately after a user turn or after a function response turn.`, false},
		{"not a 400", 500, `A schema went wrong`, false},
		{"the key's fault", 400, `API key not valid. Please pass a valid API key. (schema)`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := []byte(`{"error":{"code":400,"message":"` + c.text + `","status":"INVALID_ARGUMENT"}}`)
			o := Classify(Answer{Status: c.status, Body: body, Now: time.Unix(0, 0)})
			if got := RefusesSchema(o, body); got != c.want {
				t.Errorf("got %v; outcome %+v", got, o)
			}
		})
	}
}
