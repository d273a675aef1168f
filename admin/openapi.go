// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// openAPIParts describe the routes, a file for each of the lists of routes. What
// is the same for all operations is in none of them: [describeRoute] adds it.
//
//go:embed openapi/*.json
var openAPIParts embed.FS

// openAPIDocument describes exactly the routes (OpenAPI 3.1).
var openAPIDocument []byte

func (a *api) openAPI(*call) (status int, body any, err error) {
	return http.StatusOK, json.RawMessage(openAPIDocument), nil
}

// openAPIPart is one of the files. core.json has the fields of the whole document,
// too.
type openAPIPart struct {
	OpenAPI    string                                `json:"openapi,omitempty"`
	Info       json.RawMessage                       `json:"info,omitempty"`
	Security   json.RawMessage                       `json:"security,omitempty"`
	Paths      map[string]map[string]map[string]any  `json:"paths"`      // path, method, operation
	Components map[string]map[string]json.RawMessage `json:"components"` // kind, name
}

// mergeOpenAPI makes one document of the parts. What is there twice is a mistake of
// ours, which every test sees.
func mergeOpenAPI() []byte {
	all := openAPIPart{Paths: map[string]map[string]map[string]any{}, Components: map[string]map[string]json.RawMessage{}}
	files, err := openAPIParts.ReadDir("openapi")
	if err != nil {
		panic(err)
	}
	for _, file := range files {
		text, err := openAPIParts.ReadFile("openapi/" + file.Name())
		if err != nil {
			panic(err)
		}
		var part openAPIPart
		if err := json.Unmarshal(text, &part); err != nil {
			panic(fmt.Errorf("%s: %w", file.Name(), err))
		}
		if part.OpenAPI != "" {
			all.OpenAPI, all.Info, all.Security = part.OpenAPI, part.Info, part.Security
		}
		mergeInto(all.Paths, part.Paths, file.Name())
		for kind, components := range part.Components {
			if all.Components[kind] == nil {
				all.Components[kind] = map[string]json.RawMessage{}
			}
			mergeInto(all.Components[kind], components, file.Name())
		}
	}
	for _, rt := range routes {
		if operation := all.Paths[rt.path][strings.ToLower(rt.method)]; operation != nil {
			describeRoute(operation, rt)
		}
	}
	document, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		panic(err)
	}
	return document
}

func mergeInto[V any](all, part map[string]V, file string) {
	for name, value := range part {
		if _, twice := all[name]; twice {
			panic(fmt.Sprintf("%s: %s is described twice", file, name))
		}
		all[name] = value
	}
}

// describeRoute adds what follows from the fields of the route: who may use it,
// and the answers that the framework gives. An operation that describes one of
// them in words of its own keeps those.
func describeRoute(operation map[string]any, rt route) {
	responses, _ := operation["responses"].(map[string]any)
	if responses == nil {
		responses = map[string]any{}
		operation["responses"] = responses
	}
	for status, name := range commonResponses(rt) {
		if _, own := responses[status]; !own {
			responses[status] = map[string]any{"$ref": "#/components/responses/" + name}
		}
	}
	operation["x-access"] = rt.needs.String()
	if rt.needs == needsRole && !reads(rt.method) {
		operation["x-access"] = needsAdmin.String()
	}
	if rt.needs == needsNone {
		operation["security"] = []any{}
	}
	if rt.idempotent {
		parameters, _ := operation["parameters"].([]any)
		operation["parameters"] = append(slices.Clone(parameters), map[string]any{
			"name": "Idempotency-Key", "in": "header",
			"description": "any text of 1 to 128 characters; a repetition within 24 hours does nothing and is answered as the first request was",
			"schema":      map[string]any{"type": "string", "maxLength": 128},
		})
	}
}

func commonResponses(rt route) map[string]string {
	common := map[string]string{"400": "BadRequest", "403": "Forbidden", "503": "Unavailable"}
	if rt.needs != needsNone {
		maps.Copy(common, map[string]string{"401": "Unauthorized", "429": "TooManyFailures"})
	}
	if !reads(rt.method) {
		maps.Copy(common, map[string]string{"408": "TooSlow", "413": "TooLarge", "415": "NotJSON", "500": "Internal"})
	}
	if rt.idempotent {
		common["409"] = "Repeated"
	}
	return common
}
