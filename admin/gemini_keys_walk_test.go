// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"maps"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// init tells the walks over all routes about those of Gemini keys.
func init() {
	maps.Copy(operationBodies, map[string]string{
		"PATCH /admin/keys/gemini/{id}":         `{"name":"walk","note":"two\nlines","tags":["a"],"models":["gemini-*"],"weight":2}`,
		"POST /admin/keys/gemini/{id}/validate": `{"model":"gemini-x"}`,
		"POST /admin/keys/gemini/bulk":          `{"action":"disable","filter":{}}`,
		"POST /admin/keys/gemini/import":        `{"text":"AIzaSyCanary-import-000000000000000001","batch":"walk"}`,
		"POST /admin/keys/gemini/import/undo":   `{"batch":"walk"}`,
		"POST /admin/keys/gemini/validate":      `{"all":true}`,
		"POST /admin/keys/gemini/export":        `{"format":"json"}`,
	})
	maps.Copy(unhappy, map[string]string{"POST /admin/keys/gemini/import/undo": "batch_not_found"})
	objects["/admin/keys/gemini/{id}/restore"] = func(f *fixture) string {
		id := f.addGeminiKey(1)
		if err := f.pool.Delete(f.t.Context(), id); err != nil {
			f.t.Fatal(err)
		}
		return id
	}
}

func stateNames() []string {
	names := make([]string, len(balancer.States))
	for i, s := range balancer.States {
		names[i] = string(s)
	}
	return names
}
