// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// The Live API. Like Google's, the server accepts every handshake and refuses keys,
// models and quotas with a close frame after the setup. A [Rule] for the method
// with a Status refuses the handshake itself, or the setup if it names a Model. It
// sends JSON in binary frames.
//
// What a text of the client's says in double brackets is done before it is answered:
//
//	[[goaway 10s]]          goAway with that time left
//	[[close 1011 Some why]] a close frame
//	[[cut]]                 the connection ends without one
//	[[audio 100000]]        so many bytes of audio
//	[[call get_weather]]    a toolCall; its response is answered
//	[[silent]]              no answer at all
//	[[deaf]]                nothing is read any more
//	[[flood]]               answers without end
//
// A session of BidiGenerateMusic takes prompts and plays when it is told to.
// Source: specs/native-anthropic.md A.12.

// livePath is that of the methods, by version.
var livePath = regexp.MustCompile(`^/ws/google\.ai\.generativelanguage\.(v1(?:alpha|beta)?)\.GenerativeService\.(BidiGenerateContent|BidiGenerateContentConstrained|BidiGenerateMusic)$`)

// What a model has among its methods to be served, and the method of the API that
// music is made by.
const (
	liveModelMethod  = "bidiGenerateContent"
	musicModelMethod = "bidiGenerateMusic"
	musicMethod      = "BidiGenerateMusic"
)

// liveSession is one connection.
type liveSession struct {
	x         *exchange
	conn      *websocket.Conn
	ctx       context.Context
	kept      *liveState
	audio     bool // answers in audio
	resumable bool
}

// liveState is what a handle brings back. Guarded by Server.mu.
type liveState struct {
	model  string
	turns  []string
	tokens int64 // of all turns so far
}

// routeLive takes a path of the Live API apart.
func (x *exchange) routeLive() bool {
	m := livePath.FindStringSubmatch(x.r.URL.Path)
	if m == nil {
		return false
	}
	x.version, x.e.Method = m[1], m[2]
	x.endpoint = &endpoint{verb: http.MethodGet, method: m[2], serve: (*exchange).live}
	return true
}

