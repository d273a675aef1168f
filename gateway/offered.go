// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// knownFresh is how long the set of known models is used before it is made anew.
const knownFresh = 10 * time.Second

// known is the set of models that some Gemini key is known to have and may serve. It
// never changes.
type known struct {
	models map[string]bool // empty while nothing is known
	at     time.Time
}

// knows reports whether a model may exist: some key has it, or nobody has asked
// Google yet.
func (g *Gateway) knows(model string) bool {
	k := g.known.Load()
	if k == nil || time.Since(k.at) > knownFresh {
		k = &known{models: map[string]bool{}, at: time.Now()}
		for _, id := range g.models() {
			k.models[id] = true
		}
		g.known.Store(k)
	}
	return len(k.models) == 0 || k.models[model]
}

// offered refuses a model that the operator does not offer, as if it did not exist,
// and one that nobody knows where the settings say so.
func (x *exchange) offered(model string) *translate.Failure {
	s := x.site()
	if model == "" || s.offers(model) && (s.set.Models.Unknown != settings.UnknownRefuse || x.g.knows(model)) {
		return nil
	}
	asked := model
	if x.call != nil {
		asked = cmp.Or(x.call.Named, x.call.Asked, model)
	}
	return &translate.Failure{
		Kind: translate.ModelNotFound, Param: "model",
		Message: "The model '" + asked + "' does not exist or is not offered here.",
	}
}

// hit counts a request that came by an alias.
func (x *exchange) hit() {
	if x.call == nil || x.call.Asked == "" || x.aboutModels() {
		return
	}
	if a := x.site().aliases.find(x.call.Asked); a != nil {
		x.g.Hits.add(a.Name, x.accepted)
	}
}
