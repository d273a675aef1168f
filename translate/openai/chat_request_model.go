// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// model reads the model string: prefixes of other gateways, aliases of the
// operator, suffixes that ask for search or reasoning. Nothing but letters,
// digits, dots, dashes and underscores reaches the URL.
// Source: specs/openai.md §2 and §5.6.
func (d *decoder) model(v rawjson.Value) {
	if v.IsNull() {
		d.reject("model", "You must provide a model parameter.")
		return
	}
	if !d.is(v, rawjson.String, "model") {
		return
	}
	d.req.Model = v.Text()
	name := strings.TrimSpace(d.req.Model)
	if name == "" { // as OpenAI answers it: what is empty was not provided
		d.reject("model", "You must provide a model parameter.")
		return
	}
	id := d.resolve(name)
	if id == name {
		name = bareModel(name)
		id = d.resolve(name)
	}
	aliased := id != name
	id = bareModel(id)
	if base := d.suffix(id); base != id {
		if !aliased {
			name = base
		}
		id = bareModel(d.resolve(base))
	}
	d.req.Asked = name
	if !gemini.ValidModelID(id) {
		d.reject("model", "%q is not a model id. Use a name such as gemini-flash-latest.", clip(d.req.Model))
		return
	}
	d.req.Target = id
	if d.opts.Defaults != nil {
		d.defaults = d.opts.Defaults(name, id)
	}
	d.family = d.opts.Capabilities.Family(id)
	d.req.family = d.family
}

func (d *decoder) resolve(name string) string {
	if d.opts.Resolve == nil {
		return name
	}
	return d.opts.Resolve(name)
}

func bareModel(id string) string {
	for _, prefix := range [...]string{"models/", "google/", "gemini/"} {
		id = strings.TrimPrefix(id, prefix)
	}
	return id
}

// suffix cuts what clients append to a model id to reach what the protocol has
// no field for, and notes it.
func (d *decoder) suffix(id string) string {
	for range 4 {
		base := d.lastSuffix(id)
		if base == id {
			break
		}
		id = base
	}
	return id
}

func (d *decoder) lastSuffix(id string) string {
	for _, s := range [...]string{":search", "-search-preview", "-search"} {
		if base, ok := strings.CutSuffix(id, s); ok && (s != "-search" || strings.HasPrefix(id, "gemini-")) {
			d.suffixSearch = true
			return base
		}
	}
	if base, inner, ok := strings.Cut(id, "("); ok && strings.HasSuffix(inner, ")") {
		d.suffixEffort = strings.TrimSuffix(inner, ")")
		return base
	}
	return id
}

// clip shortens a client's text for an error message.
func clip(s string) string {
	if len(s) <= 80 {
		return s
	}
	return strings.ToValidUTF8(s[:80], "") + "…"
}