// live serves a session. It authenticates by itself, because refusals are told
// later.
func (x *exchange) live() {
	refused := x.liveCredential()
	x.steer, _ = x.steering()
	if x.faultBeforeQuota() {
		return
	}
	conn, err := websocket.Accept(x.w, x.r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		x.note("no WebSocket")
		return
	}
	defer func() { _ = conn.CloseNow() }()
	x.s.books.update(func() { x.e.Status = http.StatusSwitchingProtocols })
	conn.SetReadLimit(16 << 20)
	ctx, cancel := context.WithCancel(context.Background()) // the request's ends with nothing once hijacked
	defer cancel()
	go func() {
		select {
		case <-x.s.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	l := &liveSession{x: x, conn: conn, ctx: ctx}
	if l.setup(refused) {
		l.run()
	}
}

// liveCredential is authenticate for a session: an ephemeral token is one, too.
func (x *exchange) liveCredential() answer {
	token, ok := strings.CutPrefix(x.r.Header.Get("Authorization"), "Token ")
	if !ok || x.e.Key != "" || x.e.Method != "BidiGenerateContentConstrained" {
		return x.authenticate()
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, r := range s.resources {
		if k.name == token && r.alive(s.cfg.Now()) {
			s.books.update(func() { x.e.Project, x.e.Attempt = k.project, true })
			return answer{}
		}
	}
	return failure(401, messages[401])
}

// closeCodes by the status of the error that a close frame stands for.
var closeCodes = map[int]websocket.StatusCode{
	400: websocket.StatusInvalidFramePayloadData, 401: websocket.StatusPolicyViolation, 403: websocket.StatusPolicyViolation,
	404: websocket.StatusPolicyViolation,
}

// refuse closes with an error's message, as far as it fits.
func (l *liveSession) refuse(a answer) {
	code, ok := closeCodes[a.status]
	if !ok {
		code = websocket.StatusInternalError
	}
	reason := "Internal error encountered."
	if v, err := rawjson.Parse(a.body); err == nil {
		reason = v.Get("error").Get("message").Text()
	}
	l.close(code, reason)
}

func (l *liveSession) close(code websocket.StatusCode, reason string) {
	l.x.s.books.update(func() {
		if l.x.e.Note == "" {
			l.x.e.Note = "closed: " + code.String()
		}
	})
	_ = l.conn.Close(code, strings.ToValidUTF8(reason[:min(len(reason), 123)], ""))
}

// setup reads the first message and answers it.
func (l *liveSession) setup(refused answer) bool {
	x, s := l.x, l.x.s
	_, frame, err := l.conn.Read(l.ctx)
	if err != nil {
		return false
	}
	s.books.update(func() { x.e.Body = frame })
	if refused.status != 0 {
		l.refuse(refused)
		return false
	}
	doc, err := rawjson.Parse(frame)
	setup := get(doc, "setup")
	if err != nil || setup == nil {
		l.refuse(failure(400, "Invalid JSON payload received. Setup must be the first message."))
		return false
	}
	model := strings.TrimPrefix(setup.Get("model").Text(), "models/")
	s.books.update(func() { x.e.Model = model })
	method := liveModelMethod
	if x.e.Method == musicMethod {
		method = musicModelMethod
	}
	if a := x.findModel(method); a.status != 0 {
		l.refuse(a)
		return false
	}
	if x.steer, _ = x.steering(); x.steer.Status >= 400 {
		l.refuse(failure(x.steer.Status, messages[x.steer.Status]))
		return false
	}
	if a := x.charge(tokensOf(len(frame))); a.status != 0 {
		l.refuse(a)
		return false
	}
	if !l.resume(setup, model) {
		return false
	}
	config := get(setup, "generationConfig")
	for _, m := range get(config, "responseModalities").Elems() {
		l.audio = l.audio || m.Text() == "AUDIO"
	}
	return l.send(object{"setupComplete": object{}}) && l.newHandle()
}

// resume finds the session that a handle stands for. Other projects do not have it.
func (l *liveSession) resume(setup rawjson.Value, model string) bool {
	l.kept = &liveState{model: model}
	resumption := get(setup, "sessionResumption")
	l.resumable = resumption != nil
	handle := resumption.Get("handle").Text()
	if handle == "" {
		return true
	}
	r := l.x.owned("live/" + handle)
	if r == nil {
		l.refuse(failure(404, "BidiGenerateContent session not found"))
		return false
	}
	l.x.s.mu.Lock()
	defer l.x.s.mu.Unlock()
	old := r.value.(*liveState)
	l.kept.turns, l.kept.tokens = append(l.kept.turns, old.turns...), old.tokens
	return true
}

// newHandle sends a handle for the session as it is now.
func (l *liveSession) newHandle() bool {
	if !l.resumable {
		return true
	}
	s := l.x.s
	s.mu.Lock()
	handle := s.newID(40)
	state := *l.kept
	state.turns = append([]string(nil), state.turns...)
	s.keep(l.x.e.Project, "live/"+handle, &state).expires = s.cfg.Now().Add(2 * time.Hour)
	s.mu.Unlock()
	return l.send(object{"sessionResumptionUpdate": object{"newHandle": handle, "resumable": true}})
}

// send sends a message; it reports whether that worked.
func (l *liveSession) send(message object) bool {
	b := pretty(message)
	l.x.s.books.update(func() { l.x.e.Bytes += int64(len(b)) })
	return l.conn.Write(l.ctx, websocket.MessageBinary, b) == nil
}

// createToken makes an ephemeral token.
func (x *exchange) createToken() {
	s := x.s
	doc, err := rawjson.Parse(x.e.Body)
	if err != nil {
		x.error(failure(400, "Invalid JSON payload received. "+err.Error()))
		return
	}
	expires := s.cfg.Now().Add(30 * time.Minute)
	if t, err := time.Parse(time.RFC3339, get(doc, "expireTime").Text()); err == nil {
		expires = t
	}
	s.mu.Lock()
	name := "auth_tokens/" + s.newID(64)
	s.keep(x.e.Project, name, nil).expires = expires
	s.mu.Unlock()
	x.json(pretty(object{"name": name, "expireTime": stamp(expires)}))
}
