// SPDX-License-Identifier: Apache-2.0

package openai

import "testing"

// specs/openai.md §5.5: where Google Maps learns the place from.
func TestDecodeChat_Place(t *testing.T) {
	const latLng = `{"retrievalConfig":{"latLng":{"latitude":48.2,"longitude":-16.4}}}`
	pseudo := func(parameters string) string {
		return `"tools":[{"type":"function","function":{"name":"google_maps","parameters":` + parameters + `}}]`
	}
	for _, c := range []struct{ name, fields, tools, config string }{
		{"none", `"tools":[{"googleMaps":{}}]`, `[{"googleMaps":{}}]`, `null`},
		{"in the native tool", `"tools":[{"googleMaps":{"enableWidget":true,"latLng":{"latitude":48.2,"longitude":-16.4}}}]`, `[{"googleMaps":{"enableWidget":true}}]`, latLng},
		{"snake case", `"tools":[{"google_maps":{"lat_lng":{"latitude":48.2,"longitude":-16.4,"x":1}}}]`, `[{"googleMaps":{}}]`, latLng},
		{"as a retrieval config", `"tools":[{"googleMaps":{"retrievalConfig":{"latLng":{"latitude":48.2,"longitude":-16.4},"languageCode":"de"}}}]`, `[{"googleMaps":{}}]`,
			`{"retrievalConfig":{"latLng":{"latitude":48.2,"longitude":-16.4},"languageCode":"de"}}`},
		{"in a pseudo function", pseudo(`{"latLng":{"latitude":48.2,"longitude":-16.4}}`), `[{"googleMaps":{}}]`, latLng},
		{"in a pseudo function, config", pseudo(`{"retrieval_config":{"lat_lng":{"latitude":48.2,"longitude":-16.4}}}`), `[{"googleMaps":{}}]`, latLng},
		{"in a pseudo function, bare", pseudo(`{"latitude":48.2,"longitude":-16.4}`), `[{"googleMaps":{}}]`, latLng},
		{"a pseudo function without parameters", pseudo(`{}`), `[{"googleMaps":{}}]`, `null`},
		{"a real function of that name", pseudo(`{"type":"object","properties":{"latLng":{"type":"string"}}}`),
			`[{"functionDeclarations":[{"name":"google_maps","parametersJsonSchema":{"type":"object","properties":{"latLng":{"type":"string"}}}}]}]`, `null`},
		{"in the pass-through", `"google":{"tools":[{"google_maps":{}}],"tool_config":{"retrieval_config":{"lat_lng":{"latitude":48.2,"longitude":-16.4}},"function_calling_config":{"mode":"ANY"}}}`, `[{"googleMaps":{}}]`, latLng},
		{"in extra_body", `"extra_body":{"google":{"tools":[{"googleMaps":{}}],"toolConfig":{"retrievalConfig":{"languageCode":"fr"}}}}`, `[{"googleMaps":{}}]`, `{"retrievalConfig":{"languageCode":"fr"}}`},
		{"without a tool for it", `"google":{"tool_config":{"retrieval_config":{"lat_lng":{"latitude":48.2,"longitude":-16.4}}}}`, `null`, `null`},
		{"tools are not to be used", `"tool_choice":"none","tools":[{"googleMaps":{"latLng":{"latitude":48.2,"longitude":-16.4}}}]`, `null`, `null`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := upstream(t, decodeWith(t, requestEnv(), Options{}, body(m3, c.fields)))
			sameJSON(t, got["tools"], c.tools)
			sameJSON(t, got["toolConfig"], c.config)
		})
	}
	for _, c := range []struct{ name, fields, param, message string }{
		{"beyond the pole", `"tools":[{"googleMaps":{"latLng":{"latitude":90.1,"longitude":0}}}]`, "tools[0].googleMaps.latLng.latitude", "between -90 and 90"},
		{"beyond the date line", `"tools":[{"googleMaps":{"latitude":0,"longitude":-181}}]`, "tools[0].googleMaps.longitude", "between -180 and 180"},
		{"snake case, beyond the pole", `"google":{"tool_config":{"retrieval_config":{"lat_lng":{"latitude":-91,"longitude":0}}}}`, "google.tool_config.retrieval_config.lat_lng.latitude", "between -90 and 90"},
		{"half of it", pseudo(`{"latLng":{"latitude":1}}`), "tools[0].function.parameters.latLng.longitude", "expected a number"},
		{"words", pseudo(`{"latLng":{"latitude":"1","longitude":2}}`), "tools[0].function.parameters.latLng.latitude", "expected a number"},
		{"no object", `"google":{"tool_config":{"retrieval_config":{"lat_lng":5}}}`, "google.tool_config.retrieval_config.lat_lng", "expected an object"},
		{"config of another type", `"google":{"tool_config":5}`, "google.tool_config", "expected an object"},
	} {
		t.Run(c.name, func(t *testing.T) { rejects(t, Options{}, body(m3, c.fields), c.param, c.message) })
	}
}
