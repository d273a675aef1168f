// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// nativeMade is a kind of things that the user makes, and all that can be done with
// one. NAME stands for its name, ID for the last segment of it.
type nativeMade struct {
	kind string
	make []string // method, path, body
	list string   // path; "" where there is none
	uses []string // method, path and body of each
	end  []string // method and path; nil where it cannot be deleted
}

const prompt = `"contents":[{"role":"user","parts":[{"text":"hi"}]}]`

var nativeKinds = []nativeMade{
	{
		kind: "cachedContents",
		make: []string{"POST", "/v1beta/cachedContents", `{"model":"models/` + model + `","ttl":"300s","contents":[{"role":"user","parts":[{"text":"` + strings.Repeat("long ", 6000) + `"}]}]}`},
		list: "/v1beta/cachedContents",
		uses: []string{
			"GET", "/v1beta/NAME", "",
			"PATCH", "/v1beta/NAME?updateMask=ttl", `{"ttl":"600s"}`,
			"POST", "/v1beta/models/" + model + ":generateContent", `{"cachedContent":"NAME",` + prompt + `}`,
			"POST", "/v1beta/models/" + model + ":generateContent", `{"cached_content":"NAME",` + prompt + `}`,
			"POST", "/v1beta/models/" + model + ":streamGenerateContent?alt=sse", `{"\u0063achedContent":"cachedContents\/ID",` + prompt + `}`,
			"POST", "/v1beta/models/" + model + ":countTokens", `{"generateContentRequest":{"model":"models/` + model + `","cachedContent":"NAME",` + prompt + `}}`,
		},
		end: []string{"DELETE", "/v1beta/NAME"},
	},
	{
		kind: "files",
		make: []string{"POST", "/v1beta/files", `{"file":{"displayName":"a"}}`},
		list: "/v1beta/files",
		uses: []string{
			"GET", "/v1beta/NAME", "",
			"GET", "/v1beta/files%2FID", "",
			"GET", "/v1/files/ID?key=", "",
		},
		end: []string{"DELETE", "/v1beta/NAME"},
	},
	{
		kind: "batches",
		make: []string{"POST", "/v1beta/models/" + model + ":batchGenerateContent", `{"batch":{"displayName":"b","inputConfig":{"requests":{"requests":[{"request":{` + prompt + `}}]}}}}`},
		list: "/v1beta/batches",
		uses: []string{
			"GET", "/v1beta/NAME", "",
			"PATCH", "/v1beta/NAME:updateGenerateContentBatch", `{"displayName":"c"}`,
			"POST", "/v1beta/NAME:cancel", "",
		},
		end: []string{"DELETE", "/v1beta/NAME"},
	},
	{
		kind: "models/veo-3.1-generate-preview/operations",
		make: []string{"POST", "/v1beta/models/veo-3.1-generate-preview:predictLongRunning", `{"instances":[{"prompt":"a cat"}]}`},
		list: "/v1beta/models/veo-3.1-generate-preview/operations",
		uses: []string{"GET", "/v1beta/NAME", ""},
	},
	{
		kind: "fileSearchStores",
		make: []string{"POST", "/v1beta/fileSearchStores", `{"displayName":"s"}`},
		list: "/v1beta/fileSearchStores",
		uses: []string{
			"GET", "/v1beta/NAME", "",
			"GET", "/v1beta/NAME/documents", "",
			"POST", "/v1beta/models/" + model + ":generateContent", `{"tools":[{"fileSearch":{"fileSearchStoreNames":["NAME"]}}],` + prompt + `}`,
			"POST", "/v1beta/models/" + model + ":generateContent", `{"tools":[{"file_search":{"file_search_store_names":["NAME"]}}],` + prompt + `}`,
		},
		end: []string{"DELETE", "/v1beta/NAME?force=true"},
	},
	{
		kind: "tunedModels",
		make: []string{"POST", "/v1beta/tunedModels?tunedModelId=mine-1", `{"displayName":"t","baseModel":"models/gemini-2.5-flash"}`},
		list: "/v1beta/tunedModels",
		uses: []string{
			"GET", "/v1beta/NAME", "",
			"PATCH", "/v1beta/NAME?updateMask=displayName", `{"displayName":"u"}`,
			"GET", "/v1beta/NAME/permissions", "",
			"POST", "/v1beta/NAME:generateContent", `{` + prompt + `}`,
		},
		end: []string{"DELETE", "/v1beta/NAME"},
	},
	{
		kind: "corpora",
		make: []string{"POST", "/v1beta/corpora", `{"displayName":"c"}`},
		list: "/v1beta/corpora",
		uses: []string{"GET", "/v1beta/NAME", "", "GET", "/v1beta/NAME/permissions", ""},
		end:  []string{"DELETE", "/v1beta/NAME"},
	},
	{
		kind: "interactions",
		make: []string{"POST", "/v1beta/interactions", `{"model":"` + model + `","input":"hi"}`},
		uses: []string{
			"GET", "/v1beta/NAME", "",
			"GET", "/v1/NAME?include_input=true", "",
			"POST", "/v1beta/interactions", `{"model":"` + model + `","input":"and?","previous_interaction_id":"ID"}`,
			"POST", "/v1beta/interactions", `{"stream":true,"model":"` + model + `","input":"and?","previous_interaction_id":"ID"}`,
		},
		end: []string{"DELETE", "/v1beta/NAME"},
	},
	{
		kind: "environments",
		make: []string{"POST", "/v1beta/environments", `{}`},
		list: "/v1beta/environments",
		uses: []string{
			"GET", "/v1beta/NAME", "",
			"GET", "/v1beta/NAME:get", "",
			"GET", "/v1beta/NAME/files", "",
			"POST", "/v1beta/interactions", `{"model":"` + model + `","input":"hi","environment":"ID"}`,
		},
		end: []string{"DELETE", "/v1beta/NAME:delete"},
	},
	{
		kind: "voices",
		make: []string{"POST", "/v1beta/voices", `{"voice":{"display_name":"v"}}`},
		list: "/v1beta/voices",
		uses: []string{"GET", "/v1beta/NAME", ""},
		end:  []string{"DELETE", "/v1beta/NAME"},
	},
	{
		kind: "webhooks",
		make: []string{"POST", "/v1beta/webhooks", `{"uri":"https://example.com/hook"}`},
		list: "/v1beta/webhooks",
		uses: []string{"GET", "/v1beta/NAME", "", "PATCH", "/v1beta/NAME", `{}`, "POST", "/v1beta/NAME:ping", "", "POST", "/v1beta/NAME:rotateSigningSecret", ""},
		end:  []string{"DELETE", "/v1beta/NAME"},
	},
	{
		kind: "agents",
		make: []string{"POST", "/v1beta/agents", `{"id":"mine","base_agent":"x"}`},
		list: "/v1beta/agents",
		uses: []string{"GET", "/v1beta/NAME", ""},
		end:  []string{"DELETE", "/v1beta/NAME"},
	},
	{
		kind: "credentials",
		make: []string{"POST", "/v1beta/credentials", `{"secret":"x"}`},
		list: "/v1beta/credentials",
		uses: []string{"GET", "/v1beta/NAME", "", "PATCH", "/v1beta/NAME", `{}`},
		end:  []string{"DELETE", "/v1beta/NAME"},
	},
	{
		kind: "triggers",
		make: []string{"POST", "/v1beta/triggers", `{}`},
		list: "/v1beta/triggers",
		uses: []string{"GET", "/v1beta/NAME", "", "POST", "/v1beta/NAME/executions", `{}`, "GET", "/v1beta/NAME/executions", ""},
		end:  []string{"DELETE", "/v1beta/NAME"},
	},
}

