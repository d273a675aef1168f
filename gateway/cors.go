// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"slices"
	"strings"
)

// exposed are the headers of answers that web pages may read. Those of uploads are
// what Google's SDKs go by in a browser.
var exposed = strings.Join([]string{
	"request-id", "x-request-id", "x-gemini-balance-model", "x-gemini-balance-key", "x-gemini-balance-attempts", "retry-after", "retry-after-ms",
	"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
	"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "x-should-retry",
	"anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset",
	"anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset",
	"x-goog-upload-url", "x-goog-upload-control-url", "x-goog-upload-status", "x-goog-upload-size-received", "x-goog-upload-chunk-granularity",
	"location", "content-range", "content-disposition", "accept-ranges", "etag",
}, ", ")

// cors sets the headers that let web pages of the configured origins read the
// answer, and answers OPTIONS. Credentials mode stays off: keys travel in
// headers that the page sets itself. Source: specs/gateways.md W5.
func (g *Gateway) cors(w http.ResponseWriter, r *http.Request, methods string) (answered bool) {
	h := w.Header()
	if origin := r.Header.Get("Origin"); origin != "" && len(g.CORS) > 0 {
		h.Add("Vary", "Origin")
		switch {
		case slices.Contains(g.CORS, "*"):
			h.Set("Access-Control-Allow-Origin", "*")
		case slices.Contains(g.CORS, origin):
			h.Set("Access-Control-Allow-Origin", origin)
		}
		if h.Get("Access-Control-Allow-Origin") != "" {
			h.Set("Access-Control-Expose-Headers", exposed)
			if r.Method == http.MethodOptions {
				h.Set("Access-Control-Allow-Methods", methods+", OPTIONS")
				if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
					h.Set("Access-Control-Allow-Headers", asked)
				}
				h.Set("Access-Control-Max-Age", "86400")
			}
		}
	}
	if r.Method != http.MethodOptions || methods == "" { // what is not served has no options
		return false
	}
	h.Set("Allow", methods+", OPTIONS")
	w.WriteHeader(http.StatusNoContent)
	return true
}
