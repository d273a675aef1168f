// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// page is the part of the list that a client asks for.
type page struct {
	limit         int
	after, before string // ids; "" for none
}

// Source: specs/native-anthropic.md C.10.
const (
	defaultLimit = 20
	maxLimit     = 1000
)

func readPage(query url.Values) (p page, f *translate.Failure) {
	p = page{limit: defaultLimit, after: query.Get("after_id"), before: query.Get("before_id")}
	if s := query.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxLimit {
			return p, translate.Invalid("limit", "Input should be between 1 and %d", maxLimit)
		}
		p.limit = n
	}
	if p.after != "" && p.before != "" {
		return p, translate.Invalid("after_id", "Only one of after_id and before_id may be given")
	}
	return p, nil
}

// of cuts the page out of a list, and reports whether there is more in its direction.
// An id that is not in the list has nothing after or before it.
func (p page) of(list []listed) (part []listed, more bool) {
	find := func(id string) int {
		return slices.IndexFunc(list, func(m listed) bool { return m.id == id })
	}
	switch {
	case p.before != "":
		list = list[:max(0, find(p.before))]
		from := max(0, len(list)-p.limit)
		return list[from:], from > 0
	case p.after != "":
		if i := find(p.after); i >= 0 {
			list = list[i+1:]
		} else {
			list = nil
		}
	}
	to := min(p.limit, len(list))
	return list[:to], to < len(list)
}

// listed is a model under one of its names.
type listed struct {
	id    string
	model rawjson.Value // Google's object
}

// list is the whole list: aliases, then Google's models, the newest first, each under
// a name that Claude Code shows, too.
func (x *Models) list(models []rawjson.Value) (list []listed) {
	byName := map[string]rawjson.Value{}
	var found []listed
	add := func(m rawjson.Value) {
		id := bareName(m)
		if _, twice := byName[id]; id != "" && !twice {
			found, byName[id] = append(found, listed{id, m}), m
		}
	}
	for _, m := range models {
		add(m)
	}
	for _, id := range x.also {
		add(rawjson.Value(`{"name":` + string(rawjson.Quote("models/"+id)) + `}`))
	}
	taken := map[string]bool{}
	for _, a := range x.aliases {
		_, target, _ := (&decoder{opts: &Options{}}).resolve(a.Target)
		if m, ok := byName[target]; ok && !taken[a.ID] && x.visible(a.ID) {
			list, taken[a.ID] = append(list, listed{a.ID, m}), true
		}
	}
	slices.SortStableFunc(found, func(a, b listed) int { return cmp.Compare(version(b.id), version(a.id)) })
	for _, m := range found {
		if !generates(m.model) || taken[m.id] || !x.visible(m.id) {
			continue
		}
		list = append(list, listed{publishedPrefix + m.id, m.model}, m)
	}
	return list
}

// version is the first number in a model's id, which is all that tells its age: Google
// gives no dates. Ids without any, such as gemini-flash-latest, are of now.
func version(id string) float64 {
	for i := range len(id) {
		if id[i] < '0' || id[i] > '9' {
			continue
		}
		n := i
		for n < len(id) && ('0' <= id[n] && id[n] <= '9' || id[n] == '.') {
			n++
		}
		v, _ := strconv.ParseFloat(id[i:n], 64)
		return v
	}
	return 1 << 20
}

// appendModel appends a model object. Anthropic allows the epoch where no date is
// known.
func (x *Models) appendModel(dst []byte, m listed) []byte {
	dst = rawjson.AppendQuoted(append(dst, `{"type":"model","id":`...), m.id)
	dst = append(dst, `,"display_name":`...)
	if name := m.model.Get("displayName"); len(name.Inner()) > 0 {
		dst = append(dst, name...)
	} else {
		dst = rawjson.AppendQuoted(dst, cmp.Or(bareName(m.model), m.id))
	}
	dst = append(dst, `,"created_at":"1970-01-01T00:00:00Z"`...)
	for _, limit := range [...]struct{ to, from string }{
		{`,"max_input_tokens":`, "inputTokenLimit"}, {`,"max_tokens":`, "outputTokenLimit"},
	} {
		dst = append(dst, limit.to...)
		if n, ok := m.model.Get(limit.from).Int(); ok && n > 0 {
			dst = strconv.AppendInt(dst, n, 10)
		} else {
			dst = append(dst, `null`...)
		}
	}
	dst = append(dst, `,"lifecycle":"active","deprecated_at":null,"retires_at":null,"line":null,"capabilities":`...)
	return append(appendCapabilities(dst, x.opts.Capabilities.Family(bareName(m.model))), '}')
}

// appendCapabilities appends what Anthropic's clients may want to know of a model.
func appendCapabilities(dst []byte, f *capability.Family) []byte {
	thinks, functions := f.Thinking != capability.NoThinking, f.Has(capability.Functions)
	off := f.Thinking != capability.ByBudget || f.Off
	member := func(before string, supported bool, after string) {
		dst = append(append(dst, before...), `{"supported":`...)
		dst = append(append(strconv.AppendBool(dst, supported), '}'), after...)
	}
	group := func(name string, supported bool) {
		dst = strconv.AppendBool(append(append(dst, name...), `{"supported":`...), supported)
	}
	member(`{"batch":`, false, ``)
	member(`,"citations":`, functions, ``)
	member(`,"code_execution":`, false, ``)
	group(`,"context_management":`, false)
	for _, edit := range []string{"clear_thinking_20251015", "clear_tool_uses_20250919", "compact_20260112"} {
		member(`,"`+edit+`":`, false, ``)
	}
	group(`},"effort":`, thinks)
	for _, level := range []string{"low", "medium", "high", "xhigh", "max"} {
		member(`,"`+level+`":`, thinks, ``)
	}
	member(`},"image_input":`, true, ``)
	member(`,"pdf_input":`, true, ``)
	group(`,"server_tools":`, functions)
	member(`,"web_search":`, functions, ``)
	member(`,"code_execution":`, functions, `}`)
	member(`,"structured_outputs":`, f.Has(capability.JSONMode), ``)
	group(`,"thinking":`, thinks)
	member(`,"types":{"adaptive":`, thinks, ``)
	member(`,"between_tools":`, thinks, ``)
	member(`,"disabled":`, off, ``)
	member(`,"enabled":`, thinks, `}}`)
	return append(dst, '}')
}
