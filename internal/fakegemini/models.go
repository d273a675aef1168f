// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"math"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// listed is a model as models.list has it.
type listed struct {
	Name             string   `json:"name"`
	Version          string   `json:"version"`
	DisplayName      string   `json:"displayName"`
	Description      string   `json:"description"`
	InputTokenLimit  int64    `json:"inputTokenLimit"`
	OutputTokenLimit int64    `json:"outputTokenLimit"`
	Methods          []string `json:"supportedGenerationMethods"`
	Temperature      float64  `json:"temperature,omitempty"`
	TopP             float64  `json:"topP,omitempty"`
	TopK             int      `json:"topK,omitempty"`
	MaxTemperature   float64  `json:"maxTemperature,omitempty"`
	Thinking         bool     `json:"thinking,omitempty"`
}

func (m *Model) listed() listed {
	l := listed{
		Name: "models/" + m.ID, Version: "001", DisplayName: m.Name, Description: m.Name + ", simulated",
		InputTokenLimit: m.Input, OutputTokenLimit: m.Output, Methods: m.Methods, Thinking: m.Thinking,
	}
	if m.Dimensions == 0 {
		l.Temperature, l.TopP, l.TopK, l.MaxTemperature = 1, 0.95, 64, 2
	}
	return l
}

// list answers models.list in pages of at most 1000.
func (x *exchange) list() {
	var shown []listed
	for _, id := range x.s.order {
		if m := x.s.models[id]; x.allowed(id) && !(m.OnlyBeta && x.version == "v1") {
			shown = append(shown, m.listed())
		}
	}
	page(x, "models", shown, 50, 1000)
}

func (x *exchange) get() {
	m := x.s.models[x.e.Model]
	if m == nil || !x.allowed(m.ID) || m.OnlyBeta && x.version == "v1" {
		x.error(failure(404, "Model is not found: models/"+x.e.Model+" for api version "+x.version))
		return
	}
	x.json(pretty(m.listed()))
}

type embedding struct {
	Values []float32 `json:"values"`
}

// embed answers embedContent and batchEmbedContents with vectors that depend on
// the text only; like Google's they have unit length unless they were shortened.
func (x *exchange) embed(q *request) {
	if x.e.Method == "embedContent" {
		v, bad := x.vector(q.body, q.lastText)
		if bad.status != 0 {
			x.error(bad)
			return
		}
		x.json(pretty(object{"embedding": v}))
		return
	}
	requests := get(q.body, "requests")
	if n := requests.Len(); n == 0 || n > 100 {
		x.error(failure(400, "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch\n"))
		return
	}
	list := []embedding{}
	for _, r := range requests.Elems() {
		if r.Get("model").Text() != "models/"+x.e.Model {
			x.error(failure(400, "* BatchEmbedContentsRequest.requests.model: model must be models/"+x.e.Model+"\n"))
			return
		}
		one := request{}
		one.addContent(r.Get("content"))
		v, bad := x.vector(r, one.lastText)
		if bad.status != 0 {
			x.error(bad)
			return
		}
		list = append(list, v)
	}
	usage := object{"promptTokenCount": q.tokens}
	x.bill(usage)
	x.json(pretty(object{"embeddings": list, "usageMetadata": usage}))
}

func (x *exchange) vector(r rawjson.Value, text string) (embedding, answer) {
	if text == "" {
		return embedding{}, failure(400, "* EmbedContentRequest.content: content is empty\n")
	}
	n := int64(x.model.Dimensions)
	if d, ok := get(r, "outputDimensionality").Int(); ok {
		if d < 1 || d > n {
			return embedding{}, failure(400, "output_dimensionality must be in the range [1, "+strconv.FormatInt(n, 10)+"]")
		}
		n = d
	}
	values, seed := make([]float32, n), uint32(2166136261)
	for _, c := range []byte(text) {
		seed = (seed ^ uint32(c)) * 16777619
	}
	scale := 1 / math.Sqrt(float64(x.model.Dimensions))
	for i := range values {
		if values[i] = float32(scale); seed>>(i%31)&1 == 1 {
			values[i] = -values[i]
		}
	}
	return embedding{values}, answer{}
}
