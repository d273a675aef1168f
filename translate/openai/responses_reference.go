// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

const (
	responsePrefix = "resp_"
	// responseCore is how many characters follow it. The ids of a response's items
	// repeat them, so that an item is found by its id alone.
	responseCore = 32
	itemSuffix   = 8
)

// reference reads item_reference {id}: an item of a kept answer, in whose place
// it is read. The ai package sends them for whatever it was answered before,
// unless told not to store.
func (d *responsesDecoder) reference(v rawjson.Value) {
	id := v.Get("id")
	if id.IsNull() {
		d.rejectPart("id", "Missing required parameter: '%s'.", d.path("id"))
		return
	}
	if !d.isPart(id, rawjson.String, "id") {
		return
	}
	item := d.kept(id.Text())
	if item == nil {
		d.failure = &translate.Failure{
			Kind: translate.NotFound, Param: d.path("id"),
			Message: "Item with id '" + clip(id.Text()) + "' not found. Items are kept for a while with the response they belong to, unless 'store' is false; send the item itself.",
		}
		return
	}
	if d.out.referred == nil {
		d.out.referred = map[int]rawjson.Value{}
	}
	d.out.referred[d.message-d.earlier] = item
	d.item(item)
}

// kept returns an item of an earlier answer, nil where there is none.
func (d *responsesDecoder) kept(id string) rawjson.Value {
	_, rest, _ := strings.Cut(id, "_")
	if d.opts.Previous == nil || len(rest) < responseCore {
		return nil
	}
	response := responsePrefix + rest[:responseCore]
	if response != d.keptID {
		items, _ := d.opts.Previous(response)
		list, err := rawjson.Parse(items)
		if err != nil {
			return nil
		}
		d.keptID, d.keptItems = response, list
	}
	for _, item := range d.keptItems.Elems() {
		if item.Get("id").Is(id) && !item.Get("type").Is("item_reference") {
			return item
		}
	}
	return nil
}
