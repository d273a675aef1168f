// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// maxCredential bounds what is looked at; a user key is far shorter.
const maxCredential = 512

var errConflict = errors.New("two different credentials")

// credential finds the user key of a request, "" if there is none. All dialects
// share it, so that no endpoint has a policy of its own: Authorization: Bearer,
// x-api-key, x-goog-api-key and ?key= count alike, empty ones count as absent,
// and two that differ are an error. Only where Anthropic's API is asked, x-api-key
// outdoes a bearer token, which Claude Code may bring from another login.
// Source: specs/gateways.md A3; specs/native-anthropic.md A.4 and C.0.
func credential(r *http.Request, d Dialect) (found string, err error) {
	take := func(s string) {
		switch s = strings.TrimSpace(s); {
		case s == "" || s == found:
		case found == "":
			found = s
		default:
			err = errConflict
		}
	}
	for _, v := range r.Header["X-Api-Key"] {
		take(v)
	}
	for _, v := range r.Header["Authorization"] {
		if d == Anthropic && found != "" {
			break
		}
		if scheme, token, ok := strings.Cut(strings.TrimSpace(v), " "); ok && strings.EqualFold(scheme, "bearer") {
			take(token)
		}
	}
	for _, v := range r.Header["X-Goog-Api-Key"] {
		take(v)
	}
	if r.URL.RawQuery != "" {
		for _, v := range r.URL.Query()["key"] {
			take(v)
		}
	}
	if len(found) > maxCredential {
		return "", users.ErrUnknownKey
	}
	return found, err
}

// keyInURL refuses ?key= where that is off, whatever else the request brings: who is
// refused learns that the key was seen where URLs are, and nobody goes on sending it.
func (x *exchange) keyInURL() *translate.Failure {
	if x.r.URL.RawQuery == "" || x.site().queryKey || strings.Join(x.r.URL.Query()["key"], "") == "" {
		return nil
	}
	return &translate.Failure{
		Kind: translate.InvalidRequest, Code: "key_in_url",
		Message: "This gateway takes no API keys in URLs (?key=), where logs and proxies keep them. Send it in the header x-goog-api-key or Authorization: Bearer, and ask its operator for another one.",
	}
}

// authenticate sets x.account, which stays nil for anonymous requests.
func (x *exchange) authenticate() *translate.Failure {
	secret, err := credential(x.r, x.rt.dialect)
	if err == nil {
		switch {
		case secret == "" && x.g.Anonymous:
			return nil
		case secret == "":
			return &translate.Failure{
				Kind: translate.Unauthenticated, Code: "missing_api_key",
				Message: "No API key was sent. Send your user key in the header Authorization: Bearer <key>, x-api-key or x-goog-api-key.",
			}
		}
		user, only, ok := x.g.Guests.find(secret, x.accepted)
		x.guest, x.only = ok, only
		if !ok {
			x.account, err = x.g.Users.Authenticate(secret)
		} else if user == "" {
			x.record.UserID = Guest
			return nil
		} else {
			x.account, err = x.g.Users.Account(user)
		}
	}
	switch {
	case err == nil:
		x.record.UserID = x.account.Key().ID
		return nil
	case errors.Is(err, errConflict):
		return &translate.Failure{
			Kind:    translate.InvalidRequest,
			Message: "Two different API keys were sent in this request (Authorization, x-api-key, x-goog-api-key, ?key=). Send one.",
		}
	case errors.Is(err, users.ErrUnknownKey) && x.g.Anonymous && !strings.HasPrefix(secret, "gb-"):
		return nil // SDKs cannot be used without some key
	case errors.Is(err, users.ErrUnknownKey):
		return &translate.Failure{
			Kind:    translate.Unauthenticated,
			Message: "Incorrect API key provided. This gateway expects a user key (gb-…), which its operator hands out; Gemini and OpenAI keys do not work here.",
		}
	case errors.Is(err, users.ErrExpired):
		return &translate.Failure{Kind: translate.Unauthenticated, Message: "This user key has expired. Ask the gateway's operator for a new one."}
	case errors.Is(err, users.ErrDisabled):
		return &translate.Failure{Kind: translate.Unauthenticated, Message: "This user key is disabled. Ask the gateway's operator."}
	default:
		return &translate.Failure{Kind: translate.Overloaded, Message: "The gateway could not check the user key: its store does not answer. Try again."}
	}
}
