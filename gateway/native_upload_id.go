// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

const (
	// uploadLife is how long an upload can be gone on with; Google forgets it by then.
	uploadLife  = 7 * 24 * time.Hour
	maxUploadID = 4 << 10 // bytes
	// uploadSeal is the id that upload ids are sealed under.
	uploadSeal = "upload ids"
)

// uploadSession is an upload that Google waits for the bytes of. All of it is in the
// upload id that the client has, sealed, so that any gateway with this store's
// master key can go on, and so that the id is the credential that half of the SDKs
// send their chunks without.
// Source: specs/native-anthropic.md A.6.
type uploadSession struct {
	User    string           `json:"user"`
	Bound   balancer.Binding `json:"bound"`
	URL     string           `json:"url"` // of the upload at Google
	Expires int64            `json:"expires"`
}

// sealUpload makes the upload id.
func (r *Resources) sealUpload(s uploadSession) string {
	plain, _ := json.Marshal(s) // strings and a number have no errors
	return base64.RawURLEncoding.EncodeToString(r.sealer.Seal(uploadSeal, plain))
}

// openUpload reads an upload id. ok is false for one that was not made here, was
// changed, or has expired.
func (r *Resources) openUpload(id string, now time.Time) (s uploadSession, ok bool) {
	if len(id) > maxUploadID {
		return s, false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil {
		return s, false
	}
	plain, err := r.sealer.Open(uploadSeal, sealed)
	if err != nil || json.Unmarshal(plain, &s) != nil {
		return s, false
	}
	return s, now.Unix() < s.Expires
}

// resume stands for authenticating where a request has an upload id: its user is
// the one who started the upload. The limits that count requests were asked then.
func (x *exchange) resume() *translate.Failure {
	refused := &translate.Failure{
		Kind:    translate.Forbidden,
		Message: "The upload id is not valid, or has expired. Start the upload again.",
	}
	if x.g.Resources == nil {
		return refused
	}
	s, ok := x.g.Resources.openUpload(x.r.URL.Query().Get("upload_id"), x.accepted)
	if !ok || s.User == "" && !x.g.Anonymous {
		return refused
	}
	// Google's SDKs repeat their key here. One that is another user's did not come by
	// this id honestly; anything else that is no key of ours is of no interest.
	if secret, err := credential(x.r, x.rt.dialect); err == nil && secret != "" {
		if account, err := x.g.Users.Authenticate(secret); err == nil && account.Key().ID != s.User {
			return refused
		}
	}
	x.session, x.refs.bound = &s, &s.Bound
	if s.User == "" {
		return nil
	}
	account, err := x.g.Users.Account(s.User)
	switch {
	case errors.Is(err, users.ErrUnknownKey) || errors.Is(err, users.ErrExpired) || errors.Is(err, users.ErrDisabled):
		return refused
	case err != nil:
		return storeFailed("The upload cannot go on")
	}
	x.account, x.record.UserID = account, s.User
	if refusal := account.Permits(x.accepted, string(x.rt.dialect), x.address()); refusal != nil {
		return refusedByLimits(refusal)
	}
	return nil
}

// target is the upload's own URL, nil where that is not at the host that requests
// go to.
func (x *exchange) uploadTarget(address string) *url.URL {
	u, err := url.Parse(address)
	if err != nil || u.Host != x.g.Upstream.Host() || u.Path == "" || u.RawQuery == "" {
		return nil
	}
	return u
}
