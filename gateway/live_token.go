// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Ephemeral tokens let a browser open a Live session without a user key. Google
// makes them for one project and serves whoever holds one; here its holder acts for
// the user who made it, as long as they come through the gateway. That Google serves
// them elsewhere, too, past all limits of the user key, is why they are off unless
// the operator wants them.
// Source: specs/native-anthropic.md A.12.

// liveToken is the ephemeral token of a request, "" for none. Only these are taken
// from there: a user key stands where all requests have it.
func liveToken(r *http.Request) string {
	for _, v := range r.Header["Authorization"] {
		if scheme, token, ok := strings.Cut(strings.TrimSpace(v), " "); ok && strings.EqualFold(scheme, "token") {
			return strings.TrimSpace(token)
		}
	}
	return r.URL.Query().Get("access_token")
}

// tokenHolder authenticates by an ephemeral token.
func (l *liveSession) tokenHolder() *translate.Failure {
	x := l.x
	if f := x.tokensServed(); f != nil {
		return f
	}
	if !strings.HasPrefix(l.token, liveTokenKind) || len(l.token) > maxCredential {
		return &translate.Failure{Kind: translate.Unauthenticated, Message: "access_token is no ephemeral token (auth_tokens/…)."}
	}
	res, err := x.g.Resources.get(liveOwner, liveName(liveTokenKind, l.token))
	switch {
	case errors.Is(err, errNoResource):
		return &translate.Failure{Kind: translate.Unauthenticated, Message: "The ephemeral token is unknown here or has expired."}
	case err != nil:
		return storeFailed("The ephemeral token could not be looked up")
	}
	if res.Owner != "" {
		if x.account, err = x.g.Users.Account(res.Owner); err != nil {
			return &translate.Failure{Kind: translate.Unauthenticated, Message: "The user key that made the ephemeral token is not valid any more."}
		}
		x.record.UserID = res.Owner
	}
	return x.refer(res)
}

// tokensServed refuses everything about ephemeral tokens where they are off.
func (x *exchange) tokensServed() *translate.Failure {
	if x.g.Live.Tokens == LiveTokensPassThrough && x.g.Resources != nil {
		return nil
	}
	return &translate.Failure{
		Kind:    translate.Forbidden,
		Message: "This gateway does not serve ephemeral tokens: a client that has one could go past it. Use a user key, or ask the operator for live { tokens passthrough }.",
	}
}

// authTokens makes an ephemeral token and remembers whose it is.
func (x *exchange) authTokens() *translate.Failure {
	if f := x.tokensServed(); f != nil {
		return f
	}
	body, f := x.readBody()
	if f == nil {
		x.body, f = x.tokenSetup(body)
	}
	if f == nil {
		_, f = x.mentioned()
	}
	if f != nil {
		return f
	}
	call := &translate.Call{Method: http.MethodPost, Path: "/" + x.rt.version + "/auth_tokens", Body: x.body, Asked: x.call.Asked}
	x.call = call
	if f := x.admit(); f != nil {
		return f
	}
	answer, bound, f := x.makeToken(call)
	if f != nil {
		return f
	}
	if f := x.keepToken(answer, bound); f != nil {
		return f
	}
	_ = x.out.answer(translate.Answer{Status: http.StatusOK, ContentType: "application/json; charset=UTF-8", Body: answer})
	return nil
}

