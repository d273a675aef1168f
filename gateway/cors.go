// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"slices"
)

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
			h.Set("Access-Control-Expose-Headers", "x-request-id, x-gemini-balance-model, x-gemini-balance-key, x-gemini-balance-attempts, retry-after, retry-after-ms, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens")
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
