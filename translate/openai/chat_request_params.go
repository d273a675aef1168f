// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"math"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// maxStops is how many stop sequences Gemini takes.
const maxStops = 5

// params reads the parameters that need no knowledge of others, in the order of
// the table in specs/openai.md §9.
func (d *decoder) params() {
	in, req, config := &d.in, d.req, &d.req.Gemini.Config
	effective := d.family.Has(capability.Sampling)
	if v := in.temperature; v != nil && d.within(v, "temperature", 0, 2) && effective {
		config.Temperature = v
	}
	if v := in.topP; v != nil && d.within(v, "top_p", 0, 1) && effective {
		if f, _ := v.Float(); f > 0 { // 0 is not a usable value upstream
			config.TopP = v
		}
	}
	if v := in.topK; v != nil && d.whole(v, "top_k", 1, math.MaxInt32) > 0 && effective {
		config.TopK = v
	}
	d.stop(in.stop)
	if v := in.seed; v != nil && d.is(v, rawjson.Number, "seed") {
		n, ok := v.Int()
		if !ok {
			n, ok = lowBits(v)
		}
		switch {
		case !ok:
			d.reject("seed", "'seed' must be an integer.")
		case n > math.MaxInt32 || n < math.MinInt32:
			config.Seed = number(n & math.MaxInt32)
		default:
			config.Seed = number(n)
		}
	}
	if v := in.stream; v != nil && d.is(v, rawjson.Bool, "stream") {
		req.Stream = v.IsTrue()
	}
	if v := in.streamOptions; v != nil && d.is(v, rawjson.Object, "stream_options") {
		if u := v.Get("include_usage"); !u.IsNull() && d.is(u, rawjson.Bool, "stream_options.include_usage") {
			req.IncludeUsage = u.IsTrue()
		}
	}
	d.choices()
}

// lowBits reads an integer of any size, of which only the last 31 bits count, as
// two's complement has them. math/big would bring randomness into this package.
func lowBits(v rawjson.Value) (int64, bool) {
	digits, negative := strings.CutPrefix(string(v), "-")
	if digits == "" || len(digits) > 100 {
		return 0, false
	}
	n := int64(0)
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = (n*10 + int64(c-'0')) & math.MaxInt32
	}
	if negative {
		n = -n & math.MaxInt32
	}
	return math.MaxInt32 + 1 + n, true
}

// maxChoices is how many choices a request may ask for: Google's own limit where
// one call writes them all, and as many calls where each writes one.
const maxChoices = 8

// choices reads n. Models that write one choice per call are called n times,
// which needs whole answers. Source: specs/openai.md §9, row n.
func (d *decoder) choices() {
	v := d.in.n
	if v == nil {
		return
	}
	d.req.N = int(d.whole(v, "n", 1, 128))
	switch {
	case d.req.N <= 1:
	case d.req.N > maxChoices:
		d.reject("n", "At most %d choices are supported in a request; send it several times instead.", maxChoices)
	case int64(d.req.N) <= d.family.Candidates:
		d.req.Gemini.Config.CandidateCount = int64(d.req.N)
	case d.req.Stream:
		d.reject("n", "%s writes one choice at a time, so 'n' must be 1 in a stream. Ask without stream, or send the request several times.", d.req.Target)
	default:
		d.req.Calls = d.req.N
	}
}

// within checks a number against its range.
func (d *decoder) within(v rawjson.Value, param string, low, high float64) bool {
	if !d.is(v, rawjson.Number, param) {
		return false
	}
	f, ok := v.Float()
	if !ok || f < low || f > high {
		d.reject(param, "'%s' must be between %g and %g.", param, low, high)
		return false
	}
	return true
}

// whole checks an integer against its range; 0 after a fault.
func (d *decoder) whole(v rawjson.Value, param string, low, high int64) int64 {
	if !d.is(v, rawjson.Number, param) {
		return 0
	}
	n, ok := v.Int()
	if !ok {
		d.reject(param, "'%s' must be an integer.", param)
		return 0
	}
	if n < low || n > high {
		d.reject(param, "'%s' must be between %d and %d.", param, low, high)
		return 0
	}
	return n
}

