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
	"os"
	"slices"
	"strings"
	"time"
)

// maxBody bounds a request body: 1,000 Gemini keys with room to spare.
const maxBody = 8 << 20

// maxGuestBody bounds what is read of somebody who has shown no key: a key and a
// token fit many times. Source: specs/gateways.md D3.
const maxGuestBody = 8 << 10

// bodyTime is how long a body may take to come, so that nobody holds connections
// open with bodies that never end. Our choice: 16 MiB at 1 Mbit/s.
const bodyTime = 2 * time.Minute

// ServeHTTP implements [http.Handler].
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := "adm_" + rand.Text()
	header(w.Header(), requestID)
	status, body, err := a.serve(w, r, requestID)
	if err != nil {
		writeProblem(w, asProblem(err), requestID)
		return
	}
	switch body := body.(type) {
	case nil:
		w.WriteHeader(status)
	case stream:
		writeStream(w, body, requestID)
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

// writeStream lets a [stream] write. Where it fails after it began, the connection
// is cut: that is the only way left to say so.
func writeStream(w http.ResponseWriter, body stream, requestID string) {
	begun := &beginning{ResponseWriter: w}
	err := body(begun)
	switch {
	case err == nil && !begun.yet:
		w.WriteHeader(http.StatusOK)
	case err != nil && begun.yet:
		panic(http.ErrAbortHandler)
	case err != nil:
		w.Header().Del("Content-Disposition")
		writeProblem(w, asProblem(err), requestID)
	}
}

// beginning notices whether an answer has begun.
type beginning struct {
	http.ResponseWriter
	yet bool
}

func (b *beginning) WriteHeader(status int) {
	b.yet = true
	b.ResponseWriter.WriteHeader(status)
}

func (b *beginning) Write(p []byte) (int, error) {
	b.yet = true
	return b.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (b *beginning) Unwrap() http.ResponseWriter { return b.ResponseWriter }

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

// serve is the way of a request, read top-down. Nothing but the pages and what
// needs no key is answered before the client was authenticated, on the same path
// that is routed.
func (a *api) serve(w http.ResponseWriter, r *http.Request, requestID string) (status int, body any, err error) {
	path, err := segments(r.URL)
	if err != nil {
		return 0, nil, err
	}
	if page, ok, err := a.page(w, r, path); ok {
		return http.StatusOK, page, err
	}
	rt, id, allow := match(r.Method, path)
	c := &call{Request: r, requestID: requestID, header: w.Header(), actor: actor{ip: a.ClientIP(r)}, route: rt, id: id}
	if err := a.authenticate(c); err != nil {
		if p := asProblem(err); p.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="gemini-balance admin"`)
			if p.Code == "missing_admin_key" && a.ui != nil {
				p.Detail += " People sign in at /admin/ui/."
			}
		}
		return 0, nil, err
	}
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
	if err := a.authorize(c); err != nil {
		return 0, nil, err
	}
	if c.query, err = parameters(r.URL.RawQuery, rt.params); err != nil {
		return 0, nil, err
	}
	if c.body, err = readBody(w, r, rt); err != nil {
		return 0, nil, err
	}
	return a.operate(c)
}

// operate runs the operation of a call that may be made, once where the client asks
// for that, and writes it down.
func (a *api) operate(c *call) (status int, body any, err error) {
	operate := func() (int, any, error) { return c.route.operate(a, c) }
	if c.route.idempotent {
		status, body, err = a.State.once.do(c, operate)
	} else {
		status, body, err = operate()
	}
	if err == nil {
		err = a.audit(c)
	}
	return status, body, err
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

// readBody reads a JSON body, or one of another type that the route accepts; no
// body is fine here, since some operations have none. Browsers cannot send JSON
// across sites without asking first. Of a route that streams only the type is
// checked.
func readBody(w http.ResponseWriter, r *http.Request, rt *route) ([]byte, error) {
	if reads(r.Method) {
		return nil, nil
	}
	most := rt.maxBody
	if most == 0 {
		most = maxBody
	}
	r.Body = http.MaxBytesReader(w, r.Body, most)
	if rt.streams {
		return nil, checkType(r, rt)
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTime)) // not all writers know deadlines
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, bodyProblem(err) // with the deadline, so that nobody waits for the rest
	}
	_ = rc.SetReadDeadline(time.Time{})
	if len(body) == 0 {
		return nil, nil
	}
	return body, checkType(r, rt)
}

func checkType(r *http.Request, rt *route) error {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || t != "application/json" && !slices.Contains(rt.accepts, t) {
		also := ""
		if rt.accepts != nil {
			also = "; this route takes " + strings.Join(rt.accepts, ", ") + " as well"
		}
		return problem(http.StatusUnsupportedMediaType, "not_json", "Send JSON with the header Content-Type: application/json"+also+".")
	}
	if r.Header.Get("Content-Encoding") != "" {
		return problem(http.StatusUnsupportedMediaType, "encoded_body", "Send the body without Content-Encoding.")
	}
	return nil
}

// bodyProblem words what went wrong while a body was read.
func bodyProblem(err error) error {
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem(http.StatusRequestEntityTooLarge, "body_too_large", "The body is larger than "+megabytes(large.Limit)+". Send it in several requests.")
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return problem(http.StatusRequestTimeout, "body_too_slow", "The body took longer than "+bodyTime.String()+". Send it in several requests.")
	}
	return problem(http.StatusBadRequest, "body_incomplete", "The body ended before it was complete.")
}
