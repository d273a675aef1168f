// SPDX-License-Identifier: Apache-2.0

package openai

import "github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"

// Where the user is, for answers with Google Maps: toolConfig.retrievalConfig. The
// OpenAI API has no field for it, so that it may stand in the tool itself, native
// or as a function of that name, or in the pass-through.
// Source: specs/openai.md §5.5.
//
//	{"googleMaps": {"latLng": {"latitude": 48.2, "longitude": 16.4}}}
//	{"type": "function", "function": {"name": "googleMaps", "parameters": {"latLng": …}}}
//	{"google": {"tool_config": {"retrieval_config": {"lat_lng": …, "language_code": "de"}}}}
//
// In place of latLng may stand a retrievalConfig around it, or its two members.

var (
	anyNumber      = &shape{kind: rawjson.Number}
	latLngShape    = objectOf("latitude", anyNumber, "longitude", anyNumber)
	retrievalShape = objectOf("latLng", latLngShape, "languageCode", anyString)
)

// place reads the place in v, and reports whether there is one.
func (d *decoder) place(v rawjson.Value, path string) bool {
	if v.Kind() != rawjson.Object {
		return false
	}
	for _, name := range [...]string{"retrievalConfig", "retrieval_config"} {
		if m := v.Get(name); !m.IsNull() {
			d.retrieval(m, path+"."+name)
			return true
		}
	}
	for _, name := range [...]string{"latLng", "lat_lng"} {
		if m := v.Get(name); !m.IsNull() {
			d.latLng(m, path+"."+name)
			return true
		}
	}
	if v.Get("latitude").IsNull() || v.Get("longitude").IsNull() {
		return false
	}
	d.latLng(v, path)
	return true
}

// retrieval takes over a whole retrievalConfig.
func (d *decoder) retrieval(v rawjson.Value, path string) {
	out := d.copyKnown(v, retrievalShape, path)
	if latLng := out.Get("latLng"); latLng != nil {
		name := "latLng"
		if v.Get(name).IsNull() {
			name = "lat_lng"
		}
		if !d.coordinates(latLng, path+"."+name) {
			return
		}
	}
	if len(out) > len("{}") {
		d.req.Gemini.ToolConfig.RetrievalRaw = out
	}
}

func (d *decoder) latLng(v rawjson.Value, path string) {
	if out := d.copyKnown(v, latLngShape, path); d.coordinates(out, path) {
		d.req.Gemini.ToolConfig.RetrievalRaw = wrap("latLng", out)
	}
}

// coordinates checks that both are there and on Earth.
func (d *decoder) coordinates(v rawjson.Value, path string) bool {
	return d.within(v.Get("latitude"), path+".latitude", -90, 90) && d.within(v.Get("longitude"), path+".longitude", -180, 180)
}