func number(n int64) rawjson.Value { return appendInt(nil, n) }

func (d *decoder) stop(v rawjson.Value) {
	if v == nil {
		return
	}
	config := &d.req.Gemini.Config
	if v.Kind() == rawjson.String {
		if !v.IsEmptyString() {
			config.StopSequences = []rawjson.Value{v}
		}
		return
	}
	if !d.is(v, rawjson.Array, "stop") {
		return
	}
	for i, s := range v.Elems() {
		if s.Kind() != rawjson.String {
			d.is(s, rawjson.String, index("stop", i, ""))
			return
		}
		if !s.IsEmptyString() {
			config.StopSequences = append(config.StopSequences, s)
		}
		if len(config.StopSequences) > maxStops {
			d.reject("stop", "At most %d stop sequences are supported.", maxStops)
			return
		}
	}
}

// limits reads the output limit; the newer name wins.
func (d *decoder) limits() {
	var limit int64
	for _, f := range [...]struct {
		v    rawjson.Value
		name string
	}{{d.in.maxCompletionTokens, d.words.limit}, {d.in.maxTokens, "max_tokens"}} {
		if f.v == nil {
			continue
		}
		n := d.whole(f.v, f.name, 1, math.MaxInt64)
		if limit == 0 {
			limit = n
		}
	}
	if most := d.family.OutputLimit; most > 0 {
		limit = min(limit, most)
	}
	d.req.Gemini.Config.MaxOutputTokens = min(limit, math.MaxInt32)
}

// penalties drops zeros, which newer models refuse like any other value, and
// what the model does not take.
func (d *decoder) penalties() {
	config := &d.req.Gemini.Config
	for _, f := range [...]struct {
		v    rawjson.Value
		name string
		to   *rawjson.Value
	}{
		{d.in.presencePenalty, "presence_penalty", &config.PresencePenalty},
		{d.in.frequencyPenalty, "frequency_penalty", &config.FrequencyPenalty},
	} {
		if f.v == nil || !d.within(f.v, f.name, -2, 2) {
			continue
		}
		n, _ := f.v.Float()
		switch {
		case n == 0:
		case d.family.Has(capability.Penalties):
			*f.to = f.v
		case d.opts.Strict:
			d.reject(f.name, "%s does not support '%s'.", d.req.Target, f.name)
		}
	}
}

func (d *decoder) probabilities() {
	config := &d.req.Gemini.Config
	if v := d.in.logprobs; v != nil && d.is(v, rawjson.Bool, "logprobs") && v.IsTrue() {
		if !d.family.Has(capability.LogProbs) {
			d.reject("logprobs", "%s does not support 'logprobs'.", d.req.Target)
		}
		d.req.Logprobs, config.ResponseLogprobs = true, true
	}
	if v := d.in.topLogprobs; v != nil {
		n := d.whole(v, "top_logprobs", 0, 20)
		if n > 0 && !d.req.Logprobs {
			d.reject("top_logprobs", "'logprobs' must be true where 'top_logprobs' is used.")
		}
		d.req.TopLogprobs, config.Logprobs = int(n), n
	}
	if v := d.in.logitBias; v != nil && d.is(v, rawjson.Object, "logit_bias") && v.Len() > 0 {
		d.reject("logit_bias", "Gemini has no equivalent of 'logit_bias'.")
	}
}

func (d *decoder) tier() {
	v := d.in.serviceTier
	if v == nil || !d.is(v, rawjson.String, "service_tier") {
		return
	}
	d.req.ServiceTier = true
	switch string(v.Inner()) {
	case "auto", "default", "standard", "scale":
	case "flex":
		d.req.Gemini.ServiceTier = "flex"
	case "priority", "fast":
		d.req.Gemini.ServiceTier = "priority"
	default:
		d.reject("service_tier", "Unknown service tier %q. Supported are auto, default, flex and priority.", clip(v.Text()))
	}
}
