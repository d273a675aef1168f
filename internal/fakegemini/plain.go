// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// plain resources are kept as they were sent, with an id: agents, credentials,
// environments, voices, webhooks and triggers. Their values are objects.

// family of the path, and the id in it; both spellings of the paths are known:
// environments/ID and environments/ID:get.
func (x *exchange) plainName() (family, id string) {
	family, _, _ = strings.Cut(x.rest, "/")
	family, _, _ = strings.Cut(family, ":")
	if len(x.ids) > 0 {
		id = x.ids[0]
	}
	return family, id
}

// makePlain keeps one.
func (x *exchange) makePlain(family string, v rawjson.Value) *resource {
	s := x.s
	o := object{}
	for k, m := range v.Members() {
		o[k.Text()] = json.RawMessage(m)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := v.Get("id").Text()
	if id == "" {
		id = strings.TrimSuffix(family, "s") + "-" + s.newID(16)
	}
	o["id"] = id
	now := s.cfg.Now().UTC().Format("2006-01-02T15:04:05Z")
	o["created"], o["updated"] = now, now
	return s.keep(x.e.Project, family+"/"+id, o)
}

func (x *exchange) createPlain() {
	v, ok := x.body()
	if !ok {
		return
	}
	family, _ := x.plainName()
	if voice := v.Get("voice"); family == "voices" && voice != nil {
		v = voice
	}
	if id := v.Get("id").Text(); id != "" {
		x.s.mu.Lock()
		_, taken := x.s.resources[ownedKey{x.e.Project, family + "/" + id}]
		x.s.mu.Unlock()
		if taken {
			x.error(failureAs(409, "ALREADY_EXISTS", "Requested entity already exists"))
			return
		}
	}
	x.showPlain(x.makePlain(family, v))
}

func (x *exchange) showPlain(r *resource) {
	x.s.mu.Lock()
	shown := maps.Clone(r.value.(object))
	x.s.mu.Unlock()
	x.snakeJSON(shown)
}

func (x *exchange) listPlain() {
	family, _ := x.plainName()
	x.s.mu.Lock()
	var shown []object
	for _, r := range x.s.family(x.e.Project, family+"/") {
		if o, ok := r.value.(object); ok {
			shown = append(shown, maps.Clone(o))
		}
	}
	x.s.mu.Unlock()
	page(x, family, shown, 50, 1000)
}

// ownedPlain answers itself where there is none.
func (x *exchange) ownedPlain() *resource {
	family, id := x.plainName()
	r := x.owned(family + "/" + id)
	if r == nil {
		x.error(failure(404, messages[404]))
	}
	return r
}

func (x *exchange) getPlain() {
	if r := x.ownedPlain(); r != nil {
		x.showPlain(r)
	}
}

func (x *exchange) patchPlain() {
	v, ok := x.body()
	if !ok {
		return
	}
	r := x.ownedPlain()
	if r == nil {
		return
	}
	x.s.mu.Lock()
	for k, m := range v.Members() {
		if !slices.Contains([]string{"id", "created", "updated"}, k.Text()) {
			r.value.(object)[k.Text()] = json.RawMessage(m)
		}
	}
	x.s.mu.Unlock()
	x.showPlain(r)
}

func (x *exchange) deletePlain() {
	if r := x.ownedPlain(); r != nil {
		x.s.RemoveResource(r.project, r.name)
		x.snakeJSON(object{})
	}
}

// actPlain answers webhooks' ping and rotateSigningSecret, and what triggers run.
func (x *exchange) actPlain() {
	r := x.ownedPlain()
	if r == nil {
		return
	}
	x.s.mu.Lock()
	id := x.s.newID(24)
	x.s.mu.Unlock()
	switch x.e.Method {
	case "webhooks.ping":
		x.snakeJSON(object{})
	case "webhooks.rotateSigningSecret":
		x.snakeJSON(object{"secret": "whsec_" + id})
	default:
		x.snakeJSON(object{"id": id, "status": "in_progress"})
	}
}

// listExecutions has none: nothing ever runs here.
func (x *exchange) listExecutions() {
	if r := x.ownedPlain(); r != nil {
		x.snakeJSON(object{})
	}
}
