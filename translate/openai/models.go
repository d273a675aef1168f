// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Google gives no date and no owner; a model must not change between calls.
// Source: specs/openai.md §15.
const modelConstants = `,"object":"model","created":1686935002,"owned_by":"google"`

// Alias is a model name of the operator's. One with several targets is as many
// aliases, in the order in which they are tried.
type Alias struct {
	ID     string // what clients ask for
	Target string // the Gemini model it stands for, or what clients write for one
}

// Models is GET /v1/models or GET /v1/models/{id}. It implements
// [translate.Batch]: a list may come in pages, of which each names the next, so
// that the first is Call and [Models.Next] the others. Calls are none.
type Models struct {
	call    translate.Call
	id      string // as the client wrote it; "" lists all
	aliases []Alias
	visible func(id string) bool
	also    []string
}

var _ translate.Batch = (*Models)(nil)

// NewModels returns the exchange that lists the models, or tells of one where id
// is not empty. Aliases come first and take the limits of the first of their targets
// that Google lists; without any they are left out. visible says which models this
// user may know of, nil means all.
func NewModels(id string, aliases []Alias, visible func(id string) bool) (*Models, *translate.Failure) {
	x := &Models{id: id, aliases: aliases, visible: visible}
	if x.visible == nil {
		x.visible = func(string) bool { return true }
	}
	x.call = translate.Call{Method: "GET", Path: "/v1beta/models", Query: "pageSize=1000"}
	if id == "" {
		return x, nil
	}
	bare := strings.TrimPrefix(id, "models/")
	target := bare
	for _, a := range aliases {
		if a.ID == id {
			target = PlainModel(a.Target)
			break
		}
	}
	if !modelID(target) || !x.visible(bare) {
		return nil, unknownModel(id)
	}
	x.call.Path, x.call.Query = "/v1beta/models/"+target, ""
	x.call.Asked, x.call.Model = bare, target
	return x, nil
}

// Also tells of models, without "models/", that some Gemini key may use. Google's
// list is that of one key; what it lacks is listed after it, without details.
func (x *Models) Also(ids []string) { x.also = ids }

// modelID reports whether s can be a part of an upstream path.
func modelID(s string) bool {
	for i, c := range []byte(s) {
		word := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !word && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return s != "" && len(s) <= 128
}

// PlainModel is the model of an alias's target, which may have the prefixes and
// suffixes of clients.
func PlainModel(target string) string {
	return bareModel((&decoder{}).suffix(bareModel(strings.TrimSpace(target))))
}

func unknownModel(id string) *translate.Failure {
	return &translate.Failure{
		Kind: translate.ModelNotFound, Param: "model",
		Message: "The model '" + id + "' does not exist.",
	}
}

// Call implements [translate.Exchange].
func (x *Models) Call() *translate.Call { return &x.call }

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
	_, err := x.page(body)
	return err
}

// page reads an answer: a model, or a list of them.
func (x *Models) page(body []byte) (rawjson.Value, error) {
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
	doc, err := x.page(body)
	if err != nil {
		return dst, err
	}
	id := strings.TrimPrefix(x.id, "models/")
	return appendModel(dst, rawjson.Quote(id).Inner(), doc), nil
}

// Join implements [translate.Batch]: the pages make one list.
func (x *Models) Join(dst []byte, answers [][]byte) ([]byte, error) {
	var models []rawjson.Value
	byName := map[string]rawjson.Value{}
	for _, body := range answers {
		list, err := x.page(body)
		if err != nil {
			return dst, err
		}
		for _, m := range list.Elems() {
			id := strings.TrimPrefix(m.Get("name").Text(), "models/")
			if _, twice := byName[id]; id == "" || twice {
				continue
			}
			models, byName[id] = append(models, m), m
		}
	}
	for _, id := range x.also {
		if _, known := byName[id]; !known {
			m := rawjson.Value(`{"name":` + string(rawjson.Quote("models/"+id)) + `}`)
			models, byName[id] = append(models, m), m
		}
	}
	dst = append(dst, `{"object":"list","data":[`...)
	start := len(dst)
	listed := ""
	for _, a := range x.aliases {
		if m, ok := byName[PlainModel(a.Target)]; ok && a.ID != listed && x.visible(a.ID) {
			dst = appendModel(separate(dst, start), rawjson.Quote(a.ID).Inner(), m)
			listed = a.ID
		}
	}
	for _, m := range models {
		id := strings.TrimPrefix(m.Get("name").Text(), "models/")
		if usableModel(m) && x.visible(id) && !x.aliased(id) {
			dst = appendModel(separate(dst, start), rawjson.Quote(id).Inner(), m)
		}
	}
	return append(dst, ']', '}'), nil
}

// aliased reports whether an alias took the name of a model.
func (x *Models) aliased(id string) bool {
	for _, a := range x.aliases {
		if a.ID == id {
			return true
		}
	}
	return false
}

func separate(dst []byte, start int) []byte {
	if len(dst) > start {
		return append(dst, ',')
	}
	return dst
}

// usableModel leaves out what no endpoint here can call, such as models that
// only know the Live protocol.
func usableModel(m rawjson.Value) bool {
	methods := m.Get("supportedGenerationMethods")
	if methods.IsNull() {
		return true
	}
	for _, method := range methods.Elems() {
		switch method.Text() {
		case "generateContent", "embedContent", "batchEmbedContents", "predict", "predictLongRunning":
			return true
		}
	}
	return false
}

// appendModel appends a model object; id is encoded, without quotes.
func appendModel(dst, id []byte, m rawjson.Value) []byte {
	dst = append(append(append(dst, `{"id":"`...), id...), '"')
	dst = append(dst, modelConstants...)
	if n, ok := m.Get("inputTokenLimit").Int(); ok && n > 0 {
		dst = strconv.AppendInt(append(dst, `,"context_length":`...), n, 10)
	}
	if n, ok := m.Get("outputTokenLimit").Int(); ok && n > 0 {
		dst = strconv.AppendInt(append(dst, `,"max_output_tokens":`...), n, 10)
	}
	if name := m.Get("displayName"); len(name.Inner()) > 0 {
		dst = append(append(dst, `,"display_name":`...), name...)
	}
	return append(dst, '}')
}

// Begin implements [translate.Exchange]; nothing is kept between attempts.
func (x *Models) Begin() {}

// Event implements [translate.Exchange]; there are no streams of models.
func (x *Models) Event(dst []byte, _ translate.Frame) ([]byte, error) { return dst, nil }

// End implements [translate.Exchange].
func (x *Models) End(dst []byte) ([]byte, error) { return dst, nil }

// Abort implements [translate.Exchange].
func (x *Models) Abort(dst []byte, _ *translate.Failure) []byte { return dst }

// Heartbeat implements [translate.Exchange].
func (x *Models) Heartbeat() string { return "" }

// Error implements [translate.Exchange].
func (x *Models) Error(f *translate.Failure) translate.Answer {
	if x.id != "" && (f.Kind == translate.NotFound || f.Kind == translate.ModelNotFound) {
		f = unknownModel(x.id)
	}
	return Error(f)
}

// ContentType implements [translate.Exchange].
func (x *Models) ContentType() string { return contentType }

// Unsign implements [translate.Exchange].
func (x *Models) Unsign() bool { return false }

// Usage implements [translate.Exchange].
func (x *Models) Usage() gemini.Usage { return gemini.Usage{} }