// tokenSetup checks the model and the session that a token shall be for and puts in
// what an alias stands for.
func (x *exchange) tokenSetup(body []byte) ([]byte, *translate.Failure) {
	x.call = &translate.Call{}
	v, err := rawjson.Parse(body)
	if err != nil {
		return nil, &translate.Failure{Kind: translate.InvalidRequest, Message: "Invalid JSON payload received. " + err.Error()}
	}
	watch := &tokenWatch{}
	scan := jsonScan{watch: watch}
	scan.write(v)
	if watch.tooMuch {
		return nil, &translate.Failure{Kind: translate.InvalidRequest, Message: "The token has too many handles of sessions, or one that is too long."}
	}
	for _, handle := range watch.handles {
		if f := x.resumeSession(handle); f != nil {
			return nil, f
		}
	}
	switch {
	case watch.models == 0:
		return body, nil // any model that the user may use: the setup will name it
	case watch.models > 1 || watch.model.Kind() != rawjson.String:
		return nil, &translate.Failure{Kind: translate.InvalidRequest, Message: "The model of the token must be one string."}
	}
	asked := strings.TrimPrefix(watch.model.Text(), "models/")
	model := x.resolve(asked)
	if !gemini.ValidModelID(model) {
		return nil, &translate.Failure{Kind: translate.InvalidRequest, Message: "The model of the token is not the name of a model."}
	}
	x.call.Asked, x.record.Model = asked, model
	if f := x.offered(model); f != nil {
		return nil, f
	}
	if model == asked {
		return body, nil
	}
	out := append([]byte(nil), v[:watch.at-len(watch.model)]...)
	out = rawjson.AppendQuoted(out, "models/"+model)
	return append(out, v[watch.at:]...), nil
}

// maxTokenHandles is how many strings of the name of handles a token may have; one
// is a session's.
const maxTokenHandles = 16

// tokenWatch finds the model and the handle of a session in the body of auth_tokens,
// wherever its setup stands. A handle may be something else of that name, which then
// is none that was remembered.
type tokenWatch struct {
	models  int
	model   rawjson.Value
	at      int
	wanted  clientMember
	handles []string
	tooMuch bool // more handles than are looked up, or longer ones
}

// member implements memberWatch.
func (w *tokenWatch) member(_ int, name []byte) bool {
	switch string(name) {
	case "model":
		w.wanted = modelMember
	case "handle":
		w.wanted = handleMember
	default:
		return false
	}
	return true
}

// captured implements memberWatch.
func (w *tokenWatch) captured(_ int, value rawjson.Value, end int) {
	switch {
	case w.wanted == modelMember:
		w.models, w.model, w.at = w.models+1, append(rawjson.Value(nil), value...), end
	case value == nil, len(w.handles) == maxTokenHandles:
		w.tooMuch = true
	case value.Kind() == rawjson.String:
		w.handles = append(w.handles, value.Text())
	}
}

// makeToken asks Google for a token in the project of what its setup names, else in
// the user's home.
func (x *exchange) makeToken(call *translate.Call) (answer []byte, bound balancer.Binding, f *translate.Failure) {
	p := &sidePart{call: call}
	part := &exchange{
		g: x.g, r: x.r, rt: x.rt, accepted: x.accepted, ctx: x.ctx, account: x.account,
		conv: p, call: call, record: x.record, refs: x.refs, out: newClientWriter(discard{}),
	}
	part.record.Tries = nil
	attempt := func(lease *balancer.Lease) result {
		bound = lease.Binding()
		return part.attempt(lease)
	}
	if x.refs.bound != nil {
		want, retry := part.want()
		want.Unmetered = true
		f = part.try(want, retry, attempt)
	} else {
		f = part.make(attempt, func(*translate.Failure) bool { return false })
	}
	part.record.Attempts -= x.record.Attempts
	x.adopt(&part.record)
	return p.answer, bound, f
}

// keepToken remembers a token before its maker has it.
func (x *exchange) keepToken(answer []byte, bound balancer.Binding) *translate.Failure {
	var made struct {
		Name   string    `json:"name"`
		Expire time.Time `json:"expireTime"`
	}
	if err := json.Unmarshal(answer, &made); err != nil || !strings.HasPrefix(made.Name, liveTokenKind) {
		return &translate.Failure{Kind: translate.MalformedAnswer, Message: "Gemini's answer has no ephemeral token."}
	}
	if made.Expire.IsZero() {
		made.Expire = x.accepted.Add(liveTokenLife)
	}
	err := x.g.Resources.put(liveOwner, resource{
		Name: liveName(liveTokenKind, made.Name), Bound: bound, Owner: x.record.UserID, Created: x.accepted, Expires: made.Expire,
	}, true)
	if err != nil {
		return storeFailed("The ephemeral token was not kept")
	}
	return nil
}

// liveTokenLife is how long a token lives that does not say so.
// Source: ai.google.dev, ephemeral tokens.
const liveTokenLife = 30 * time.Minute
