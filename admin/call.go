// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// call is one authenticated, checked request.
type call struct {
	*http.Request
	requestID string
	actor     actor
	route     *route
	id        string     // the {id} of the path
	query     url.Values // only parameters that the route takes, each once
	body      []byte     // nil if the route streams

	header http.Header // of the answer
	object string      // for the audit log; "" is id
	notes  []string    // for the audit log
	silent bool        // nothing was changed, so nothing is written down
}

// actor is who makes a call.
type actor struct {
	role role
	via  string // "session", "header"; "" for a guest
	ip   netip.Addr
	key  [32]byte // SHA-256 of the key that opened the way
	// session is that of the cookie, nil without.
	session *session
}

// note adds to the line of the audit log what the route and the id do not tell:
// "disabled 12 keys". It must hold no secret.
func (c *call) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// changed notes the old and the new value of a field. They must be no secrets.
func (c *call) changed(field string, from, to any) { c.note("%s: %v → %v", field, from, to) }

// about names the object in the audit log where it is not in the path, such as
// what was made.
func (c *call) about(id string) { c.object = id }

// etag gives the version of the object in the answer. tag is any text without
// quotes, such as a hash.
func (c *call) etag(tag string) { c.header.Set("ETag", `"`+tag+`"`) }

// ifMatch refuses a change of another version than the client knows. tag is that
// of [call.etag]; the client names it in If-Match, or leaves that out to change
// whatever is there. The caller holds what keeps others from changing the object
// between this and the change.
func (c *call) ifMatch(tag string) error {
	values := c.Header.Values("If-Match")
	if len(values) == 0 {
		return nil
	}
	for known := range strings.SplitSeq(strings.Join(values, ","), ",") {
		// W/ is never equal to anything here. Source: RFC 9110 §13.1.1.
		if known = strings.TrimSpace(known); known == "*" || known == `"`+tag+`"` {
			return nil
		}
	}
	return problem(http.StatusPreconditionFailed, "changed", "Somebody changed this in the meantime; nothing was changed now. Read it again, then send the change with the new ETag.")
}
