// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"
	"unicode/utf8"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Limits of embeddings. Source: specs/openai.md §14.
const (
	maxInputs = 2048 // OpenAI's
	perCall   = 100  // Google's, of one batchEmbedContents
)

// Embeddings is one POST /v1/embeddings. It implements [translate.Batch]: Google
// takes a hundred inputs per call.
//
//	input            requests[].content, one each: two in one would become one vector
//	dimensions       requests[].outputDimensionality; OpenAI's own where one of
//	                 its models is an alias
//	encoding_format  float (default) or base64 of little-endian float32
//	task_type, title requests[].taskType, title; also in google or extra_body.google
//	user             ignored
//
// Where [Options.CountTokens] says so, each call of vectors is followed, in Calls,
// by one that counts the tokens of the same inputs.
//
// Source: specs/openai.md §14.
type Embeddings struct {
	unary
	base64   bool
	calls    []*translate.Call
	counts   []int   // inputs per call
	estimate []int64 // tokens per call, where Google does not count them
	counted  bool    // the second half of calls counts the tokens of the first
}

var _ translate.Batch = (*Embeddings)(nil)

// embeddingFields are the members of the body, null and absent ones nil.
type embeddingFields struct {
	model, input, dimensions, format        rawjson.Value
	taskType, title, google, extra, ignored rawjson.Value
}

func (f *embeddingFields) field(name string) *rawjson.Value {
	switch name {
	case "model":
		return &f.model
	case "input":
		return &f.input
	case "dimensions":
		return &f.dimensions
	case "encoding_format":
		return &f.format
	case "task_type":
		return &f.taskType
	case "title":
		return &f.title
	case "google":
		return &f.google
	case "extra_body":
		return &f.extra
	case "user":
		return &f.ignored
	}
	return nil
}

// NewEmbeddings decodes an embeddings request.
func NewEmbeddings(env translate.Env, o Options, body []byte) (*Embeddings, *translate.Failure) {
	doc, f := parseBody(body)
	if f != nil {
		return nil, f
	}
	d := newDecoder(env, &o, &chatWords)
	in := &embeddingFields{}
	d.sort(doc, in.field)
	x := &Embeddings{unary: unary{env: env}}
	f = d.run(
		func() { d.model(in.model) },
		func() { x.format(d, in.format) },
		func() { x.build(d, in, d.embeddingOptions(in)) },
	)
	if f != nil {
		return nil, f
	}
	return x, nil
}

func (x *Embeddings) format(d *decoder, v rawjson.Value) {
	switch {
	case v == nil || v.Is("float"):
	case v.Is("base64"):
		x.base64 = true
	default:
		d.reject("encoding_format", "'encoding_format' must be float or base64.")
	}
}

// openAIDimensions are those of OpenAI's models, which callers of an alias have
// sized their databases for.
var openAIDimensions = map[string]int64{
	"text-embedding-3-small": 1536, "text-embedding-ada-002": 1536, "text-embedding-3-large": 3072,
}

// taskTypes are what gemini-embedding-001 can be tuned for.
var taskTypes = strings.Fields(`RETRIEVAL_QUERY RETRIEVAL_DOCUMENT SEMANTIC_SIMILARITY CLASSIFICATION CLUSTERING
	QUESTION_ANSWERING FACT_VERIFICATION CODE_RETRIEVAL_QUERY`)

// embeddingOptions returns the members that each of the requests ends with.
func (d *decoder) embeddingOptions(in *embeddingFields) (members []byte) {
	size := openAIDimensions[d.req.Asked]
	if in.dimensions != nil {
		size = d.whole(in.dimensions, "dimensions", 1, 1<<16)
	}
	if size > 0 {
		members = appendInt(append(members, `,"outputDimensionality":`...), size)
	}
	task, title := in.taskType, in.title
	for _, v := range []rawjson.Value{in.google, in.extra.Get("google")} {
		for k, e := range v.Members() {
			switch string(k.Inner()) {
			case "task_type", "taskType":
				task = e
			case "title":
				title = e
			}
		}
	}
	word := ""
	if !task.IsNull() && d.is(task, rawjson.String, "task_type") {
		if word = canonical(taskTypes, task.Text()); word == "" {
			d.reject("task_type", "Unknown task type %q. Use one of %s.", clip(task.Text()), strings.Join(taskTypes, ", "))
		}
	}
	if !title.IsNull() && d.is(title, rawjson.String, "title") && word != "RETRIEVAL_DOCUMENT" {
		d.reject("title", "A title is for inputs of task type RETRIEVAL_DOCUMENT only.")
	}
	if strings.HasPrefix(d.req.Target, "gemini-embedding-2") {
		return members // takes the task from the text
	}
	if word != "" {
		members = append(append(append(members, `,"taskType":"`...), word...), '"')
	}
	if !title.IsNull() {
		members = append(append(members, `,"title":`...), title...)
	}
	return members
}

