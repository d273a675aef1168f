// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// tunedModels and corpora, both on their way out, are kept as they were sent,
// with their permissions. Their values are objects; so are the permissions'.

// camelName is the name in the path, without a verb.
func (x *exchange) camelName() string {
	name, _, _ := strings.Cut(x.rest, ":")
	return name
}

// ownedCamel answers itself where there is none.
func (x *exchange) ownedCamel() *resource {
	r, foreign := x.find(x.camelName())
	if r == nil {
		x.error(noCamel(x.camelName(), foreign))
	}
	return r
}

// noCamel are Google's answers: whether there is a tuned model is no secret.
func noCamel(name, foreign string) answer {
	corpus, isCorpus := strings.CutPrefix(name, "corpora/")
	switch {
	case isCorpus:
		return failure(403, "You do not have permission to access the Corpus "+corpus+" or it may not exist.")
	case foreign != "":
		return failure(403, "You do not have permission to access tuned model "+name+".")
	}
	return failure(404, "Tuned model "+name+" does not exist.")
}

// keepCamel keeps what was sent under a name. The caller holds s.mu.
func (s *Server) keepCamel(project, name string, v rawjson.Value, more object) *resource {
	o := object{}
	for k, m := range v.Members() {
		o[k.Text()] = json.RawMessage(m)
	}
	maps.Copy(o, more)
	r := s.keep(project, name, o)
	o["name"], o["createTime"], o["updateTime"] = name, stamp(r.created), stamp(r.updated)
	return r
}

func (x *exchange) showCamel(r *resource) {
	x.s.mu.Lock()
	shown := maps.Clone(r.value.(object))
	x.s.mu.Unlock()
	x.json(pretty(shown))
}

// createTunedModel starts to tune: the model is there at once, and ACTIVE with
// the operation's end.
func (x *exchange) createTunedModel() {
	v, ok := x.body()
	if !ok {
		return
	}
	base := cmp.Or(get(v, "baseModel").Text(), get(get(v, "tunedModelSource"), "baseModel").Text())
	if x.s.models[strings.TrimPrefix(base, "models/")] == nil {
		x.error(failure(404, "Model "+base+" does not exist or does not support tuning."))
		return
	}
	x.s.mu.Lock()
	name := "tunedModels/" + cmp.Or(x.r.URL.Query().Get("tunedModelId"), x.s.newID(12))
	if x.s.resources[ownedKey{x.e.Project, name}] != nil {
		x.s.mu.Unlock()
		x.error(failureAs(409, "ALREADY_EXISTS", "Requested entity already exists"))
		return
	}
	r := x.s.keepCamel(x.e.Project, name, v, object{"state": "CREATING", "baseModel": base})
	metadata := object{"@type": "type.googleapis.com/google.ai.generativelanguage.v1beta.CreateTunedModelMetadata", "tunedModel": name}
	shown := x.s.begin(x.e.Project, name+"/operations/"+x.s.newID(12), metadata, func() (object, object) {
		r.value.(object)["state"] = "ACTIVE"
		done := maps.Clone(r.value.(object))
		done["@type"] = "type.googleapis.com/google.ai.generativelanguage.v1beta.TunedModel"
		return done, nil
	})
	x.s.mu.Unlock()
	x.json(pretty(shown))
}

func (x *exchange) createCorpus() {
	v, ok := x.body()
	if !ok {
		return
	}
	x.s.mu.Lock()
	r := x.s.keepCamel(x.e.Project, cmp.Or(v.Get("name").Text(), "corpora/"+x.s.newID(12)), v, nil)
	x.s.mu.Unlock()
	x.showCamel(r)
}

// createPermission grants something to somebody.
func (x *exchange) createPermission() {
	v, ok := x.body()
	if !ok {
		return
	}
	parent := strings.TrimSuffix(x.rest, "/permissions")
	if r, foreign := x.find(parent); r == nil {
		x.error(noCamel(parent, foreign))
		return
	}
	x.s.mu.Lock()
	r := x.s.keepCamel(x.e.Project, x.rest+"/"+x.s.newID(12), v, nil)
	x.s.mu.Unlock()
	x.showCamel(r)
}

// listCamel lists what is directly below the path.
func (x *exchange) listCamel() {
	field := x.rest[strings.LastIndex(x.rest, "/")+1:]
	if parent, _, ok := strings.Cut(x.rest, "/permissions"); ok {
		if r, foreign := x.find(parent); r == nil {
			x.error(noCamel(parent, foreign))
			return
		}
	}
	x.s.mu.Lock()
	var shown []object
	for _, r := range x.s.family(x.e.Project, x.rest+"/") {
		if o, ok := r.value.(object); ok && !strings.Contains(r.name[len(x.rest)+1:], "/") {
			shown = append(shown, maps.Clone(o))
		}
	}
	x.s.mu.Unlock()
	page(x, field, shown, 10, 1000)
}

func (x *exchange) getCamel() {
	if r := x.ownedCamel(); r != nil {
		x.showCamel(r)
	}
}

func (x *exchange) patchCamel() {
	v, ok := x.body()
	if !ok {
		return
	}
	r := x.ownedCamel()
	if r == nil {
		return
	}
	x.s.mu.Lock()
	for k, m := range v.Members() {
		if !slices.Contains([]string{"name", "state", "createTime"}, k.Text()) {
			r.value.(object)[k.Text()] = json.RawMessage(m)
		}
	}
	x.s.mu.Unlock()
	x.showCamel(r)
}

func (x *exchange) deleteCamel() {
	if r := x.ownedCamel(); r != nil {
		x.remove(r)
	}
}

func (x *exchange) transferOwnership() {
	if x.ownedCamel() != nil {
		x.json([]byte("{}\n"))
	}
}

// tuned finds the tuned model of a request; it answers as the model it was made
// of.
func (x *exchange) tuned(name string) (*Model, answer) {
	r, foreign := x.find(name)
	if r == nil {
		return nil, noCamel(name, foreign)
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	base, _ := r.value.(object)["baseModel"].(string)
	m := *x.s.models[strings.TrimPrefix(base, "models/")]
	m.ID, m.Base = name, m.base()
	return &m, answer{}
}
