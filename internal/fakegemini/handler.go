// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// exchange is one request on its way through the server.
type exchange struct {
	s        *Server
	w        http.ResponseWriter
	r        *http.Request
	e        *Entry
	rc       *http.ResponseController
	version  string
	rest     string   // of the path, below the version
	ids      []string // of the path
	model    *Model
	part     int // of a batch: which request
	endpoint *endpoint
	stream   bool
	sse      bool
	steer    Steer
	admitted bool // its key is good
	wrote    bool // headers are out
	slow     float64
	rand     *rand.Rand // see random
}

// ServeHTTP answers like Google.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.served.Add(1)
	if s.cfg.Lean {
		s.lean(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	x := &exchange{s: s, w: w, r: r, rc: http.NewResponseController(w)}
	x.route()
	x.e.At, x.e.Body = s.cfg.Now(), body
	s.books.open(x.e)
	left := func() {
		if x.e.End.IsZero() && !x.e.Canceled {
			x.e.Canceled, x.e.CanceledAt = true, s.cfg.Now()
		}
	}
	stop := context.AfterFunc(r.Context(), func() { s.books.update(left) })
	defer func() {
		stop()
		s.books.update(func() {
			if r.Context().Err() != nil { // the function above may not have run yet
				left()
			}
			x.e.End = s.cfg.Now()
			if s.cfg.Brief {
				x.e.Header, x.e.Body = nil, nil
			}
		})
		if p := recover(); p != nil {
			panic(p) // http.ErrAbortHandler is how HTTP/2 streams are reset
		}
	}()
	if err == nil {
		x.serve()
	}
}

// serve goes the way of a request: credentials, key, model, quota, answer.
func (x *exchange) serve() {
	s, e := x.s, x.e
	x.stream = e.Method == "streamGenerateContent"
	x.sse = x.r.URL.Query().Get("alt") == "sse"
	if s.cfg.Latency.Uplink > 0 && !x.pause(s.cfg.Latency.uplink(x.random())) {
		return
	}
	s.books.update(func() { e.Decided = s.cfg.Now() })
	if livePath.MatchString(e.Path) {
		x.live() // tells of refusals in its own way
		return
	}
	if a := x.authenticate(); a.status != 0 && !x.byUpload() {
		x.error(a)
		return
	}
	x.admitted = true
	if x.endpoint == nil {
		x.noSuchMethod()
		return
	}
	if x.notInVersion() {
		return
	}
	x.steer, _ = x.steering()
	if prompted := costs[e.Method] || e.Method == "countTokens"; !prompted && x.faultBeforeQuota() {
		return // the others first read what the prompt says
	}
	x.endpoint.serve(x)
}

func (x *exchange) noSuchMethod() {
	x.note("no such method")
	x.error(htmlPage(404, "Error 404 (Not Found)!!1", "The requested URL <code>"+x.e.Path+"</code> was not found on this server."))
}

// serveModel answers the methods of a model that generate, count or embed.
func (x *exchange) serveModel() {
	s, e := x.s, x.e
	if messageOf[e.Method] == "" {
		x.noSuchMethod()
		return
	}
	if a := x.findModel(e.Method); a.status != 0 {
		x.error(a)
		return
	}
	req, bad := x.decode()
	x.steer.readModel(e.Model)
	if req != nil {
		x.steer.read(req.lastText)
		s.books.update(func() { e.Prompt, e.Tokens = strings.Clone(req.lastText[:min(len(req.lastText), 32)]), req.tokens })
	}
	if x.faultBeforeQuota() {
		return
	}
	if bad.status != 0 {
		x.note("request refused")
		x.error(bad)
		return
	}
	if a := x.usable(req); a.status != 0 {
		x.error(a)
		return
	}
	if e.Attempt {
		if a := x.charge(req.tokens); a.status != 0 {
			x.error(a)
			return
		}
	}
	switch e.Method {
	case "countTokens":
		count := object{"totalTokens": req.tokens, "promptTokensDetails": req.details()}
		if req.cached > 0 {
			count["cachedContentTokenCount"] = req.cached
		}
		x.json(pretty(count))
	case "embedContent", "batchEmbedContents":
		x.embed(req)
	default:
		x.generate(req)
	}
}

// usable checks that the request's project has what the request names.
func (x *exchange) usable(q *request) answer {
	if a := x.filesUsable(q); a.status != 0 {
		return a
	}
	if a := x.cacheUsable(q); a.status != 0 {
		return a
	}
	if a := x.storesUsable(q); a.status != 0 {
		return a
	}
	return x.resume(q)
}

// costs has the methods that cost quota.
var costs = map[string]bool{
	"generateContent": true, "streamGenerateContent": true, "embedContent": true, "batchEmbedContents": true,
	"predict": true, "predictLongRunning": true, "interactions.create": true,
	"BidiGenerateContent": true, "BidiGenerateContentConstrained": true, "BidiGenerateMusic": true,
}

// authenticate checks the credentials and books what a gateway must not do.
func (x *exchange) authenticate() answer {
	s, e := x.s, x.e
	if x.r.URL.Query().Has("key") || x.r.URL.Query().Has("access_token") || x.r.Header.Get("Authorization") != "" {
		s.books.violate(e.N, WrongPlace, 0, "%s %s carries a credential outside x-goog-api-key", e.HTTPMethod, e.Path)
		x.note("credential in the wrong place")
		return keyAnswer(keyWrongPlace, "", "")
	}
	if e.Key == "" {
		x.note("no key")
		return keyAnswer(keyMissing, "", "")
	}
	s.mu.Lock()
	k := s.keys[e.Key]
	state, project, told := keyUnknown, "", time.Time{}
	number := ""
	if k != nil {
		state, project, told, x.slow = k.state, k.project, k.told, k.slow
		number = s.projects[project].number()
		if state != KeyOK && k.told.IsZero() {
			k.told = s.cfg.Now()
		}
	}
	s.mu.Unlock()
	s.books.update(func() {
		e.Project = project
		e.Attempt = costs[e.Method]
	})
	if state == KeyOK {
		return answer{}
	}
	x.note("key: " + string(state))
	if e.Attempt && !told.IsZero() && e.At.After(told) && state != KeyRobot {
		s.books.violate(e.N, DeadKey, e.At.Sub(told), "key of %s is asked again although it was told to be %s", project, state)
	}
	return keyAnswer(state, e.Key, number)
}

// findModel finds the entry's model, which must offer the method.
func (x *exchange) findModel(method string) answer {
	s, e := x.s, x.e
	if strings.HasPrefix(e.Model, "tunedModels/") {
		m, a := x.tuned(e.Model)
		x.model = m
		return a
	}
	x.model = s.models[e.Model]
	if x.model == nil && strings.HasPrefix(e.Model, "fake-") || strings.HasPrefix(e.Model, "bench-") {
		x.model = &Model{ID: e.Model, Methods: chatMethods, Input: 1 << 20, Output: 1 << 16, Generation: 3, Thinking: true}
	}
	offered := method
	switch method {
	case "streamGenerateContent":
		offered = "generateContent"
	case "batchEmbedContents":
		offered = "embedContent"
	}
	if x.model == nil || !slices.Contains(x.model.Methods, offered) || x.model.OnlyBeta && x.version == "v1" {
		x.note("no such model")
		return modelMissing(e.Model, x.version, method)
	}
	if x.model.Unavailable || !x.allowed(e.Model) {
		x.note("model not for this project")
		return modelForOldUsers(e.Model)
	}
	return answer{}
}

// allowed reports whether the request's project may use a model.
func (x *exchange) allowed(id string) bool {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	models := x.s.projects[x.e.Project].Models
	return models == nil || slices.Contains(models, id)
}

// charge counts a request against its quotas.
func (x *exchange) charge(tokens int64) answer {
	s, e := x.s, x.e
	base := x.model.base()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.projects[e.Project]
	limits, ok := p.Limits[base]
	if !ok {
		limits = s.cfg.Limits
	}
	m := s.meters[meterKey{e.Project, base}]
	if m == nil {
		m = &meter{}
		s.meters[meterKey{e.Project, base}] = m
	}
	if !m.told.IsZero() && e.At.After(m.told) && e.At.Before(m.until) {
		m.ignored++
		kind := Early
		if m.ignored > 1 {
			kind = EarlyAgain
		}
		s.books.violate(e.N, kind, e.At.Sub(m.told), "%s × %s is asked %v before the time that was announced", e.Project, base, m.until.Sub(e.At))
	}
	now := s.cfg.Now()
	if s.overspent(p, now) {
		s.books.update(func() { e.Note = "spend limit" })
		return overspentAnswer()
	}
	over := m.admit(now, limits, tokens, s.cfg.Aligned, base, p.Paid)
	if len(over) == 0 {
		m.told, m.ignored = time.Time{}, 0
		s.pay(p, tokens, now)
		s.books.update(func() { e.Charged = true })
		return answer{}
	}
	wait := m.announce(now, over)
	s.books.update(func() { e.Note, e.Until = "quota: "+over[0].id, m.until })
	return quotaAnswer(over, wait)
}

func (x *exchange) note(text string) { x.s.books.update(func() { x.e.Note = text }) }

// header writes the status and what Google sends with it.
func (x *exchange) header(status int, contentType string) {
	h := x.w.Header()
	h["Content-Type"] = []string{contentType}
	h["Server"] = []string{"scaffolding on HTTPServer2"}
	h["Server-Timing"] = []string{"gfet4t7; dur=42"}
	h["Vary"] = []string{"Origin", "X-Origin", "Referer"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["X-Frame-Options"] = []string{"SAMEORIGIN"}
	h["X-Xss-Protection"] = []string{"0"}
	if status == 200 && x.e.Attempt {
		h["X-Gemini-Service-Tier"] = []string{"standard"}
	}
	x.w.WriteHeader(status)
	x.wrote = true
	x.s.books.update(func() { x.e.Status = status })
}

const jsonType = "application/json; charset=UTF-8"

func (x *exchange) error(a answer) {
	if a.status >= 400 && !x.pause(x.s.cfg.Latency.Refusal) {
		return
	}
	if x.admitted && x.snaky() {
		a = withTextCode(a)
	}
	body := a.body
	if a.kind == "" {
		a.kind = jsonType
		if x.stream && !x.sse {
			body = append(append([]byte("["), body...), "]\n"...)
		}
	}
	x.header(a.status, a.kind)
	x.write(body)
}

func (x *exchange) json(body []byte) {
	x.header(200, jsonType)
	x.write(body)
}

// write sends bytes in chunks of Steer.Chunk, each one flushed. It reports
// whether the client is still there.
func (x *exchange) write(b []byte) bool {
	for len(b) > 0 {
		n := len(b)
		if x.steer.Chunk > 0 {
			n = min(n, x.steer.Chunk)
		}
		if _, err := x.w.Write(b[:n]); err != nil {
			return false
		}
		x.s.books.update(func() { x.e.Bytes += int64(n) })
		if b = b[n:]; x.steer.Chunk > 0 || x.stream {
			if x.rc.Flush() != nil {
				return false
			}
		}
	}
	return true
}

// pause waits for real time to pass. It reports false when the client has left
// or the server closes.
func (x *exchange) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-x.r.Context().Done():
	case <-x.s.quit:
	}
	return false
}

func (x *exchange) successType() string {
	if x.stream && x.sse {
		return "text/event-stream"
	}
	return jsonType
}
