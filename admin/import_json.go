// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// What one-api and new-api call things. Source: their tables of channels.
const (
	channelGemini   = 24 // type of a channel
	channelDisabled = 2  // status: by hand
)

// containers are fields that lists of keys are found in.
var containers = []string{"keys", "data", "items", "api_keys", "channels", "groups", "rows", "records", "result", "results"}

// readJSON reads one document, or one a line.
func (t *importText) readJSON(text string) error {
	dec := json.NewDecoder(strings.NewReader(text))
	for !t.more {
		var v any
		switch err := dec.Decode(&v); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("is no JSON from byte %d on", dec.InputOffset())
		}
		r := jsonReader{importText: t}
		r.value(v, 0)
		if !r.any {
			return errors.New("is JSON, but has no keys where they are looked for: a list of them, objects with key, key_value or API_KEYS")
		}
	}
	return nil
}

// jsonReader walks through a document.
type jsonReader struct {
	*importText
	any bool // something was found that is a key or should be one
}

func (r *jsonReader) value(v any, depth int) {
	switch v := v.(type) {
	case string:
		r.text(v, balancer.NewKey{})
	case []any:
		r.any = true // even if it is empty
		for _, item := range v {
			if depth < maxDepth {
				r.value(item, depth+1)
			}
		}
	case map[string]any:
		r.object(v, depth)
	case nil:
	default:
		r.entry(balancer.NewKey{Secret: fmt.Sprint(v)}, false)
	}
}

// entry adds what should be a key. In JSON, the line is which of them it is.
func (r *jsonReader) entry(k balancer.NewKey, sure bool) {
	r.any = true
	r.add(len(r.lines)+1, k, sure)
}

// text adds the keys of a string, which may be several.
func (r *jsonReader) text(text string, k balancer.NewKey) {
	words := strings.FieldsFunc(text, notOfKey)
	if len(words) == 0 {
		k.Secret = text
		r.entry(k, true)
		return
	}
	for _, w := range words {
		k.Secret = w
		r.entry(k, len(words) == 1)
	}
}

func (r *jsonReader) object(o map[string]any, depth int) {
	if r.settings(o, depth) || r.keyed(o) || depth >= maxDepth {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if slices.Contains(containers, strings.ToLower(name)) {
			if _, list := o[name].([]any); list || isObject(o[name]) {
				r.value(o[name], depth+1)
			}
		}
	}
}

func isObject(v any) bool {
	_, ok := v.(map[string]any)
	return ok
}

// settings reads gemini-balance's: an object of all of them, or a row of its table.
func (r *jsonReader) settings(o map[string]any, depth int) bool {
	if name, ok := o["key"].(string); ok && (name == "API_KEYS" || name == "PAID_KEY") {
		o = map[string]any{name: o["value"]}
	} else if ok && o["value"] != nil && o["type"] == nil && !keyLike(name, false) {
		r.any = true // another setting
		return true
	}
	keys, have := o["API_KEYS"]
	paid, havePaid := o["PAID_KEY"].(string)
	if have {
		if text, ok := keys.(string); ok { // a list within a string
			var list []any
			if json.Unmarshal([]byte(text), &list) == nil {
				keys = list
			}
		}
		r.value(keys, depth+1)
	}
	if havePaid && keyLike(paid, false) {
		r.entry(balancer.NewKey{Secret: paid, Paid: true}, true)
	}
	return have || havePaid
}

// keyed reads an object that is a key, or a channel of keys.
func (r *jsonReader) keyed(o map[string]any) bool {
	fields := map[string]any{}
	for name, v := range o {
		if column := columnOf(name); column != "" && (fields[column] == nil || name == column) {
			fields[column] = v
		}
	}
	secret, ok := fields["key"].(string)
	if !ok {
		return false
	}
	k := balancer.NewKey{
		Name: textOf(fields["name"]), Note: textOf(fields["note"]), Project: textOf(fields["project"]), Proxy: textOf(fields["proxy"]),
		Tags: listOf(fields["tags"]), Models: listOf(fields["models"]), Paid: fields["paid"] == true,
		Disabled: off(textOf(fields["status"])) || fields["status"] == float64(channelDisabled) || fields["enabled"] == false,
	}
	var bad string
	if w := fields["weight"]; w != nil {
		if k.Weight, bad = weightOf(strings.TrimSpace(fmt.Sprint(w))); bad != "" {
			k.Secret = secret // for its hint
		}
	}
	if kind, channel := o["type"].(float64); channel {
		// What a channel may be asked for is written in the names of its clients, and
		// weighed against other channels, not keys.
		k.Models, k.Weight, k.Secret, bad = nil, 0, "", ""
		if kind != channelGemini {
			bad = fmt.Sprintf("it is a channel of type %.0f, not of Gemini (%d)", kind, channelGemini)
		}
	}
	if bad != "" {
		r.any = true
		r.keep(importLine{line: len(r.lines) + 1, key: k, bad: bad})
		return true
	}
	r.channel(o, secret, k)
	return true
}

// channel adds the keys of a channel but for those that somebody switched off there.
func (r *jsonReader) channel(o map[string]any, secret string, k balancer.NewKey) {
	info, _ := o["channel_info"].(map[string]any)
	statuses, _ := info["multi_key_status_list"].(map[string]any)
	if len(statuses) == 0 {
		r.text(secret, k)
		return
	}
	for i, one := range strings.Split(strings.Trim(secret, "\n"), "\n") {
		single := k
		single.Disabled = k.Disabled || statuses[fmt.Sprint(i)] == float64(channelDisabled)
		r.text(one, single)
	}
}

func textOf(v any) string {
	s, _ := v.(string)
	return strings.TrimSpace(s)
}

// listOf is a list of texts, or one text of several words.
func listOf(v any) []string {
	switch v := v.(type) {
	case string:
		return wordsOf(v)
	case []any:
		var out []string
		for _, item := range v {
			if s := textOf(item); s != "" {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}
