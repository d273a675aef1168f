// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// publishedPrefix stands before a Gemini model's id where it is listed for clients
// that only show names beginning with claude. Source: C.10.
const publishedPrefix = "claude-gw-"

// ranks are Google's models that stand in for Claude's, by what their names have in
// them; the first that fits holds. Operators name others by aliases. Source: C.10.
var ranks = []struct{ word, model string }{
	{"opus", "gemini-pro-latest"}, {"fable", "gemini-pro-latest"}, {"mythos", "gemini-pro-latest"},
	{"haiku", "gemini-flash-lite-latest"}, {"small", "gemini-flash-lite-latest"},
	{"", "gemini-flash-latest"}, // sonnet, and whatever else there is
}

// StandIn is a model of Google's that serves names of Claude's.
type StandIn struct {
	Pattern string // * is any characters
	Model   string
}

// StandIns are the table that names of Claude's without an alias go by, the first
// that fits, for people.
func StandIns() (all []StandIn) {
	for _, r := range ranks {
		pattern := "claude*"
		if r.word != "" {
			pattern += r.word + "*"
		}
		all = append(all, StandIn{pattern, r.model})
	}
	return all
}

// model reads the model string: an operator's alias, a published name, one of
// Claude's, or Google's own.
func (d *decoder) model() {
	v := d.in.model
	if !d.is(v, rawjson.String, "model") {
		return
	}
	r := d.req
	r.model = v.Text()
	if strings.TrimSpace(r.model) == "" { // Anthropic's text for an unknown name, the bare name, would say nothing
		d.reject("model", "String should have at least 1 character")
		return
	}
	r.asked, r.target, r.named = d.resolve(r.model)
	if !gemini.ValidModelID(r.target) {
		d.reject("model", "%s", clip(r.model))
		d.failure.Kind = translate.ModelNotFound
		return
	}
	if d.opts.Defaults != nil {
		d.defaults = d.opts.Defaults(r.asked, r.target)
	}
	r.features = d.opts.Capabilities.Family(r.target)
	r.family = familyOf(r.target)
}

// resolve returns what aliases and permissions go by, and the model's id. An alias
// is looked for under the name as it was sent and under ever plainer forms of it. A
// name of Claude's without alias counts as the model that stands in for it; it is
// named then, as permissions may be given by either. A published name is no name of
// Claude's: whoever may use claude-* does not get at all of Google's models by it.
func (d *decoder) resolve(sent string) (asked, target, named string) {
	name := strings.TrimSpace(sent)
	plain := strings.TrimSuffix(name, "[1m]") // asks for a long context, which all have
	bare := plain
	for _, prefix := range [...]string{"models/", "google/", "gemini/", "anthropic/"} {
		bare = strings.TrimPrefix(bare, prefix)
	}
	forms := []string{name, plain, bare}
	if published, ok := strings.CutPrefix(bare, publishedPrefix); ok {
		forms = append(forms, published)
	} else if strings.HasPrefix(bare, "claude") {
		forms, named = append(forms, standIn(bare)), bare
	}
	last := forms[len(forms)-1]
	for _, form := range forms {
		if id := d.alias(form); id != form {
			if form != last {
				named = ""
			}
			return form, strings.TrimPrefix(id, "models/"), named
		}
	}
	return last, last, named
}

func (d *decoder) alias(name string) string {
	if d.opts.Resolve == nil {
		return name
	}
	return d.opts.Resolve(name)
}

// standIn is Google's model for a name of Claude's.
func standIn(name string) string {
	for _, r := range ranks {
		if strings.Contains(name, r.word) {
			return r.model
		}
	}
	return name
}
