// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/fetch"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// TestLink: an image named by URL is fetched and sent inline, also to the second
// model of a chain, once; where that is not allowed, the client learns why.
func TestLink(t *testing.T) {
	png, _ := base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
	fetched := 0
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched++
		if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
			t.Errorf("credentials were sent: %v", r.Header)
		}
		_, _ = w.Write(png)
	}))
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	own := netip.MustParseAddrPort(strings.TrimPrefix(web.URL, "https://"))
	w := newWorld(t, keys(2), func(c *Config) {
		c.Aliases = []settings.Alias{{Name: "smart", Targets: []string{"gemini-3.5-flash", "gemini-2.5-flash"}}}
		c.Fetch = fetch.New(fetch.Options{RootCAs: roots, Allow: func(a netip.AddrPort) bool { return a == own }})
	})
	w.google.Script(fakegemini.Rule{Model: "gemini-3.5-flash", Steer: fakegemini.Steer{Status: 503}})
	ask := func(url string) answer {
		return w.post("/v1/chat/completions", fmt.Sprintf(`{"model":"smart","messages":[{"role":"user","content":[{"type":"text","text":"What is it?"},{"type":"image_url","image_url":{"url":%q}}]}]}`, url))
	}
	if a := ask(web.URL + "/a.png?token=s3cret"); a.status != 200 || fetched != 1 {
		t.Fatalf("%d, fetched %d times: %s", a.status, fetched, a.body)
	}
	for _, e := range w.google.Entries() {
		if body := string(e.Body); !strings.Contains(body, `"mimeType":"image/png"`) || strings.Contains(body, "s3cret") {
			t.Errorf("sent to %s: %s", e.Model, body)
		}
	}
	before := w.google.Count()
	if a := ask("https://127.0.0.1:1/a.png?token=s3cret"); a.status != 400 || !strings.Contains(a.body, "messages[0].content[1].image_url") || strings.Contains(a.body, "s3cret") {
		t.Errorf("a private address: %d %s", a.status, a.body)
	}
	if n := w.google.Count(); n != before {
		t.Error("a request without its image went upstream")
	}
	off := newWorld(t, keys(1))
	a := off.post("/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]}`, model))
	if a.status != 400 || !strings.Contains(a.body, "image_url") {
		t.Errorf("switched off: %d %s", a.status, a.body)
	}
}
