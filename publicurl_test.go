// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestPublicURL(t *testing.T) {
	type header = map[string]string
	for _, tc := range []struct {
		name     string
		original string // request target
		path     string // that is left
		secure   bool
		trusted  bool
		header   header
		want     string
	}{
		{"plain", "/v1beta/files", "/v1beta/files", false, false, nil, "http://gw.example"},
		{"secure", "/v1beta/files?x=1", "/v1beta/files", true, false, nil, "https://gw.example"},
		{"handle_path", "/gem/v1beta/files?x=1", "/v1beta/files", true, false, nil, "https://gw.example/gem"},
		{"rewritten", "/gem/other", "/v1beta/files", true, false, nil, "https://gw.example"},
		{"a stranger's word", "/v1beta/files", "/v1beta/files", false, false, header{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/x"}, "http://gw.example"},
		{"a proxy's word", "/v1beta/files", "/v1beta/files", false, true, header{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example:8443"}, "https://api.example:8443"},
		{"of several proxies", "/v1beta/files", "/v1beta/files", false, true, header{"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "api.example, inner"}, "https://api.example"},
		{"prefixes", "/gem/v1beta/files", "/v1beta/files", false, true, header{"X-Forwarded-Prefix": "/ai/"}, "http://gw.example/ai/gem"},
		{"IPv6", "/v1beta/files", "/v1beta/files", false, true, header{"X-Forwarded-Host": "[2001:db8::1]:443"}, "http://[2001:db8::1]:443"},
		{"nonsense", "/v1beta/files", "/v1beta/files", true, true, header{"X-Forwarded-Proto": "ftp", "X-Forwarded-Host": "a/b", "X-Forwarded-Prefix": "//a"}, "https://gw.example"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			original := httptest.NewRequest(http.MethodPost, "http://gw.example"+tc.original, nil)
			ctx := context.WithValue(original.Context(), caddyhttp.VarsCtxKey, map[string]any{caddyhttp.TrustedProxyVarKey: tc.trusted})
			// Caddy keeps this much of a request.
			kept := http.Request{Method: original.Method, RemoteAddr: original.RemoteAddr, RequestURI: tc.original, URL: original.URL}
			r := original.Clone(context.WithValue(ctx, caddyhttp.OriginalRequestCtxKey, kept))
			if tc.secure {
				r.TLS = new(tls.ConnectionState)
			}
			r.URL.Path, r.URL.RawPath, r.RequestURI = tc.path, "", tc.path
			for name, value := range tc.header {
				r.Header.Set(name, value)
			}
			if got := publicURL(r); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}
