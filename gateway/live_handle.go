// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// What Live sessions leave behind is found by the secret alone, so that another
// user's is known to be one: records are kept under a name of no user, with their
// owner in them, and by a hash, because whoever has a handle has the session.
const (
	liveOwner      = "@live"
	liveHandleKind = "live/"
	liveTokenKind  = "auth_tokens/" //nolint:gosec // a collection of Google's, no token

	// liveHandleLife is how long a handle is remembered. Google honours it for two
	// hours after the session's end. Source: specs/native-anthropic.md A.2.
	liveHandleLife = 3 * time.Hour
)

func liveName(kind, secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return kind + hex.EncodeToString(sum[:])
}

// resumeSession binds the request to the project that the handle of a session came from,
// "" for a new session. A handle that nobody here has seen is Google's to judge;
// another user's does not exist.
func (x *exchange) resumeSession(handle string) *translate.Failure {
	if handle == "" || x.g.Resources == nil {
		return nil
	}
	res, err := x.g.Resources.get(liveOwner, liveName(liveHandleKind, handle))
	switch {
	case errors.Is(err, errNoResource):
		return nil
	case err != nil:
		return storeFailed("The session could not be looked up")
	case res.Owner != x.record.UserID:
		return &translate.Failure{Kind: translate.NotFound, Message: "The session to resume does not exist, or its handle has expired. Start a new one without setup.sessionResumption.handle."}
	}
	return x.refer(res)
}

// liveHandles remembers the handles of a session.
type liveHandles struct {
	bound balancer.Binding
	last  string
}

// remember keeps a handle before the client has it. A failing store costs that the
// session may be resumed in another project, where Google does not know it.
func (l *liveSession) remember(handle string) {
	l.handles.last = handle
	l.keepHandle()
}

// keepHandle writes the last handle, whose time to live begins again.
func (l *liveSession) keepHandle() {
	x, h := l.x, &l.handles
	if h.last == "" || x.g.Resources == nil {
		return
	}
	now := time.Now()
	_ = x.g.Resources.put(liveOwner, resource{
		Name: liveName(liveHandleKind, h.last), Bound: h.bound, Owner: x.record.UserID,
		Created: now, Expires: now.Add(liveHandleLife),
	}, false)
}

// file checks a file that the session names, by Google's URI of it: it must be the
// user's, and in the project that the session is in.
func (l *liveSession) file(uri string) *translate.Failure {
	x := l.x
	part := &exchange{g: x.g, r: x.r, rt: x.rt}
	part.record.UserID = x.record.UserID
	part.refs = references{bound: &l.handles.bound, list: []resource{{Name: "this session"}}}
	m := mentions{x: part}
	m.address(uri)
	return m.failure
}
