// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http"
	"strings"
)

// route is one operation. The zero value of each field is the strict one.
type route struct {
	method  string
	path    string   // segments, one of which may be {id}
	params  []string // query parameters it takes; any other is an error
	operate operation
	needs   access

	// idempotent has a repetition with the same Idempotency-Key answered as the
	// first one was: for what makes something.
	idempotent bool
	// secret says that the answer has a secret, which is kept nowhere.
	secret bool
	// quiet leaves successes out of the audit log: for what changes nothing that
	// matters.
	quiet bool
	// accepts has media types of bodies that it takes beside JSON.
	accepts []string
	// maxBody bounds the body in bytes; 0 is [maxBody].
	maxBody int64
	// streams leaves the body to the operation, which reads it from the request,
	// bounded by maxBody.
	streams bool
}

// operation answers a call with a status and a body: nil for none, a [stream], or
// what is written as JSON.
type operation func(a *api, c *call) (status int, body any, err error)

// stream writes an answer that is no JSON document or that is never whole in
// memory. It sets its own headers, and the status if that is not 200. An error
// before the first byte becomes a problem; after it the connection is cut, so that
// no client takes a part for the whole.
type stream func(w http.ResponseWriter) error

// access is who may use a route.
type access uint8

const (
	// needsRole is the default: viewers may read, admins may do everything.
	needsRole access = iota
	// needsAdmin is for reading what viewers must not see.
	needsAdmin
	// needsSudo is for admins who gave the admin key within the last minutes:
	// secrets and what cannot be undone.
	needsSudo
	// needsSession is for everybody who is signed in, whatever the role: their own
	// session.
	needsSession
	// needsNone is for everybody: signing in, first run.
	needsNone
)

func (n access) String() string {
	return [...]string{"role", "admin", "sudo", "session", "none"}[n]
}

// reads tells whether a method changes nothing.
func reads(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
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
	rest := rt.path[1:]
	for i, part := range path {
		want, after, more := strings.Cut(rest, "/")
		switch {
		case more != (i < len(path)-1):
			return "", false
		case want == "{id}":
			id = part
		case want != part:
			return "", false
		}
		rest = after
	}
	return id, len(path) > 0
}
