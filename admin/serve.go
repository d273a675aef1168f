// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxBody bounds a request body: 1,000 Gemini keys with room to spare.
const maxBody = 8 << 20

// call is one authenticated, checked request.
type call struct {
	*http.Request
	id    string     // the {id} of the path
	query url.Values // only parameters that the route takes, each once
	body  []byte
}

// ServeHTTP implements [http.Handler].
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := "adm_" + rand.Text()
	header(w.Header(), requestID)
	status, body, err := a.serve(w, r)
	if err != nil {
		writeProblem(w, asProblem(err), requestID)
		return
	}
	switch body := body.(type) {
	case nil:
		w.WriteHeader(status)
	case page:
		body.write(w)
	case json.RawMessage:
		writeJSON(w, status, body)
	default:
		encoded, err := json.Marshal(body)
		if err != nil {
			writeProblem(w, asProblem(err), requestID)
			return
		}
		writeJSON(w, status, encoded)
	}
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // an error means that the client is gone
}

// header sets what every answer carries. CORS headers are absent on purpose.
// Source: specs/ui.md §5, specs/gateways.md W4, W5.
func header(h http.Header, requestID string) {
	h.Set("X-Request-Id", requestID)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}

// serve is the way of a request, read top-down. Nothing but the landing page is
// answered before the admin key was checked, on the same path that is routed.
func (a *api) serve(w http.ResponseWriter, r *http.Request) (status int, body any, err error) {
	path, err := segments(r.URL)
	if err != nil {
		return 0, nil, err
	}
	if page, ok, err := landing(w, r, path); ok || err != nil {
		return http.StatusOK, page, err
	}
	if err := a.guard.authenticate(r, a.ClientIP(r)); err != nil {
		if err.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="gemini-balance admin"`)
		}
		return 0, nil, err
	}
	rt, id, allow := match(r.Method, path)
	switch {
	case allow == "":
		return 0, nil, problem(http.StatusNotFound, "route_not_found", "There is no such admin route; GET /admin/openapi.json describes those there are.")
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", allow)
		return http.StatusNoContent, nil, nil
	case rt == nil:
		w.Header().Set("Allow", allow)
		return 0, nil, problem(http.StatusMethodNotAllowed, "method_not_allowed", "This route takes "+allow+".")
	}
	c := &call{Request: r, id: id}
	if err := a.checkOrigin(r); err != nil {
		return 0, nil, err
	}
	if c.query, err = parameters(r.URL.RawQuery, rt.params); err != nil {
		return 0, nil, err
	}
	if c.body, err = readBody(w, r); err != nil {
		return 0, nil, err
	}
	return rt.operate(a, c)
}

// segments cuts the path into its parts. There is one form of each path: slashes
// may be doubled or trail, everything else that could name the same resource in
// another way is refused. Source: specs/gateways.md W2.
func segments(u *url.URL) ([]string, error) {
	if strings.ContainsAny(u.EscapedPath(), `%;\`) {
		return nil, problem(http.StatusBadRequest, "invalid_path", "Admin paths have no escapes, semicolons or backslashes.")
	}
	parts := strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' })
	if slices.Contains(parts, ".") || slices.Contains(parts, "..") {
		return nil, problem(http.StatusBadRequest, "invalid_path", "Admin paths have no . or .. in them.")
	}
	return parts, nil
}

// match finds the route for a method and the {id} in the path. allow lists the
// methods of the path, "" if there is no such path.
func match(method string, path []string) (found *route, id, allow string) {
	if method == http.MethodHead {
		method = http.MethodGet // net/http drops the body
	}
	pattern := ""
	var allowed []string
	for i := range routes {
		rt := &routes[i]
		if pattern == "" {
			if rtID, ok := rt.matches(path); ok {
				pattern, id = rt.path, rtID
			}
		}
		if rt.path != pattern {
			continue
		}
		if rt.method == method {
			found = rt
		}
		if allowed = append(allowed, rt.method); rt.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	if allowed != nil {
		allowed = append(allowed, http.MethodOptions)
	}
	return found, id, strings.Join(allowed, ", ")
}

func (rt *route) matches(path []string) (id string, ok bool) {
	pattern := strings.Split(rt.path[1:], "/")
	if len(pattern) != len(path) {
		return "", false
	}
	for i, part := range pattern {
		switch {
		case part == "{id}":
			id = path[i]
		case part != path[i]:
			return "", false
		}
	}
	return id, true
}

// checkOrigin refuses what another site makes a browser send. The header that
// authenticates cannot be sent across sites without CORS, which is off; this is
// the second lock. Scripts send neither Origin nor Sec-Fetch-Site and pass.
func (a *api) checkOrigin(r *http.Request) error {
	if a.origin.Check(r) != nil {
		return problem(http.StatusForbidden, "cross_origin", "This request comes from a page of another site; changes are taken from this site and from scripts only.")
	}
	return nil
}

// parameters reads the query. Unknown, repeated and malformed ones are errors, so
// that a typing error does not become an unfiltered list.
func parameters(rawQuery string, known []string) (url.Values, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, problem(http.StatusBadRequest, "invalid_query", "The query string is malformed.")
	}
	var faults []fieldError
	for name, values := range query {
		switch {
		case !slices.Contains(known, name):
			faults = append(faults, fieldError{clip(name), "unknown_parameter", "is not a parameter of this route" + hint(known)})
		case len(values) > 1:
			faults = append(faults, fieldError{name, "repeated_parameter", "is given more than once"})
		}
	}
	return query, invalid("invalid_query", faults)
}

func hint(known []string) string {
	if len(known) == 0 {
		return "; it takes none"
	}
	return "; it takes " + strings.Join(known, ", ")
}

// readBody reads a JSON body; no body is fine here, since some operations have
// none. Browsers cannot send JSON across sites without asking first.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, problem(http.StatusRequestEntityTooLarge, "body_too_large", "The body is larger than 8 MiB. Send the keys in several requests.")
	}
	if err != nil {
		return nil, problem(http.StatusBadRequest, "body_incomplete", "The body ended before it was complete.")
	}
	if len(body) == 0 {
		return nil, nil
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, problem(http.StatusUnsupportedMediaType, "not_json", "Send JSON with the header Content-Type: application/json.")
	}
	if r.Header.Get("Content-Encoding") != "" {
		return nil, problem(http.StatusUnsupportedMediaType, "encoded_body", "Send the body without Content-Encoding.")
	}
	return body, nil
}
