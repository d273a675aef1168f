// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// TestCredential_QueryOff: where ?key= is off it is refused on every surface, with a
// header or without, and whether the setting or the site says so; headers go on.
// Source: specs/gateways.md A3.
func TestCredential_QueryOff(t *testing.T) {
	bySetting := newWorld(t, keys(1))
	must(t, bySetting.gw.Settings.Update(settings.Patch{"query_key": false}))
	off, on := false, true
	bySite := newWorld(t, keys(1), func(c *Config) { c.QueryKey = &off })
	anonymous := newWorld(t, keys(1), func(c *Config) { c.QueryKey, c.Anonymous = &off, true })
	for _, w := range []*world{bySetting, bySite, anonymous} {
		for _, line := range []string{
			"POST /v1/chat/completions", "POST /v1/responses", "GET /v1/responses/resp_1", "POST /v1/embeddings", "GET /v1/files", "GET /v1beta/openai/models",
			"POST /v1/messages", "POST /v1/messages/count_tokens", "POST /v1beta/models/" + model + ":generateContent",
			"POST /v1beta/models/" + model + ":streamGenerateContent?alt=sse", "GET /v1beta/models", "GET /v1beta/files/abc", "POST /upload/v1beta/files",
			"PUT /upload/v1beta/files?upload_id=abc", "GET /download/v1beta/files/abc:download?alt=media", "POST /v1alpha/auth_tokens",
			"GET /ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
		} {
			method, path, _ := strings.Cut(line, " ")
			for _, query := range []string{"key=" + w.key, "%6bey=" + w.key, "key=&key=" + w.key, "key=other"} {
				for _, header := range [][]string{{"Authorization", ""}, {"X-Goog-Api-Key", w.key}} {
					join := "?"
					if strings.Contains(path, "?") {
						join = "&"
					}
					a := w.do(t.Context(), method, path+join+query, "{}", header...)
					if a.status != 400 || !strings.Contains(a.body, "takes no API keys in URLs") || strings.Contains(a.body, w.key) {
						t.Errorf("%s, %s: %d %s", line, query, a.status, a.body)
					}
				}
			}
		}
		if n := w.google.Count(); n > 0 {
			t.Errorf("Google was asked %d times", n)
		}
		chat := `{"model":"` + model + `","messages":[{"role":"user","content":"hi"}]}`
		for _, path := range []string{"/v1/chat/completions", "/v1/chat/completions?key="} {
			if a := w.do(t.Context(), http.MethodPost, path, chat); a.status != 200 {
				t.Errorf("%s with the key in a header: %d %s", path, a.status, a.body)
			}
		}
	}
	// A site's own word wins.
	open := newWorld(t, keys(1), func(c *Config) { c.QueryKey = &on })
	must(t, open.gw.Settings.Update(settings.Patch{"query_key": false}))
	if a := open.do(t.Context(), http.MethodGet, "/v1/models?key="+open.key, "", "Authorization", ""); a.status != 200 {
		t.Errorf("a site with query_key on: %d %s", a.status, a.body)
	}
}
