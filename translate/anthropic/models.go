// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"net/url"
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

// Models is GET /v1/models or GET /v1/models/{id}. It implements
// [translate.Batch]: Google's list may come in pages, of which each names the next,
// so that the first is Call and [Models.Next] the others. Calls are none.
// Source: specs/native-anthropic.md C.10.
type Models struct {
	whole
	opts    *Options
	id      string // as the client wrote it; "" lists all
	page    page
	aliases []Alias
	visible func(id string) bool
	also    []string
}

var _ translate.Batch = (*Models)(nil)

// NewModels returns the exchange that lists the page of models that a client asks for
// by the query parameters limit, after_id and before_id. Aliases come first and take
// the limits of the first of their targets that Google lists; without any they are
// left out. visible says which models this user may know of, nil means all.
func NewModels(o Options, query url.Values, aliases []Alias, visible func(id string) bool) (*Models, *translate.Failure) {
	page, f := readPage(query)
	if f != nil {
		return nil, f
	}
	x := newModels(&o, aliases, visible)
	x.page = page
	x.call.Path, x.call.Query = "/v1beta/models", "pageSize=1000"
	return x, nil
}

// NewModel returns the exchange that tells of one model, by any name that requests may
// have for it.
func NewModel(o Options, id string, visible func(id string) bool) (*Models, *translate.Failure) {
	x := newModels(&o, nil, visible)
	x.id = id
	x.call.Asked, x.call.Model, x.call.Named = (&decoder{opts: &o}).resolve(id)
	if !gemini.ValidModelID(x.call.Model) || !x.visible(x.call.Asked) && (x.call.Named == "" || !x.visible(x.call.Named)) {
		return nil, namedModel(&translate.Failure{Kind: translate.ModelNotFound, Message: "There is no such model."}, clip(id))
	}
	x.call.Path = "/v1beta/models/" + x.call.Model
	return x, nil
}

func newModels(o *Options, aliases []Alias, visible func(id string) bool) *Models {
	if visible == nil {
		visible = func(string) bool { return true }
	}
	x := &Models{opts: o, aliases: aliases, visible: visible}
	x.call.Method = "GET"
	return x
}

// Also tells of models, without "models/", that some Gemini key may use. Google's
// list is that of one key; what it lacks is listed, too, without details.
func (x *Models) Also(ids []string) { x.also = ids }

// Next is the call for the page of Google's after the one that body is, nil where that
// is the last.
func (x *Models) Next(body []byte) *translate.Call {
	doc, err := rawjson.Parse(body)
	if err != nil || x.id != "" {
		return nil
	}
	token := doc.Get("nextPageToken").Text()
	if token == "" {
		return nil
	}
	call := x.call
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

// read reads an answer of Google's: a model, or a list of them.
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
	models := doc.Get("models")
	if models.Kind() != rawjson.Array {
		return nil, translate.NoContent()
	}
	return models, nil
}

// Response implements [translate.Exchange].
func (x *Models) Response(dst, body []byte) ([]byte, error) {
	if x.id == "" {
		return x.Join(dst, [][]byte{body})
	}
	doc, err := x.read(body)
	if err != nil {
		return dst, err
	}
	return x.appendModel(dst, listed{x.id, doc}), nil
}

// Join implements [translate.Batch]: Google's pages make one list, of which the client
// gets its page.
func (x *Models) Join(dst []byte, answers [][]byte) ([]byte, error) {
	var models []rawjson.Value
	for _, body := range answers {
		list, err := x.read(body)
		if err != nil {
			return dst, err
		}
		for _, m := range list.Elems() {
			models = append(models, m)
		}
	}
	list, more := x.page.of(x.list(models))
	dst = append(dst, `{"data":[`...)
	for i, m := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = x.appendModel(dst, m)
	}
	dst = append(dst, `],"has_more":`...)
	if more {
		dst = append(dst, `true`...)
	} else {
		dst = append(dst, `false`...)
	}
	if len(list) == 0 {
		return append(dst, `,"first_id":null,"last_id":null}`...), nil
	}
	dst = rawjson.AppendQuoted(append(dst, `,"first_id":`...), list[0].id)
	dst = rawjson.AppendQuoted(append(dst, `,"last_id":`...), list[len(list)-1].id)
	return append(dst, '}'), nil
}

// Error implements [translate.Exchange].
func (x *Models) Error(f *translate.Failure) translate.Answer {
	if x.id != "" && f.Kind == translate.NotFound {
		unknown := *f
		unknown.Kind, f = translate.ModelNotFound, &unknown
	}
	return Error(namedModel(f, x.id))
}

// generates reports whether messages can be asked of a model.
func generates(m rawjson.Value) bool {
	methods := m.Get("supportedGenerationMethods")
	for _, method := range methods.Elems() {
		if method.Is("generateContent") {
			return true
		}
	}
	return methods.IsNull()
}

// bareName is a model's name without the collection.
func bareName(m rawjson.Value) string { return strings.TrimPrefix(m.Get("name").Text(), "models/") }