// nameOf is the name of what was made.
func nameOf(t *testing.T, kind, body string) string {
	t.Helper()
	doc, err := rawjson.Parse([]byte(body))
	must(t, err)
	for _, v := range []rawjson.Value{doc.Get("name"), doc.Get("file").Get("name")} {
		if name := v.Text(); name != "" {
			return rootOf(name)
		}
	}
	if id := doc.Get("id").Text(); id != "" {
		return kind + "/" + id
	}
	t.Fatalf("no name in %s", body)
	return ""
}

// TestNative_Owners: of everything that can be made, another user of the same
// project can see, use, list and delete nothing, and Google is not even asked; its
// owner can do it all.
func TestNative_Owners(t *testing.T) {
	for _, tc := range nativeKinds {
		t.Run(tc.kind, func(t *testing.T) {
			w := newWorld(t, keys(1), func(c *Config) { c.AdminResources = true })
			stranger := w.other()
			made := w.do(t.Context(), tc.make[0], tc.make[1], tc.make[2])
			if made.status != 200 {
				t.Fatalf("making one: %d %s", made.status, made.body)
			}
			name := nameOf(t, tc.kind, made.body)
			fill := strings.NewReplacer("NAME", name, "ID", name[strings.LastIndexByte(name, '/')+1:])
			unasked := func(what string, a answer) {
				t.Helper()
				if a.status != 404 || !strings.Contains(a.body, `"error"`) {
					t.Errorf("%s: %d %s, want 404", what, a.status, a.body)
				}
				if n := w.google.Count(); n > 0 {
					t.Errorf("%s: Google was asked: %+v", what, w.google.Entries()[0].Path)
				}
			}
			for i := 0; i < len(tc.uses); i += 3 {
				method, path, body := tc.uses[i], fill.Replace(tc.uses[i+1]), fill.Replace(tc.uses[i+2])
				w.google.Forget()
				unasked("a stranger's "+method+" "+path, w.do(t.Context(), method, path, body, "Authorization", stranger))
				missing := strings.NewReplacer(fill.Replace("ID"), "nowhere").Replace
				if strings.Contains(body, `"environment"`) {
					missing = strings.NewReplacer(fill.Replace("ID"), "environments/nowhere").Replace // Google may have a word of its own
				}
				unasked(method+" of what never was", w.do(t.Context(), method, missing(path), missing(body), "X-Goog-Api-Client", "x"))
				if a := w.do(t.Context(), method, path, body, "X-Goog-Api-Client", "x"); a.status != 200 {
					t.Errorf("the owner's %s %s %s: %d %s", method, path, body, a.status, a.body)
				}
			}
			if tc.list != "" {
				if a := w.get(tc.list, "Authorization", stranger); a.status != 200 || a.body != "{}" {
					t.Errorf("a stranger's list: %d %s", a.status, a.body)
				}
				if a := w.get(tc.list); a.status != 200 || !strings.Contains(a.body, fill.Replace("ID")) || strings.Contains(a.body, "nextPageToken") {
					t.Errorf("the owner's list: %d %s", a.status, a.body)
				}
			}
			if tc.end == nil {
				return
			}
			w.google.Forget()
			unasked("a stranger's deletion", w.do(t.Context(), tc.end[0], fill.Replace(tc.end[1]), "", "Authorization", stranger))
			if a := w.do(t.Context(), tc.end[0], fill.Replace(tc.end[1]), ""); a.status != 200 {
				t.Errorf("the owner's deletion: %d %s", a.status, a.body)
			}
			w.google.Forget()
			unasked("a second deletion", w.do(t.Context(), tc.end[0], fill.Replace(tc.end[1]), ""))
			if bad := w.google.Violations(fakegemini.Foreign); len(bad) > 0 {
				t.Errorf("Google was asked for what another project has: %v", bad)
			}
		})
	}
}

// TestNative_AdminResources: what belongs to the operator's projects is off by
// default.
func TestNative_AdminResources(t *testing.T) {
	w := newWorld(t, keys(1))
	for _, kind := range adminCollections {
		for _, a := range []answer{w.post("/v1beta/"+kind, "{}"), w.get("/v1beta/" + kind), w.get("/v1beta/" + kind + "/x")} {
			if a.status != http.StatusForbidden || !strings.Contains(a.body, `"permission_denied"`) {
				t.Errorf("%s: %d %s", kind, a.status, a.body)
			}
		}
	}
	if n := w.google.Count(); n > 0 {
		t.Errorf("Google was asked %d times", n)
	}
}
