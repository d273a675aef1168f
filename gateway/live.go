// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/native"
)

// A Live session is a WebSocket that is relayed. Which Gemini key serves it can
// only be told from its first frame, the setup:
//
//	authenticate → upgrade → setup → admit → (lease → dial → setup)* → relay → settle
//
// Until Google has answered the setup, any key may take over, as with every
// request; from then on frames pass in both directions as they are.
// Source: specs/native-anthropic.md A.12.

const (
	liveSetupWait  = 10 * time.Second
	maxLiveSetup   = 1 << 20  // bytes
	maxLiveMessage = 16 << 20 // bytes
	maxCloseReason = 123      // bytes, by RFC 6455
)

// Live bounds the sessions of Gemini's Live API. Zero fields take the defaults.
type Live struct {
	Idle   time.Duration // without a message in either direction; 15 min
	MaxAge time.Duration // of a session; 2 h
	// Tokens says what becomes of ephemeral tokens: LiveTokensOff, the default, or
	// LiveTokensPassThrough.
	Tokens string
	// Closing ends all sessions, in an orderly way and after 2 seconds of notice, when
	// it is closed; nil never.
	Closing <-chan struct{}
	// Leaving, when it is closed, tells that Closing will be after LiveNotice, for
	// clients to hear of it; nil never.
	Leaving <-chan struct{}
}

// The words for Live.Tokens.
const (
	LiveTokensOff         = "off"
	LiveTokensPassThrough = "passthrough"
)

// liveSession is a session before and while it is relayed. It is its exchange's
// translate.Exchange, as far as a session has one.
type liveSession struct {
	translate.Exchange
	x       *exchange
	token   string // ephemeral, instead of a user key; "" for none
	setup   *liveSetup
	client  *liveSide
	watch   serverWatch
	refused *websocket.CloseError // how Google ended the last attempt; nil for otherwise
	handles liveHandles
	call    translate.Call
}

// Call implements translate.Exchange.
func (l *liveSession) Call() *translate.Call { return &l.call }

// Unsign implements translate.Exchange.
func (l *liveSession) Unsign() bool { return false }

// Usage implements translate.Exchange.
func (l *liveSession) Usage() gemini.Usage { return l.watch.usage.total() }

// Error implements translate.Exchange.
func (l *liveSession) Error(f *translate.Failure) translate.Answer { return native.Error(f) }

// live serves a Live session. A failure it returns has not been told: the
// connection is no WebSocket yet.
func (x *exchange) live() *translate.Failure {
	l := &liveSession{x: x}
	for _, step := range []func() *translate.Failure{l.upgradable, l.origin, l.authenticate} {
		if f := step(); f != nil {
			return f
		}
	}
	if !l.accept() {
		return nil
	}
	defer l.client.force() // which must not outlive the handler
	x.g.Open.Sessions.Add(1)
	defer x.g.Open.Sessions.Add(-1)
	x.conv, x.call, x.record.Stream = l, &l.call, true
	f := l.begin()
	if f == nil {
		f = l.serve()
	}
	if f != nil {
		l.refuse(f)
	}
	return nil
}

// upgradable checks what the library would refuse in words that no client of
// Google's understands.
func (l *liveSession) upgradable() *translate.Failure {
	h := l.x.r.Header
	has := func(name, token string) bool {
		return slices.ContainsFunc(strings.Split(strings.Join(h[name], ","), ","), func(s string) bool {
			return strings.EqualFold(strings.TrimSpace(s), token)
		})
	}
	switch {
	case !has("Connection", "upgrade") || !has("Upgrade", "websocket"):
		return &translate.Failure{Kind: translate.InvalidRequest, Message: "This endpoint speaks WebSocket; send an upgrade request."}
	case h.Get("Sec-Websocket-Version") != "13" || len(h["Sec-Websocket-Key"]) != 1:
		return &translate.Failure{Kind: translate.InvalidRequest, Message: "The WebSocket handshake is not valid: version 13 and one Sec-WebSocket-Key are needed."}
	}
	return nil
}

// origin refuses web pages that may not use the API: browsers let any page open a
// WebSocket to anywhere, so what holds for other requests by missing CORS headers
// is checked here. Source: specs/gateways.md W5.
func (l *liveSession) origin() *translate.Failure {
	origin := l.x.r.Header.Get("Origin")
	allowed := l.x.g.CORS
	if origin == "" || slices.Contains(allowed, "*") || slices.Contains(allowed, origin) {
		return nil
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, l.x.r.Host) {
		return nil
	}
	return &translate.Failure{Kind: translate.Forbidden, Message: "Web pages of this origin may not use this gateway. Its operator can allow them with cors."}
}

// authenticate takes a user key, or an ephemeral token where those are served.
func (l *liveSession) authenticate() *translate.Failure {
	if l.token = liveToken(l.x.r); l.token == "" {
		return l.x.authenticate()
	}
	return l.tokenHolder()
}

