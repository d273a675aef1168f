// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// extras reads what has no field in OpenAI's API: safety_settings and
// cached_content at the top level, and Google's documented pass-through, which
// arrives as {"extra_body":{"google":{…}}} or {"google":{…}}.
// Source: specs/openai.md §8.2.
func (d *decoder) extras() {
	if v := d.in.safetySettings; v != nil {
		d.safety(v, "safety_settings")
	}
	if v := d.in.cachedContent; v != nil {
		d.cachedContent(v, "cached_content")
	}
	d.google(d.in.google, "google")
	if v := d.in.extraBody; v != nil && d.is(v, rawjson.Object, "extra_body") {
		if g := v.Get("google"); !g.IsNull() {
			d.google(g, "extra_body.google")
		}
		if s := v.Get("safety_settings"); !s.IsNull() {
			d.safety(s, "extra_body.safety_settings")
		}
	}
	if d.req.Gemini.SafetySettings == nil {
		d.req.Gemini.SafetySettings = d.safetyByDefault()
	}
}

// safetyByDefault are the settings of a request that brings none.
func (d *decoder) safetyByDefault() rawjson.Value {
	if len(d.defaults.Safety) > 0 {
		return d.defaults.Safety
	}
	if len(d.opts.Safety) > 0 {
		return d.opts.Safety
	}
	return nil
}

// google reads the pass-through object; only known members are taken, in both
// spellings.
func (d *decoder) google(v rawjson.Value, path string) {
	if v == nil || !d.is(v, rawjson.Object, path) {
		return
	}
	config := &d.req.Gemini.Config
	for k, m := range v.Members() {
		if m.IsNull() {
			continue
		}
		at := path + "." + k.Text()
		switch k.Text() {
		case "thinking_config", "thinkingConfig":
			d.thinkingConfig(m, at)
		case "cached_content", "cachedContent":
			d.cachedContent(m, at)
		case "safety_settings", "safetySettings":
			d.safety(m, at)
		case "media_resolution", "mediaResolution":
			if d.is(m, rawjson.String, at) {
				config.MediaResolution = d.mediaResolution(m.Text(), at)
			}
		case "top_k", "topK":
			if d.whole(m, at, 1, 1<<31-1) > 0 && d.family.Has(capability.Sampling) {
				config.TopK = m
			}
		case "response_modalities", "responseModalities":
			d.modalities(m, at)
		case "speech_config", "speechConfig":
			config.SpeechConfig = d.copyKnown(m, speechShape, at)
		case "image_config", "imageConfig":
			config.ImageConfig = d.copyKnown(m, imageShape, at)
		case "tools":
			d.googleTools(m, at)
		case "tool_config", "toolConfig":
			if d.is(m, rawjson.Object, at) {
				d.place(m, at)
			}
		}
	}
}

func (d *decoder) googleTools(v rawjson.Value, path string) {
	if !d.is(v, rawjson.Array, path) {
		return
	}
	for i, t := range v.Elems() {
		if !d.nativeTool(t, index(path, i, "")) {
			d.reject(index(path, i, ""), "Only built-in tools of Gemini can stand here: googleSearch, codeExecution, urlContext, googleMaps.")
			return
		}
	}
}

// thinkingConfig excludes a reasoning effort, as it does at Google.
func (d *decoder) thinkingConfig(v rawjson.Value, path string) {
	if !d.is(v, rawjson.Object, path) {
		return
	}
	if d.in.reasoningEffort != nil {
		d.reject(path, "'%s' and '%s' cannot be used together.", d.words.effort, path)
		return
	}
	t := &d.req.Gemini.Config.Thinking
	for k, m := range v.Members() {
		if m.IsNull() {
			continue
		}
		at := path + "." + k.Text()
		switch k.Text() {
		case "thinking_budget", "thinkingBudget":
			if d.whole(m, at, -1, 1<<20) >= -1 && d.failure == nil {
				t.Budget = m
				d.budget, _ = m.Int()
			}
		case "thinking_level", "thinkingLevel":
			if d.is(m, rawjson.String, at) {
				switch level := strings.ToUpper(m.Text()); level {
				case "MINIMAL", "LOW", "MEDIUM", "HIGH":
					t.Level = level
				default:
					d.reject(at, "Unknown thinking level %q. Use minimal, low, medium or high.", clip(m.Text()))
				}
			}
		case "include_thoughts", "includeThoughts":
			if d.is(m, rawjson.Bool, at) {
				d.thoughts = no
				if m.IsTrue() {
					d.thoughts = yes
				}
			}
		}
	}
	if t.Level != "" && t.Budget != nil {
		d.reject(path, "A thinking level and a thinking budget cannot be used together.")
	}
}

func (d *decoder) mediaResolution(word, path string) string {
	level := strings.TrimPrefix(strings.ToUpper(word), "MEDIA_RESOLUTION_")
	switch level {
	case "LOW", "MEDIUM", "HIGH", "ULTRA_HIGH":
		return "MEDIA_RESOLUTION_" + level
	}
	d.reject(path, "Unknown media resolution %q. Use low, medium or high.", clip(word))
	return ""
}

