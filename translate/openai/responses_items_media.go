// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/media"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// itemMedia reads input_image {image_url, file_id, detail} and input_file
// {file_data, file_url, file_id, filename}, whose members stand in the part
// itself. Source: specs/openai.md §20.2.
func (d *decoder) itemMedia(p *gemini.Part, v rawjson.Value, word string) bool {
	var data, url, id, name, detail rawjson.Value
	key := "image_url"
	if word == "input_file" {
		key = "file_url"
	}
	for k, e := range d.doc.Members(v) {
		if e.IsNull() {
			continue
		}
		switch string(k.Inner()) {
		case "file_data":
			data = e
		case key:
			url = e
		case "file_id":
			id = e
		case "filename":
			name = e
		case "detail":
			detail = e
		}
	}
	switch {
	case data != nil && word == "input_file":
		return d.isPart(data, rawjson.String, "file_data") && d.fileData(p, media.TextIn(&d.doc, data), name.Text(), "file_data")
	case url.Kind() == rawjson.Object && word == "input_image": // as chat completions write it
		return d.linked(p, url, key)
	case url != nil:
		return d.isPart(url, rawjson.String, key) && d.url(p, url, key, key) && d.itemDetail(p, detail, word)
	case id != nil:
		return d.isPart(id, rawjson.String, "file_id") && d.fileID(p, id.Text(), "file_id") && d.itemDetail(p, detail, word)
	}
	d.rejectPart(key, "'%s' must have %s or file_id.", d.path(""), key)
	return false
}

// itemDetail reads the detail of an image; that of a file has no equivalent.
func (d *decoder) itemDetail(p *gemini.Part, detail rawjson.Value, word string) bool {
	return detail == nil || word != "input_image" || d.detail(p, detail, "detail")
}