// accept upgrades the connection and reports whether it is one now; where not,
// the client was told.
func (l *liveSession) accept() bool {
	x := l.x
	x.headers()
	w := &hijacked{ResponseWriter: x.out.w}
	conn, err := websocket.Accept(w, x.r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // origin did it
	if err != nil {
		x.record.Outcome, x.out.status = outcomes[translate.InvalidRequest], http.StatusBadRequest
		if w.conn != nil {
			_ = w.conn.Close()
		}
		return false
	}
	x.out.status = http.StatusSwitchingProtocols
	l.client = newLiveSide(conn, w.conn)
	return true
}

// hijacked keeps the connection that is taken over, so that it can be closed
// whatever happens on it.
type hijacked struct {
	http.ResponseWriter
	conn net.Conn
}

// begin reads the setup and does all that must hold before Google is asked.
func (l *liveSession) begin() *translate.Failure {
	x := l.x
	frame, kind, f := l.firstFrame()
	if f != nil {
		return f
	}
	if l.setup, f = parseLiveSetup(frame, kind); f != nil {
		return f
	}
	l.call = translate.Call{
		Method: http.MethodGet, Path: "/ws/google.ai.generativelanguage." + x.rt.version + ".GenerativeService." + liveMethod(x.r),
		Asked: l.setup.model,
	}
	if f := l.resolve(); f != nil {
		return f
	}
	if x.account != nil && l.setup.model != "" && !x.account.Allows(l.setup.model) {
		return &translate.Failure{Kind: translate.Forbidden, Message: "This user key may not use the model " + l.setup.model + "."}
	}
	if f := l.setup.refer(x); f != nil {
		return f
	}
	if f := x.resumeSession(l.setup.handle); f != nil {
		return f
	}
	return x.admit()
}

// resolve names the model that is asked now.
func (l *liveSession) resolve() *translate.Failure {
	x := l.x
	if l.setup.model == "" {
		if l.token == "" {
			return &translate.Failure{Kind: translate.InvalidRequest, Message: "setup.model is missing in the first message."}
		}
		return nil // the token says it
	}
	l.call.Model = x.resolve(l.setup.model)
	if !gemini.ValidModelID(l.call.Model) {
		return &translate.Failure{Kind: translate.InvalidRequest, Message: "setup.model is not the name of a model, such as models/gemini-live-2.5-flash-preview."}
	}
	x.record.Model = l.call.Model
	return x.offered(l.call.Model)
}

// liveMusic is the method of music sessions.
const liveMusic = "BidiGenerateMusic"

// liveMethod is the RPC that a path names. The route was matched by it.
func liveMethod(r *http.Request) string {
	path := strings.TrimRight(r.URL.Path, "/")
	return path[strings.LastIndexByte(path, '.')+1:]
}

// serve leases keys until one takes the session, which it relays then.
func (l *liveSession) serve() *translate.Failure {
	x := l.x
	x.g.budget.request()
	for {
		want, retry := x.want()
		want.Unmetered, want.Affinity = false, 0
		f := x.try(want, retry, l.attempt)
		if f == nil || !l.fallBack(f) {
			return f
		}
	}
}

// fallBack is exchange.fallBack for a session.
func (l *liveSession) fallBack(f *translate.Failure) bool {
	switch f.Kind {
	case translate.ModelNotFound, translate.Overloaded, translate.RateLimited, translate.QuotaExhausted:
	default:
		return false
	}
	if !l.x.canFallBack() {
		return false
	}
	l.x.target++
	return l.resolve() == nil
}

// refuse ends a session that never came about. WebSocket clients see no status but
// a close code, and Google's own words where those may be told.
func (l *liveSession) refuse(f *translate.Failure) {
	x := l.x
	x.noteFailure(f)
	x.turnedAway(f)
	if x.out.status = native.Error(f).Status; f.Kind == translate.Canceled {
		x.out.status, x.record.Partial = 499, true
		return
	}
	code := websocket.StatusInternalError
	switch f.Kind {
	case translate.InvalidRequest:
		code = websocket.StatusInvalidFramePayloadData
	case translate.TooLarge:
		code = websocket.StatusMessageTooBig
	case translate.Unauthenticated, translate.Forbidden, translate.NotFound, translate.ModelNotFound:
		code = websocket.StatusPolicyViolation
	}
	if l.refused != nil && (f.Kind == translate.InvalidRequest || f.Kind == translate.NotFound || f.Kind == translate.ModelNotFound) {
		code = l.refused.Code
	}
	l.client.end(code, f.Message)
}

// closeReason makes a text fit into a close frame.
func closeReason(text string) string {
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "")
	return clipText(text, maxCloseReason)
}

// limits are the bounds of sessions, completed.
func (c Live) limits() Live {
	c.Idle, c.MaxAge = cmp.Or(c.Idle, 15*time.Minute), cmp.Or(c.MaxAge, 2*time.Hour)
	c.Tokens = cmp.Or(c.Tokens, LiveTokensOff)
	return c
}

// background is the context of reads and writes of a session: what ends them is
// the closing of the connection, which costs no timer per frame.
var background = context.Background()
