// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

var (
	hostName   = regexp.MustCompile(`^[A-Za-z0-9._-]+(?::[0-9]{1,5})?$|^\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?$`)
	pathPrefix = regexp.MustCompile(`^(?:/[A-Za-z0-9._~-]+)+$`)
)

// publicURL is the address that a request's client reached this server by: scheme,
// host and the prefix that handle_path took off the path. What X-Forwarded-Proto,
// -Host and -Prefix say counts where they come from a proxy that the server trusts.
func publicURL(r *http.Request) string {
	scheme, host, path := "http", r.Host, r.RequestURI
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		path = original.RequestURI // it has neither Host nor TLS
	}
	if r.TLS != nil {
		scheme = "https"
	}
	path, _, _ = strings.Cut(path, "?")
	prefix, ok := strings.CutSuffix(path, r.URL.EscapedPath())
	if prefix = strings.TrimRight(prefix, "/"); !ok || !strings.HasPrefix(prefix, "/") {
		prefix = ""
	}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted {
		if proto := strings.ToLower(forwarded(r, "X-Forwarded-Proto")); proto == "http" || proto == "https" {
			scheme = proto
		}
		if h := forwarded(r, "X-Forwarded-Host"); hostName.MatchString(h) {
			host = h
		}
		if p := strings.TrimRight(forwarded(r, "X-Forwarded-Prefix"), "/"); pathPrefix.MatchString(p) {
			prefix = p + prefix
		}
	}
	return scheme + "://" + host + prefix
}

// forwarded is what the first of several proxies has seen.
func forwarded(r *http.Request, name string) string {
	first, _, _ := strings.Cut(r.Header.Get(name), ",")
	return strings.TrimSpace(first)
}
