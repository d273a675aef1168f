// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

func TestModels(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.usage.Add(usage.Record{At: f.clock.now(), Model: "gemini-x", Status: 200, Outcome: "ok", Attempts: 1, Output: 100, FirstOutput: 200 * time.Millisecond, Duration: time.Second})
	for _, s := range []scenario{
		{name: "list", method: "GET", path: "/admin/models", status: 200, contains: []string{
			`"id":"gemini-x","kind":"chat","offered":true,"keys":0,"keys_usable":0,"context_in":1000000,"context_out":65536,"aliases":["house"],"price":null,"requests_24h":1,"success":1,`,
			`"id":"gemini-y"`, `"total":2`, `"aliases":["claude*"]`,
		}},
		{name: "not offered", method: "PATCH", path: "/admin/models/gemini-x", body: `{"offered":false}`, status: 200, contains: []string{`"offered":false`}},
		{name: "nothing said", method: "PATCH", path: "/admin/models/gemini-x", body: `{}`, status: 200, contains: []string{`"offered":false`}},
		{name: "the alias has none left", method: "GET", path: "/admin/aliases", status: 200, contains: []string{`"name":"house","targets":["gemini-x"]`, "none of its models is offered"}},
		{name: "offered again", method: "PATCH", path: "/admin/models/gemini-x", body: `{"offered":true}`, status: 200, contains: []string{`"offered":true`}},
		{name: "set", method: "PATCH", path: "/admin/models/gemini-x", body: `{"thinking_budget":0,"safety":"off","first_output_ms":90000,"own_price":{"input_nano_per_mtok":75000000,"output_nano_per_mtok":300000000},"limits":{"free":{"rpm":5,"rpd":100}}}`, status: 200, contains: []string{
			`"price":{"input_nano_per_mtok":75000000,"output_nano_per_mtok":300000000,"source":"own","date":""}`, `"thinking":{"by":"budget","min":128,"max":32768,"off":false}`,
			`"thinking_budget":0,"safety":"off","first_output_ms":90000,"own_price":{"input_nano_per_mtok":75000000,"cached_nano_per_mtok":null,"output_nano_per_mtok":300000000},"limits":{"free":{"rpm":5,"tpm":null,"rpd":100},"paid":null}`,
		}},
		{name: "on record", method: "GET", path: "/admin/audit", status: 200, contains: []string{"thinking_budget: null → 0", `limits: {\"free\":null,\"paid\":null} → {\"free\":{\"rpm\":5`}},
		{name: "the other tier", method: "PATCH", path: "/admin/models/gemini-x", body: `{"limits":{"paid":{"tpm":4000000}}}`, status: 200, contains: []string{
			`"thinking_budget":0,"safety":"off"`, `"limits":{"free":{"rpm":5,"tpm":null,"rpd":100},"paid":{"rpm":null,"tpm":4000000,"rpd":null}}`,
		}},
		{name: "another window of it", method: "PATCH", path: "/admin/models/gemini-x", body: `{"limits":{"free":{"tpm":250000}}}`, status: 200, contains: []string{`"limits":{"free":{"rpm":5,"tpm":250000,"rpd":100},"paid":{"rpm":null,"tpm":4000000,"rpd":null}}`}},
		{name: "one window back", method: "PATCH", path: "/admin/models/gemini-x", body: `{"limits":{"free":{"tpm":null}}}`, status: 200, contains: []string{`"limits":{"free":{"rpm":5,"tpm":null,"rpd":100},`}},
		{name: "the last window back", method: "PATCH", path: "/admin/models/gemini-x", body: `{"limits":{"paid":{"tpm":null}}}`, status: 200, contains: []string{`"rpd":100},"paid":null}`}},
		{name: "the other tier again", method: "PATCH", path: "/admin/models/gemini-x", body: `{"limits":{"paid":{"tpm":4000000}}}`, status: 200, contains: []string{`"paid":{"rpm":null,"tpm":4000000,"rpd":null}`}},
		{name: "one tier back", method: "PATCH", path: "/admin/models/gemini-x", body: `{"limits":{"free":null}}`, status: 200, contains: []string{`"limits":{"free":null,"paid":{"rpm":null,"tpm":4000000,"rpd":null}}`}},
		{name: "in the list", method: "GET", path: "/admin/models", status: 200, contains: []string{`"first_output_ms":90000`, `"thinking":null,"thinking_budget":null,"safety":null,"first_output_ms":null,"own_price":null,"limits":{"free":null,"paid":null}`}},
		{name: "all back", method: "PATCH", path: "/admin/models/gemini-x", body: `{"thinking_budget":null,"safety":null,"first_output_ms":null,"own_price":null,"limits":null}`, status: 200, contains: []string{
			`"price":null`, `"thinking_budget":null,"safety":null,"first_output_ms":null,"own_price":null,"limits":{"free":null,"paid":null}`,
		}},
		{name: "wrong values", method: "PATCH", path: "/admin/models/gemini-x", body: `{"thinking_budget":-2,"safety":"none","first_output_ms":0,"own_price":{"input_nano_per_mtok":-1,"output_nano_per_mtok":1000000000001},"limits":{"free":{"rpm":0},"paid":{"tpm":-5}}}`, status: 400, contains: []string{
			`"field":"thinking_budget"`, `"field":"safety"`, `"field":"first_output_ms"`, `"field":"own_price.input_nano_per_mtok"`, `"field":"own_price.output_nano_per_mtok"`, `"field":"limits.free.rpm"`, `"field":"limits.paid.tpm"`,
		}},
		{name: "half a price", method: "PATCH", path: "/admin/models/gemini-x", body: `{"own_price":{"input_nano_per_mtok":1}}`, status: 400, contains: []string{`"field":"own_price.output_nano_per_mtok"`}},
		{name: "wait too long", method: "PATCH", path: "/admin/models/gemini-x", body: `{"first_output_ms":9223372036854775807}`, status: 400, contains: []string{`"field":"first_output_ms"`}},
		{name: "wrong types", method: "PATCH", path: "/admin/models/gemini-x", body: `{"thinking_budget":"much","limits":{"pro":{}},"own_price":[]}`, status: 400, contains: []string{`"field":"thinking_budget"`, `"field":"limits.pro"`, `"field":"own_price"`}},
		{name: "unknown", method: "PATCH", path: "/admin/models/gemini-nowhere", body: `{"offered":false}`, status: 404},
		{name: "wrong type", method: "PATCH", path: "/admin/models/gemini-x", body: `{"offered":"no"}`, status: 400, contains: []string{`"field":"offered"`}},
		{name: "sync without keys", method: "POST", path: "/admin/models/sync", status: 409, contains: []string{"no_keys"}},
	} {
		s.run(t, f)
	}
	f.addGeminiKey(1)
	if w := f.admin("POST", "/admin/models/sync", ""); w.Code != 202 || w.Header().Get("Location") == "" {
		t.Errorf("sync: %d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestKindOf(t *testing.T) {
	for id, want := range map[string]string{
		"gemini-2.5-pro": "chat", "gemini-embedding-001": "embedding", "veo-3.1-generate-preview": "video", "imagen-4.0-generate-001": "image",
		"gemini-3-pro-image-preview": "image", "gemini-2.5-flash-preview-tts": "audio", "gemini-live-2.5-flash-preview": "live",
		"gemini-2.5-flash-native-audio-preview": "audio", "aqa": "other", "gemma-3-27b-it": "chat",
	} {
		if got := kindOf(id, nil); got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
	if got := kindOf("gemini-2.5-flash-native-audio", []string{"bidiGenerateContent"}); got != "live" {
		t.Errorf("what can only be live is %s", got)
	}
}

func TestAliases(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	etag := f.admin("GET", "/admin/aliases", "").Header().Get("ETag")
	put := `{"items":[{"name":"gpt-4*","targets":["gemini-x","gemini-y"]},{"name":"gpt-4o","targets":["gemini-x"]},{"name":"house","targets":["gemini-x"]},` +
		`{"name":"gemini-y","targets":["gemini-x"],"listed":false,"thinking_budget":-1,"search":true},{"name":"lost","targets":["gemini-z"]}]}`
	for _, s := range []scenario{
		{name: "empty", method: "GET", path: "/admin/aliases", status: 200, contains: []string{
			`{"name":"house","targets":["gemini-x"],"pattern":false,"listed":true,"source":"caddyfile","locked":true,"hits_24h":5}`,
			`{"name":"claude*","targets":["gemini-y"],"pattern":true,"listed":false,"source":"default","locked":true,"dialect":"anthropic","hits_24h":null}`,
		}},
		{name: "put", method: "PUT", path: "/admin/aliases", body: put, status: 200, contains: []string{
			`"name":"gpt-4*","targets":["gemini-x","gemini-y"],"pattern":true,"listed":false,"source":"store","locked":false,"hits_24h":6}`,
			"is never used: gpt-4* before it", "is never used: house before it", "takes the name of a model", "gemini-z is not among the models",
		}},
		{name: "options", method: "GET", path: "/admin/aliases", status: 200, contains: []string{`"source":"store","locked":false,"thinking_budget":-1,"search":true,"hits_24h"`}},
		{name: "test one with options", method: "POST", path: "/admin/aliases/test", body: `{"name":"gemini-y"}`, status: 200, contains: []string{`"matched":"gemini-y"`, `"thinking_budget":-1,"search":true,"model":"gemini-x"`}},
		{name: "wrong budget", method: "PUT", path: "/admin/aliases", body: `{"items":[{"name":"a","targets":["x"],"thinking_budget":-5}]}`, status: 400, contains: []string{`"field":"items[0].thinking_budget"`}},
		{name: "test an alias", method: "POST", path: "/admin/aliases/test", body: `{"name":"gpt-4o"}`, status: 200, contains: []string{`"matched":"gpt-4*","source":"store","targets":["gemini-x","gemini-y"],"model":"gemini-x","known":true,"offered":true`}},
		{name: "test a built-in one", method: "POST", path: "/admin/aliases/test", body: `{"name":"claude-sonnet-4-5"}`, status: 200, contains: []string{`"matched":"claude*","source":"default","dialect":"anthropic"`}},
		{name: "test a model", method: "POST", path: "/admin/aliases/test", body: `{"name":"models/gemini-x"}`, status: 200, contains: []string{`"matched":null`, `"model":"gemini-x","known":true`}},
		{name: "test nobody", method: "POST", path: "/admin/aliases/test", body: `{"name":"gemini-17"}`, status: 200, contains: []string{`"matched":null`, `"known":false`}},
		{name: "test nothing", method: "POST", path: "/admin/aliases/test", body: `{"name":" "}`, status: 400},
		{name: "twice", method: "PUT", path: "/admin/aliases", body: `{"items":[{"name":"a","targets":["x"]},{"name":"a","targets":["x"]}]}`, status: 400, contains: []string{`"field":"items[1].name"`}},
		{name: "no targets", method: "PUT", path: "/admin/aliases", body: `{"items":[{"name":"a","targets":[]}]}`, status: 400, contains: []string{`"field":"items[0].targets"`}},
		{name: "star alone", method: "PUT", path: "/admin/aliases", body: `{"items":[{"name":"*","targets":["x"]}]}`, status: 400},
		{name: "no list", method: "PUT", path: "/admin/aliases", body: `{}`, status: 400},
	} {
		s.run(t, f)
	}
	r := request("PUT", "/admin/aliases", `{"items":[]}`)
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("If-Match", etag)
	if w := f.do(r); w.Code != 412 {
		t.Errorf("for an old list: %d %s", w.Code, w.Body)
	}
}
