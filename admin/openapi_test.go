// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// document is what the tests need of openapi.json.
type document struct {
	OpenAPI    string
	Paths      map[string]map[string]apiOperation
	Components struct {
		Schemas   map[string]schema
		Responses map[string]response
	}
}

type apiOperation struct {
	OperationID string
	Parameters  []struct {
		Name, In string
		Schema   schema
	}
	RequestBody *struct{}
	Responses   map[string]response
}

type response struct {
	Ref     string `json:"$ref"`
	Content map[string]struct{ Schema schema }
}

// schema is the part of JSON Schema that the document uses.
type schema struct {
	Ref                  string `json:"$ref"`
	Type                 types
	Properties           map[string]schema
	Required             []string
	Items                *schema
	Enum                 []any
	AdditionalProperties json.RawMessage
}

// types are one or more names of JSON types.
type types []string

// UnmarshalJSON implements [json.Unmarshaler].
func (t *types) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		*t = types{""}
		return json.Unmarshal(data, &(*t)[0])
	}
	return json.Unmarshal(data, (*[]string)(t))
}

// parsedDocument is shared: nothing changes it.
var parsedDocument = sync.OnceValues(func() (*document, error) {
	d := new(document)
	return d, json.Unmarshal(openAPIDocument, d)
})

func parseDocument(t testing.TB) *document {
	t.Helper()
	d, err := parsedDocument()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestOpenAPI_DescribesExactlyTheRoutes compares both ways: routes, {id},
// parameters.
func TestOpenAPI_DescribesExactlyTheRoutes(t *testing.T) {
	d := parseDocument(t)
	if d.OpenAPI != "3.1.0" {
		t.Errorf("openapi = %q", d.OpenAPI)
	}
	ids := map[string]bool{}
	for _, rt := range routes {
		op, ok := d.Paths[rt.path][strings.ToLower(rt.method)]
		if !ok {
			t.Errorf("%s %s is not described", rt.method, rt.path)
			continue
		}
		if op.OperationID == "" || ids[op.OperationID] {
			t.Errorf("%s %s: operationId %q is empty or used twice", rt.method, rt.path, op.OperationID)
		}
		ids[op.OperationID] = true
		var query []string
		hasID := false
		for _, p := range op.Parameters {
			if p.In == "query" {
				query = append(query, p.Name)
			}
			hasID = hasID || p.In == "path" && p.Name == "id"
		}
		slices.Sort(query)
		if want := slices.Sorted(slices.Values(rt.params)); !slices.Equal(query, want) {
			t.Errorf("%s %s: parameters %v, want %v", rt.method, rt.path, query, want)
		}
		if hasID != strings.Contains(rt.path, "{id}") {
			t.Errorf("%s %s: id described: %t", rt.method, rt.path, hasID)
		}
		if _, sent := operationBodies[rt.method+" "+rt.path]; sent != (op.RequestBody != nil) {
			t.Errorf("%s %s: body described: %t, taken: %t", rt.method, rt.path, op.RequestBody != nil, sent)
		}
	}
	for path, operations := range d.Paths {
		for method := range operations {
			if !slices.ContainsFunc(routes, func(rt route) bool { return rt.path == path && rt.method == strings.ToUpper(method) }) {
				t.Errorf("%s %s is described but not there", method, path)
			}
		}
	}
}

// TestOpenAPI_ReferencesExist finds names that lead nowhere and schemas that
// nothing uses.
func TestOpenAPI_ReferencesExist(t *testing.T) {
	d := parseDocument(t)
	used := map[string]bool{}
	for _, part := range strings.Split(string(openAPIDocument), `"#/components/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		used[name] = true
		kind, name, _ := strings.Cut(name, "/")
		_, isSchema := d.Components.Schemas[name]
		_, isResponse := d.Components.Responses[name]
		if kind == "schemas" && !isSchema || kind == "responses" && !isResponse {
			t.Errorf("%s %s does not exist", kind, name)
		}
	}
	for name := range d.Components.Schemas {
		if !used["schemas/"+name] {
			t.Errorf("schema %s is not used", name)
		}
	}
	for name := range d.Components.Responses {
		if !used["responses/"+name] {
			t.Errorf("response %s is not used", name)
		}
	}
}

// TestOpenAPI_NamesTheSameWords compares lists that are kept in two places.
func TestOpenAPI_NamesTheSameWords(t *testing.T) {
	d := parseDocument(t)
	words := map[string][]string{"/admin/keys/gemini status": keyStatusWords(), "/admin/keys/gemini sort": geminiKeySorts, "window": slices.Sorted(maps.Keys(windows)), "standing": standingNames(), "order": {"asc", "desc"}}
	for path, operations := range d.Paths {
		ofUsage := slices.ContainsFunc(usageRoutes, func(rt route) bool { return rt.path == path && path != "/admin/stats" })
		if path == "/admin/keys/user" || ofUsage { // which have words of their own
			continue
		}
		for _, p := range operations["get"].Parameters {
			want, ok := words[path+" "+p.Name]
			if !ok {
				want, ok = words[p.Name]
			}
			if ok && !sameWords(p.Schema.Enum, want) {
				t.Errorf("%s: %s is one of %v, want %v", path, p.Name, p.Schema.Enum, want)
			}
		}
	}
	if got := d.Components.Schemas["GeminiKey"].Properties["state"].Enum; !sameWords(got, stateNames()) {
		t.Errorf("GeminiKey.state is one of %v, want %v", got, stateNames())
	}
	for _, name := range []string{"ConfigPatch", "Explanation"} {
		if got := d.Components.Schemas[name].Properties["strategy"].Enum; !sameWords(got, settings.Strategies()) {
			t.Errorf("%s.strategy is one of %v, want %v", name, got, settings.Strategies())
		}
	}
	if got := d.Components.Schemas["Candidate"].Properties["standing"].Enum; !sameWords(got, standingNames()) {
		t.Errorf("Candidate.standing is one of %v, want %v", got, standingNames())
	}
}

func sameWords(got []any, want []string) bool {
	var words []string
	for _, word := range got {
		words = append(words, fmt.Sprint(word))
	}
	slices.Sort(words)
	return slices.Equal(words, slices.Sorted(slices.Values(want)))
}

// check compares an answer with the description: the status is foreseen, the
// type and every field are as described, none is undescribed.
func (d *document) check(t testing.TB, method, path string, w *httptest.ResponseRecorder) {
	t.Helper()
	segments := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	rt, _, _ := match(method, segments)
	if rt == nil || method == http.MethodOptions {
		return
	}
	described, ok := d.Paths[rt.path][strings.ToLower(rt.method)].Responses[fmt.Sprint(w.Code)]
	if !ok {
		t.Errorf("%s %s: status %d is not described", method, path, w.Code)
		return
	}
	if described.Ref != "" {
		described = d.Components.Responses[strings.TrimPrefix(described.Ref, "#/components/responses/")]
	}
	if described.Content != nil {
		mediaType := w.Header().Get("Content-Type")
		content, ok := described.Content[mediaType]
		if !ok {
			t.Errorf("%s %s: Content-Type %q is not described", method, path, mediaType)
		}
		if strings.HasSuffix(mediaType, "json") && mediaType != "application/x-ndjson" {
			var v any
			if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
				t.Errorf("%s %s: %v: %s", method, path, err, w.Body)
			}
			for _, fault := range d.faults(content.Schema, v, "") {
				t.Errorf("%s %s: %s", method, path, fault)
			}
		}
	}
	if described.Content == nil && w.Body.Len() > 0 {
		t.Errorf("%s %s: a body of %d bytes is not described", method, path, w.Body.Len())
	}
}

func (d *document) faults(s schema, v any, at string) (faults []string) {
	if s.Ref != "" {
		s = d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	if s.Enum != nil && !slices.Contains(s.Enum, v) {
		faults = append(faults, fmt.Sprintf("%s: %v is not in %v", at, v, s.Enum))
	}
	is := map[string]bool{}
	switch v := v.(type) {
	case nil:
		is["null"] = true
	case string:
		is["string"] = true
	case bool:
		is["boolean"] = true
	case float64:
		is["number"], is["integer"] = true, v == float64(int64(v))
	case []any:
		is["array"] = true
		for i, item := range v {
			if s.Items != nil {
				faults = append(faults, d.faults(*s.Items, item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		}
	case map[string]any:
		is["object"] = true
		for _, name := range s.Required {
			if _, ok := v[name]; !ok {
				faults = append(faults, fmt.Sprintf("%s.%s is missing", at, name))
			}
		}
		var others schema
		open := s.Properties == nil && s.AdditionalProperties == nil
		if json.Unmarshal(s.AdditionalProperties, &others) == nil {
			open = true
		}
		for name, value := range v {
			property, known := s.Properties[name]
			switch {
			case known:
				faults = append(faults, d.faults(property, value, at+"."+name)...)
			case open:
				faults = append(faults, d.faults(others, value, at+"."+name)...)
			default:
				faults = append(faults, fmt.Sprintf("%s.%s is not described", at, name))
			}
		}
	}
	if s.Type != nil && !slices.ContainsFunc(s.Type, func(name string) bool { return is[name] }) {
		faults = append(faults, fmt.Sprintf("%s: %v is no %s", at, v, s.Type))
	}
	return faults
}

// TestOpenAPI_CheckFindsFaults tests the test.
func TestOpenAPI_CheckFindsFaults(t *testing.T) {
	d := parseDocument(t)
	for name, body := range map[string]string{
		"missing":     `{}`,
		"undescribed": `{"project":"p","secret":"s","scope":"key","kind":"cooling","until":"x","since":"x","why":"w","reason":"r","affected":1}`,
		"wrong type":  `{"scope":"key","kind":"cooling","until":1,"since":"x","why":"w","reason":"r","affected":1}`,
		"fraction":    `{"scope":"key","kind":"cooling","until":"x","since":"x","why":"w","reason":"r","affected":1.5}`,
		"enum":        `{"scope":"galaxy","kind":"cooling","until":"x","since":"x","why":"w","reason":"r","affected":1}`,
	} {
		var v any
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatal(err)
		}
		if len(d.faults(schema{Ref: "#/components/schemas/Rest"}, v, "")) == 0 {
			t.Errorf("%s: no fault found", name)
		}
	}
}
