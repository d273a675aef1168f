// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"slices"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/media"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// NewImageEdit decodes the form of POST /v1/images/edits. The result aliases the
// form only until it returns.
func NewImageEdit(env translate.Env, o Options, form Form) (*Image, *translate.Failure) {
	d := newDecoder(env, &o, &chatWords)
	in := &imageFields{}
	for name := range form.Fields {
		slot := in.field(name)
		switch {
		case slot == nil && o.Strict && name != "mask" && !isImageName(name):
			d.reject(clip(name), "Unrecognized request argument supplied: %s", clip(name))
		case slot == nil:
		case name == "n":
			*slot = form.value(name, rawjson.Number)
		case name == "stream":
			*slot = form.value(name, rawjson.Bool)
		default:
			*slot = form.value(name, rawjson.String)
		}
	}
	if len(form.Files["mask"]) > 0 || form.value("mask", rawjson.String) != nil {
		d.reject("mask", "Gemini has no masks. Say in the prompt what to change.")
	}
	return newImage(d, in, func(d *decoder) []gemini.Part { return d.pictures(form) })
}

// isImageName knows image, image[] and image[0].
func isImageName(name string) bool {
	base, _, _ := strings.Cut(name, "[")
	return base == "image"
}

// pictures are the media of a form, by the names of their fields and then in
// their order.
func (d *decoder) pictures(form Form) (parts []gemini.Part) {
	most := 14
	if strings.HasPrefix(d.req.Target, "gemini-2") {
		most = 3
	}
	names := make([]string, 0, len(form.Files))
	for name := range form.Files {
		if isImageName(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, file := range form.Files[name] {
			mime := mediaType(file, imageType)
			switch {
			case len(file.Data) == 0:
				d.reject("image", "The file %q is empty.", clip(file.Name))
			case mime == "":
				d.reject("image", "The file %q is no image that Gemini reads: PNG, JPEG, WebP, HEIC or HEIF.", clip(file.Name))
			case len(parts) == most:
				d.reject("image", "%s takes at most %d images.", d.req.Target, most)
			}
			parts = append(parts, gemini.Part{InlineData: &gemini.Blob{MIMEType: mime, Raw: file.Data}})
		}
	}
	if len(parts) == 0 {
		d.reject("image", "Missing required file: 'image'.")
	}
	return parts
}

// mediaType settles the type of a file: by its first bytes, which do not err,
// by its name, as declared. known turns what Gemini does not take into "".
func mediaType(f File, known func(mime string) string) string {
	for _, mime := range []string{media.SniffBytes(f.Data[:min(len(f.Data), 64)]), media.MIMEByName(f.Name), media.CanonicalMIME(f.Type)} {
		if mime = known(mime); mime != "" {
			return mime
		}
	}
	return ""
}

func imageType(mime string) string {
	switch mime {
	case "image/png", "image/jpeg", "image/webp", "image/heic", "image/heif":
		return mime
	}
	return ""
}