// canonical finds a word in a list, in whichever case it was written.
func canonical(list []string, word string) string {
	for _, w := range list {
		if strings.EqualFold(w, word) {
			return w
		}
	}
	return ""
}

// build writes the calls.
func (x *Embeddings) build(d *decoder, in *embeddingFields, options []byte) {
	inputs := d.inputs(in.input)
	if d.failure != nil {
		return
	}
	x.model = d.req.Model
	head := append(rawjson.AppendQuoted([]byte(`{"model":`), "models/"+d.req.Target), `,"content":{"parts":[{"text":`...)
	tail := append(append([]byte(`}]}`), options...), '}')
	for len(inputs) > 0 {
		n := min(len(inputs), perCall)
		call := callTo(d.req, "batchEmbedContents")
		size := n*(len(head)+len(tail)+1) + 16
		for _, v := range inputs[:n] {
			size += len(v)
		}
		call.Body = make([]byte, 0, size)
		call.Body = append(call.Body, `{"requests":[`...)
		tokens := int64(0)
		for i, v := range inputs[:n] {
			if i > 0 {
				call.Body = append(call.Body, ',')
			}
			call.Body = append(append(append(call.Body, head...), v...), tail...)
			tokens += estimateTokens(v)
		}
		call.Body = append(call.Body, `]}`...)
		x.calls, x.counts, x.estimate = append(x.calls, &call), append(x.counts, n), append(x.estimate, tokens)
		inputs = inputs[n:]
	}
	x.call = *x.calls[0]
	if d.opts.CountTokens && !reportsUsage(d.req.Target) {
		x.counted = true
		inputs = d.inputs(in.input)
		for _, n := range x.counts {
			x.calls = append(x.calls, countCall(d.req, inputs[:n]))
			inputs = inputs[n:]
		}
	}
}

// reportsUsage knows the models whose answers have usageMetadata.
func reportsUsage(model string) bool { return strings.HasPrefix(model, "gemini-embedding-2") }

// countCall has Google count the tokens of texts.
func countCall(req *ChatRequest, texts []rawjson.Value) *translate.Call {
	call := callTo(req, "countTokens")
	call.Body = append(call.Body, `{"contents":[`...)
	for i, v := range texts {
		if i > 0 {
			call.Body = append(call.Body, ',')
		}
		call.Body = append(append(append(call.Body, `{"role":"user","parts":[{"text":`...), v...), `}]}`...)
	}
	call.Body = append(call.Body, `]}`...)
	return &call
}

// inputs returns the texts, of which none is empty.
func (d *decoder) inputs(v rawjson.Value) (list []rawjson.Value) {
	const lists = "Token arrays are not supported; send text. With LangChain's OpenAIEmbeddings, set check_embedding_ctx_length=False."
	switch v.Kind() {
	case rawjson.Missing:
		d.reject("input", "Missing required parameter: 'input'.")
		return nil
	case rawjson.String:
		if v.IsEmptyString() {
			d.reject("input", "'input' must not be empty.")
		}
		return []rawjson.Value{v}
	case rawjson.Array:
		for i, e := range v.Elems() {
			switch {
			case e.Kind() == rawjson.Number || e.Kind() == rawjson.Array:
				d.reject("input", lists)
			case i >= maxInputs:
				d.reject("input", "At most %d inputs are supported in a request.", maxInputs)
			default:
				d.is(e, rawjson.String, index("input", i, ""))
			}
			if d.failure != nil {
				return nil
			}
			list = append(list, e)
		}
	default:
		d.reject("input", "Invalid type for 'input': expected a string or an array of strings, but got %s instead.", v.Kind())
	}
	for i, e := range list {
		if e.IsEmptyString() {
			d.reject(index("input", i, ""), "An input must not be empty.")
		}
	}
	if len(list) == 0 {
		d.reject("input", "'input' must not be empty.")
	}
	return list
}

// estimateTokens is a quarter of the characters, as Google counts about four to
// a token.
func estimateTokens(v rawjson.Value) int64 {
	runes := utf8.RuneCount(v.Inner())
	if v.Escaped() {
		runes = utf8.RuneCountInString(v.Text())
	}
	return int64(runes+3) / 4
}

// Calls implements [translate.Batch].
func (x *Embeddings) Calls() []*translate.Call { return x.calls }

// Partial implements [translate.Batch]: a missing vector would shift the others.
func (x *Embeddings) Partial() bool { return false }

// Estimated reports whether Usage of the last answer is our guess instead of
// Google's count; its Reported is then false.
func (x *Embeddings) Estimated() bool { return !x.usage.Reported }

// Usage implements [translate.Exchange]; see [Embeddings.Estimated].
func (x *Embeddings) Usage() gemini.Usage { return x.usage }
