// SPDX-License-Identifier: Apache-2.0

package native

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Alias is a model name of the operator's. One with several targets is as many
// aliases, in the order in which they are tried.
type Alias struct {
	ID     string // what clients ask for
	Target string // the Gemini model it stands for
}

// Models is GET models or GET models/{id}. It implements [translate.Batch]: Google's
// list may come in pages, of which each names the next, so that the first is Call
// and [Models.Next] the others; the client's pages are cut from all of it. Entries are
// Google's own, aliases copies of their target's. Calls are none.
// Source: specs/native-anthropic.md A.14.
type Models struct {
	*Exchange
	id      string // as the client wrote it; "" lists all
	size    int    // of the client's page
	from    int    // where it begins
	aliases []Alias
	visible func(id string) bool
	also    []string
}

var _ translate.Batch = (*Models)(nil)

const (
	defaultPage = 50
	maxPage     = 1000
)

// NewModels returns the exchange that lists the page of models that a client asks for
// by pageSize and pageToken. visible says which models this user may know of, nil
// means all; also are models that some Gemini key may use: Google's list is that of
// one key, and what it lacks is listed after it, without details.
func NewModels(query url.Values, aliases []Alias, visible func(id string) bool, also []string) (*Models, *translate.Failure) {
	x := &Models{size: defaultPage, aliases: aliases, visible: visible, also: also}
	x.Exchange = New(&translate.Call{Method: "GET", Path: "/v1beta/models", Query: "pageSize=1000"})
	number := func(to *int, names ...string) *translate.Failure {
		for _, name := range names {
			text := query.Get(name)
			if text == "" {
				continue
			}
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return translate.Invalid(name, "Invalid value: a %s of this list was expected.", name)
			}
			*to = n
		}
		return nil
	}
	if f := number(&x.size, "pageSize", "page_size"); f != nil {
		return nil, f
	}
	if f := number(&x.from, "pageToken", "page_token"); f != nil {
		return nil, f
	}
	if x.size == 0 {
		x.size = defaultPage
	}
	x.size = min(x.size, maxPage)
	return x, nil
}

// NewModel returns the exchange that tells of one model, which stands for target.
func NewModel(id, target string, visible func(id string) bool) (*Models, *translate.Failure) {
	if !gemini.ValidModelID(target) || visible != nil && !visible(id) {
		return nil, &translate.Failure{Kind: translate.ModelNotFound, Message: "The model models/" + id + " does not exist."}
	}
	x := &Models{id: id, visible: visible}
	x.Exchange = New(&translate.Call{Method: "GET", Path: "/v1beta/models/" + target, Asked: id, Model: target})
	return x, nil
}

// Next is the call for the page after the one that body is, nil where that is the
// last.
func (x *Models) Next(body []byte) *translate.Call {
	doc, err := rawjson.Parse(body)
	if err != nil || x.id != "" {
		return nil
	}
	token := doc.Get("nextPageToken").Text()
	if token == "" {
		return nil
	}
	call := *x.call
	call.Query += "&pageToken=" + url.QueryEscape(token)
	return &call
}

// Calls implements [translate.Batch].
func (x *Models) Calls() []*translate.Call { return nil }

// Partial implements [translate.Batch].
func (x *Models) Partial() bool { return false }

// Check implements [translate.Batch].
func (x *Models) Check(_ int, body []byte) error {
	_, err := x.read(body)
	return err
}

// read reads an answer: a model, or the list of a page.
func (x *Models) read(body []byte) (rawjson.Value, error) {
	doc, err := rawjson.Parse(body)
	if err != nil {
		return nil, translate.Unreadable(err, len(body))
	}
	if e := doc.Get("error"); !e.IsNull() {
		return nil, translate.ErrorInAnswer(e)
	}
	if x.id != "" {
		return doc, nil
	}
	if models := doc.Get("models"); models.Kind() == rawjson.Array {
		return models, nil
	}
	return nil, translate.NoContent()
}

// Response implements [translate.Exchange].
func (x *Models) Response(dst, body []byte) ([]byte, error) {
	doc, err := x.read(body)
	switch {
	case err != nil:
		return dst, err
	case x.id == "":
		return x.Join(dst, [][]byte{body})
	case doc.Get("name").Is("models/" + x.id):
		return append(dst, body...), nil
	}
	return appendNamed(dst, x.id, doc), nil
}

// Join implements [translate.Batch]: the pages make one list, of which the client
// gets its page.
func (x *Models) Join(dst []byte, answers [][]byte) ([]byte, error) {
	var entries [][]byte
	byID := map[string]rawjson.Value{}
	taken := map[string]bool{}
	var models []rawjson.Value
	for _, body := range answers {
		list, err := x.read(body)
		if err != nil {
			return dst, err
		}
		for _, m := range list.Elems() {
			byID[modelOf(m)] = m
			models = append(models, m)
		}
	}
	add := func(id string, entry func() []byte) {
		if !taken[id] && (x.visible == nil || x.visible(id)) {
			taken[id] = true
			entries = append(entries, entry())
		}
	}
	for _, a := range x.aliases {
		if m, ok := byID[a.Target]; ok {
			add(a.ID, func() []byte { return appendNamed(nil, a.ID, m) })
		}
	}
	for _, m := range models {
		add(modelOf(m), func() []byte { return m })
	}
	for _, id := range x.also {
		add(id, func() []byte {
			return appendNamed(nil, id, rawjson.Value(`{"name":"","version":"","displayName":"","description":"","inputTokenLimit":0,"outputTokenLimit":0,"supportedGenerationMethods":[]}`))
		})
	}
	return x.appendPage(dst, entries), nil
}

func (x *Models) appendPage(dst []byte, entries [][]byte) []byte {
	from := min(x.from, len(entries))
	to := min(from+x.size, len(entries))
	dst = append(dst, '{')
	for i, entry := range entries[from:to] {
		if i == 0 {
			dst = append(dst, `"models":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(dst, entry...)
	}
	if to > from {
		dst = append(dst, ']')
	}
	if to < len(entries) {
		dst = append(dst, `,"nextPageToken":"`...)
		dst = append(strconv.AppendInt(dst, int64(to), 10), '"')
	}
	return append(dst, '}')
}

func modelOf(m rawjson.Value) string { return strings.TrimPrefix(m.Get("name").Text(), "models/") }

// appendNamed appends a model under another name; its other members stay.
func appendNamed(dst []byte, id string, m rawjson.Value) []byte {
	dst = rawjson.AppendQuoted(append(dst, `{"name":`...), "models/"+id)
	for k, v := range m.Members() {
		switch {
		case k.Is("name"):
		case k.Is("displayName") && v.IsEmptyString():
			dst = rawjson.AppendQuoted(append(dst, `,"displayName":`...), id)
		default:
			dst = append(append(append(append(dst, ','), k...), ':'), v...)
		}
	}
	return append(dst, '}')
}

// Error implements [translate.Exchange].
func (x *Models) Error(f *translate.Failure) translate.Answer {
	if x.id != "" && (f.Kind == translate.NotFound || f.Kind == translate.ModelNotFound) {
		f = &translate.Failure{Kind: translate.ModelNotFound, Message: "The model models/" + x.id + " does not exist."}
	}
	return Error(f)
}
