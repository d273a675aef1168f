// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Google names files by URIs of its own host. Where clients reach the gateway by
// https, they are told URIs of the gateway instead, because SDKs download from the
// address that they read; what comes back in requests is Google's again. By plain
// http nothing is rewritten: half of the SDKs know no file by an http address.
// Source: specs/native-anthropic.md A.7.

// googleURL begins the URIs of files, whatever host requests are sent to.
const googleURL = "https://generativelanguage.googleapis.com"

// publicURL is the address that a client reached the gateway by: scheme, host and
// the prefix that was taken off the path before, without a slash at its end.
func publicURL(r *http.Request) string {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	prefix, ok := strings.CutSuffix(path, r.URL.EscapedPath())
	if !ok || !strings.HasPrefix(prefix, "/") {
		prefix = ""
	}
	return scheme + r.Host + strings.TrimRight(prefix, "/")
}

// publicURI is the address at the gateway of a file's URI of Google's; any other
// URI is returned as it is, as are all where the gateway is reached by plain http.
func (x *exchange) publicURI(google string) string {
	rest, ok := strings.CutPrefix(google, googleURL)
	if !ok || !filePath.MatchString(rest) {
		return google
	}
	if base := x.publicBase(); base != "" {
		return base + rest
	}
	return google
}

// publicBase begins the URIs that clients are told; "" where they are told
// Google's. SDKs find a file's id behind the first "files/" of its URI.
func (x *exchange) publicBase() string {
	base := x.g.PublicURL(x.r)
	if !strings.HasPrefix(base, "https://") || strings.Contains(base, "files/") {
		return ""
	}
	return base
}

var (
	filePath = regexp.MustCompile(`^(?:/download)?/v1(?:beta|alpha)?/(?:files|generatedFiles)/`)
	// ownFile finds in a URI its host, what Google knows the file by, and the query.
	ownFile = regexp.MustCompile(`^(?i:https?)://([^/?#@]+)(?:/[^?#]*?)??((?:/download)?/v1(?:beta|alpha)?/(?:files|generatedFiles)/[A-Za-z0-9_-]+(?::download)?)(?:\?([^#]*))?$`)
)

// googleURI is the URI at Google of a file that a request names by an address of
// the gateway, with or without the path prefix and by either scheme. Any other URI
// is returned as it is.
func (x *exchange) googleURI(own string) string {
	if !strings.Contains(own, "iles/") || strings.HasPrefix(own, googleURL+"/") {
		return own
	}
	m := ownFile.FindStringSubmatch(own)
	if m == nil {
		return own
	}
	public, err := url.Parse(x.g.PublicURL(x.r))
	if err != nil || !strings.EqualFold(m[1], public.Host) {
		return own
	}
	google := googleURL + m[2]
	if m[3] != "" { // may hold a user key, as ai-sdk appends it
		query, _ := url.ParseQuery(m[3])
		query.Del("key")
		if encoded := query.Encode(); encoded != "" {
			google += "?" + encoded
		}
	}
	return google
}

// publicBody is a document of Google's with the URIs of files as publicURI has
// them, and otherwise byte for byte as it came. It returns body where nothing is
// to be rewritten, and does not change it.
func (x *exchange) publicBody(body []byte) []byte {
	const opening = `"` + googleURL
	if !bytes.Contains(body, []byte(opening)) {
		return body
	}
	base := x.publicBase()
	if base == "" {
		return body
	}
	out := make([]byte, 0, len(body)+256)
	for rest := body; ; {
		i := bytes.Index(rest, []byte(opening))
		if i < 0 {
			return append(out, rest...)
		}
		before, after := rest[:i], rest[i+len(opening):]
		out = append(out, before...)
		if out = append(out, '"'); uriMember(before) && filePath.Match(after[:min(len(after), 64)]) {
			out = append(out, base...)
		} else {
			out = append(out, googleURL...)
		}
		rest = after
	}
}

// uriMember reports whether a document that goes on with a string goes on with the
// value of a member that names a file. A quote in a string is escaped, so that no
// text can look like a member.
func uriMember(before []byte) bool {
	before, ok := bytes.CutSuffix(bytes.TrimRight(before, " \t\r\n"), []byte(":"))
	before = bytes.TrimRight(before, " \t\r\n")
	for _, name := range []string{`"uri"`, `"downloadUri"`, `"download_uri"`} {
		if ok && bytes.HasSuffix(before, []byte(name)) && !bytes.HasSuffix(before, []byte(`\`+name)) {
			return true
		}
	}
	return false
}