func (d *decoder) modalities(v rawjson.Value, path string) {
	if !d.is(v, rawjson.Array, path) {
		return
	}
	var list []string
	for i, e := range v.Elems() {
		word := strings.ToUpper(e.Text())
		if word != "TEXT" && word != "IMAGE" && word != "AUDIO" {
			d.reject(index(path, i, ""), "Unknown modality. Supported are TEXT, IMAGE and AUDIO.")
			return
		}
		list = append(list, word)
	}
	d.req.Gemini.Config.ResponseModalities = list
}

// safety copies the settings after a look at their words, so that a typing
// error names its place.
func (d *decoder) safety(v rawjson.Value, path string) {
	if out := d.copyKnown(v, safetyShape, path); len(out) > len("[]") {
		d.req.Gemini.SafetySettings = out
	}
}

// shape describes an object or array whose known members are copied. Google
// refuses a whole request for one unknown member, so nothing else passes.
type shape struct {
	kind    rawjson.Kind
	members []memberShape // Object
	elem    *shape        // Array
	words   []string      // String: what it may be; nil is anything
}

type memberShape struct {
	name, snake string
	shape       *shape
}

var (
	anyString = &shape{kind: rawjson.String}
	anyBool   = &shape{kind: rawjson.Bool}
	noMembers = &shape{kind: rawjson.Object}

	imageShape = objectOf("aspectRatio", anyString, "imageSize", anyString)
	voiceShape = objectOf("prebuiltVoiceConfig", objectOf("voiceName", anyString))

	speechShape = objectOf(
		"voiceConfig", voiceShape,
		"multiSpeakerVoiceConfig", objectOf("speakerVoiceConfigs", listOf(objectOf("speaker", anyString, "voiceConfig", voiceShape))),
		"languageCode", anyString,
	)
	safetyShape = listOf(objectOf(
		"category", &shape{kind: rawjson.String, words: []string{
			"HARM_CATEGORY_HARASSMENT", "HARM_CATEGORY_HATE_SPEECH", "HARM_CATEGORY_SEXUALLY_EXPLICIT",
			"HARM_CATEGORY_DANGEROUS_CONTENT", "HARM_CATEGORY_CIVIC_INTEGRITY",
		}},
		"threshold", &shape{kind: rawjson.String, words: []string{
			"BLOCK_NONE", "BLOCK_ONLY_HIGH", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_LOW_AND_ABOVE", "OFF",
			"HARM_BLOCK_THRESHOLD_UNSPECIFIED",
		}},
	))
	searchShape = objectOf(
		"timeRangeFilter", objectOf("startTime", anyString, "endTime", anyString),
		"searchTypes", objectOf("webSearch", noMembers, "imageSearch", noMembers),
	)
	mapsShape = objectOf("enableWidget", anyBool)
)

func listOf(elem *shape) *shape { return &shape{kind: rawjson.Array, elem: elem} }

// objectOf takes pairs of a camelCase name and a *shape.
func objectOf(pairs ...any) *shape {
	s := &shape{kind: rawjson.Object}
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i].(string)
		var snake strings.Builder
		for _, c := range name {
			if 'A' <= c && c <= 'Z' {
				snake.WriteByte('_')
				c += 'a' - 'A'
			}
			snake.WriteRune(c)
		}
		s.members = append(s.members, memberShape{name, snake.String(), pairs[i+1].(*shape)})
	}
	return s
}

// copyKnown copies v, members in camelCase, nil after a fault.
func (d *decoder) copyKnown(v rawjson.Value, s *shape, path string) rawjson.Value {
	out := d.appendKnown(nil, v, s, path)
	if d.failure != nil {
		return nil
	}
	return out
}

func (d *decoder) appendKnown(dst []byte, v rawjson.Value, s *shape, path string) []byte {
	if !d.is(v, s.kind, path) {
		return dst
	}
	switch s.kind {
	case rawjson.Object:
		dst = append(dst, '{')
		start := len(dst)
		for _, m := range s.members {
			name, value := m.name, v.Get(m.name)
			if value.IsNull() {
				name, value = m.snake, v.Get(m.snake)
			}
			if value.IsNull() {
				continue
			}
			if len(dst) > start {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, '"'), m.name...), '"', ':')
			dst = d.appendKnown(dst, value, m.shape, path+"."+name)
		}
		return append(dst, '}')
	case rawjson.Array:
		dst = append(dst, '[')
		for i, e := range v.Elems() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = d.appendKnown(dst, e, s.elem, index(path, i, ""))
		}
		return append(dst, ']')
	case rawjson.String:
		for i, w := range s.words {
			if v.Is(w) {
				break
			}
			if i == len(s.words)-1 {
				d.reject(path, "%q is not supported here. Use one of %s.", clip(v.Text()), strings.Join(s.words, ", "))
			}
		}
	}
	return append(dst, v...)
}
