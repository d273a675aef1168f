// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// interaction is one of the interactions. Its JSON has snake_case names only.
// Source: specs/native-anthropic.md A.11.
type interaction struct {
	id          string
	shared      object // fields that every form of it has
	input       json.RawMessage
	steps       []object
	usage       object
	status      string // what it comes to
	background  bool
	polls       int
	canceled    bool
	environment string
}

func (r *resource) interaction() *interaction { return r.value.(*interaction) }

// interactionCodes are the error codes of interactions, which are texts, by
// HTTP status.
var interactionCodes = map[int]string{
	400: "invalid_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 409: "conflict", 429: "too_many_requests",
	499: "cancelled", 500: "internal_server_error", 501: "not_implemented", 503: "service_unavailable", 504: "gateway_timeout",
}

// snakeFamilies have JSON with snake_case names, and errors with text codes.
var snakeFamilies = []string{"interactions", "agents", "credentials", "environments", "voices", "webhooks", "triggers"}

// snaky reports whether the request is about one of them.
func (x *exchange) snaky() bool {
	family, _, _ := strings.Cut(x.rest, "/")
	family, _, _ = strings.Cut(family, ":")
	return slices.Contains(snakeFamilies, family)
}

// withTextCode is an error in the form of those families.
func withTextCode(a answer) answer {
	var body struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if a.kind != "" || json.Unmarshal(a.body, &body) != nil {
		return a // an HTML page
	}
	code := interactionCodes[a.status]
	a.kind = "application/json; charset=utf-8"
	a.body = compact(pretty(object{"error": object{"message": body.Error.Message, "code": code}}))
	return a
}

// createInteraction runs a model or an agent.
func (x *exchange) createInteraction() {
	v, ok := x.body()
	if !ok {
		return
	}
	x.stream = v.Get("stream").IsTrue()
	x.sse = x.stream
	i, q, bad := x.readInteraction(v)
	x.steer.readModel(x.e.Model)
	x.steer.read(q.lastText)
	x.s.books.update(func() { x.e.Prompt, x.e.Tokens = strings.Clone(q.lastText[:min(len(q.lastText), 32)]), q.tokens })
	if x.faultBeforeQuota() {
		return
	}
	if bad.status == 0 {
		bad = x.charge(q.tokens)
	}
	if bad.status != 0 {
		x.error(bad)
		return
	}
	i.run(x, q)
	if i.id = x.id(-2); v.Get("store").IsNull() || v.Get("store").IsTrue() {
		x.s.mu.Lock()
		i.id = "v1_" + x.s.newID(40)
		x.s.keep(x.e.Project, "interactions/"+i.id, i)
		x.s.mu.Unlock()
	}
	if x.stream {
		x.streamInteraction(i, "")
		return
	}
	x.snakeJSON(i.shown(!i.background))
}

// shown is the interaction as JSON; done says whether it has come to its end.
func (i *interaction) shown(done bool) object {
	o := object{"id": i.id, "object": "interaction", "status": i.statusWhen(done)}
	maps.Copy(o, i.shared)
	if done && !i.canceled {
		o["usage"] = i.usage
		if len(i.steps) > 0 {
			o["steps"] = i.steps
		}
	}
	return o
}

func (i *interaction) statusWhen(done bool) string {
	switch {
	case i.canceled:
		return "cancelled"
	case !done:
		return "in_progress"
	}
	return i.status
}

func (x *exchange) snakeJSON(v any) {
	x.header(200, "application/json; charset=utf-8")
	x.write(compact(pretty(v)))
}

// ownedInteraction answers itself where there is none.
func (x *exchange) ownedInteraction() *interaction {
	r := x.owned("interactions/" + x.ids[0])
	if r == nil {
		x.error(failure(404, "Interaction "+x.ids[0]+" was not found."))
		return nil
	}
	return r.interaction()
}

// getInteraction shows one, or its events again. One in the background is done
// after Config.OperationPolls polls.
func (x *exchange) getInteraction() {
	i := x.ownedInteraction()
	if i == nil {
		return
	}
	query := x.r.URL.Query()
	if x.stream = query.Get("stream") == "true"; x.stream {
		x.sse = true
		x.streamInteraction(i, query.Get("last_event_id"))
		return
	}
	x.s.mu.Lock()
	i.polls++
	done := i.done(x.s.cfg.OperationPolls)
	shown := i.shown(done)
	if query.Get("include_input") == "true" {
		shown["input"] = i.input
	}
	x.s.mu.Unlock()
	x.snakeJSON(shown)
}

// done reports whether it was asked for often enough. The caller holds s.mu.
func (i *interaction) done(polls int) bool { return !i.background || i.canceled || i.polls > polls }

func (x *exchange) deleteInteraction() {
	if i := x.ownedInteraction(); i != nil {
		x.s.RemoveResource(x.e.Project, "interactions/"+i.id)
		x.snakeJSON(object{})
	}
}

func (x *exchange) cancelInteraction() {
	i := x.ownedInteraction()
	if i == nil {
		return
	}
	x.s.mu.Lock()
	ended := i.done(x.s.cfg.OperationPolls)
	i.canceled = i.canceled || !ended
	shown := i.shown(ended)
	x.s.mu.Unlock()
	if ended && !i.canceled {
		x.error(failure(400, "Only interactions that run in the background can be cancelled, while they run."))
		return
	}
	x.snakeJSON(shown)
}
