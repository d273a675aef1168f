// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// ItemQuery is what is asked of a list of items.
type ItemQuery struct {
	Limit     int    // how many at most, from 1 on
	After     string // id of the item before the first; "" = from the start
	Ascending bool   // oldest first; the newest are first otherwise
	Encrypted bool   // with encrypted_content of reasoning items
}

// Input appends the list of items that the answer was given to, those of earlier
// responses included.
func (k *Kept) Input(dst []byte, q ItemQuery) ([]byte, *translate.Failure) {
	items, err := rawjson.Parse(k.Items)
	trace, err2 := rawjson.Parse(k.Trace)
	if err != nil || err2 != nil {
		return dst, unreadable()
	}
	input, _ := trace.Get("input").Int()
	var list []rawjson.Value
	for i, item := range items.Elems() {
		if int64(i) >= input {
			break
		}
		if item = shownItem(item, q.Encrypted); item != nil {
			list = append(list, item)
		}
	}
	if !q.Ascending {
		slices.Reverse(list)
	}
	if q.After != "" {
		at := slices.IndexFunc(list, func(item rawjson.Value) bool { return item.Get("id").Is(q.After) })
		if at < 0 {
			return dst, &translate.Failure{Kind: translate.NotFound, Param: "after", Message: "Item with id '" + clip(q.After) + "' not found among the input items of this response."}
		}
		list = list[at+1:]
	}
	more := len(list) > q.Limit
	list = list[:min(len(list), q.Limit)]
	dst = append(dst, `{"object":"list","data":[`...)
	for i, item := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, item...)
	}
	first, last := rawjson.Value("null"), rawjson.Value("null")
	if len(list) > 0 {
		first, last = appendOr(nil, "", list[0].Get("id"), "null"), appendOr(nil, "", list[len(list)-1].Get("id"), "null")
	}
	dst = append(append(dst, `],"first_id":`...), first...)
	dst = append(append(dst, `,"last_id":`...), last...)
	dst = strconv.AppendBool(append(dst, `,"has_more":`...), more)
	return append(dst, '}'), nil
}

// shownItem is an item as a client sees it, nil for one that only carries a
// signature. What was sent has a status, and messages have their content as a list.
func shownItem(item rawjson.Value, encrypted bool) rawjson.Value {
	typ, assistant := item.Get("type").Text(), item.Get("role").Is("assistant")
	hidden := typ == "reasoning" && !encrypted && !item.Get("encrypted_content").IsNull()
	if hidden && item.Get("summary").Len() == 0 {
		return nil
	}
	item = changed(nil, item, func(name string, v rawjson.Value) rawjson.Value {
		switch {
		case name == "status" && v.IsNull(), name == "encrypted_content" && hidden:
			return nil
		case name != "content" || typ != "message" || v.Kind() != rawjson.String:
			return v
		case assistant:
			return slices.Concat([]byte(`[{"type":"output_text","text":`), v, []byte(`,"annotations":[],"logprobs":[]}]`))
		default:
			return slices.Concat([]byte(`[{"type":"input_text","text":`), v, []byte(`}]`))
		}
	})
	if withStatus[typ] && item.Get("status") == nil {
		item = append(item[:len(item)-1], `,"status":"completed"}`...)
	}
	return item
}

// withStatus are the items that always have one, which clients need not send.
var withStatus = map[string]bool{
	"message": true, "function_call": true, "function_call_output": true, "custom_tool_call": true, "custom_tool_call_output": true,
}

// itemPrefixes begin the ids of items that clients sent without one.
var itemPrefixes = map[string]string{
	"message": "msg_", "reasoning": "rs_", "function_call": "fc_", "function_call_output": "fco_",
	"custom_tool_call": "ctc_", "custom_tool_call_output": "ctco_", "image_generation_call": "ig_",
}

// appendInput appends an item of the request as it is kept: with a type and an id.
func (x *Responses) appendInput(dst []byte, v rawjson.Value, n int) []byte {
	word, id := v.Get("type").Text(), v.Get("id")
	if word == "" {
		word = "message"
	}
	prefix, ok := itemPrefixes[word]
	if !ok {
		prefix = "item_"
	}
	dst = append(append(dst, `{"type":`...), rawjson.Quote(word)...)
	if id.Kind() == rawjson.String && !id.IsEmptyString() {
		dst = append(append(dst, `,"id":`...), id...)
	} else {
		dst = fmt.Appendf(dst, `,"id":"%s%s%0*d"`, prefix, x.id[len(responsePrefix):], itemSuffix, n)
	}
	for k, m := range v.Members() {
		if name := string(k.Inner()); name != "type" && name != "id" {
			dst = append(append(append(append(dst, ',', '"'), k.Inner()...), '"', ':'), m...)
		}
	}
	return append(dst, '}')
}
