// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Image is one POST /v1/images/generations or /v1/images/edits. It implements
// [translate.Batch]: each image is a call of its own, and those that succeed are
// answered with.
//
//	prompt           the text of the only content
//	image (edits)    media before the text
//	n                1 to 10, as many calls
//	size             imageConfig.aspectRatio and imageSize, see imageConfig
//	quality          high and hd: 2K where size says nothing
//	response_format  b64_json (default) or url: a data URL, as nothing is hosted
//	output_format    png or jpeg; what Gemini drew is converted where it differs
//	background       transparent is refused
//	stream           one event, when the image is there
//	mask             refused
//	style, moderation, user, output_compression, partial_images, input_fidelity: ignored
//
// Source: specs/openai.md §16.
type Image struct {
	unary
	n      int
	edit   bool
	url    bool   // answer with data URLs
	format string // png or jpeg; "" as Gemini drew it
	size   string // as asked, for the event
	level  string // quality as asked, for the event
}

var _ translate.Batch = (*Image)(nil)

// Limits of images. Source: specs/openai.md §16.
const (
	maxImages = 10
	// defaultImageModel is OpenAI's for requests without a model; an operator's
	// alias decides what draws.
	defaultImageModel = "gpt-image-1"
)

// imageFields are the members of the body or the fields of the form, null and
// absent ones nil.
type imageFields struct {
	model, prompt, n, size, quality, responseFormat rawjson.Value
	outputFormat, background, stream, ignored       rawjson.Value
}

func (f *imageFields) field(name string) *rawjson.Value {
	switch name {
	case "model":
		return &f.model
	case "prompt":
		return &f.prompt
	case "n":
		return &f.n
	case "size":
		return &f.size
	case "quality":
		return &f.quality
	case "response_format":
		return &f.responseFormat
	case "output_format":
		return &f.outputFormat
	case "background":
		return &f.background
	case "stream":
		return &f.stream
	case "style", "moderation", "user", "output_compression", "partial_images", "input_fidelity":
		return &f.ignored
	}
	return nil
}

// NewImageGeneration decodes an image request. The result aliases body only
// until it returns.
func NewImageGeneration(env translate.Env, o Options, body []byte) (*Image, *translate.Failure) {
	doc, f := parseBody(body)
	if f != nil {
		return nil, f
	}
	d := newDecoder(env, &o, &chatWords)
	in := &imageFields{}
	d.sort(doc, in.field)
	return newImage(d, in, nil)
}

// newImage decodes what both endpoints have; media are the pictures to edit.
func newImage(d *decoder, in *imageFields, media func(*decoder) []gemini.Part) (*Image, *translate.Failure) {
	x := &Image{n: 1, edit: media != nil}
	if in.model == nil {
		in.model = rawjson.Quote(defaultImageModel)
	}
	var parts []gemini.Part
	f := d.run(
		func() {
			if in.prompt == nil || in.prompt.IsEmptyString() {
				d.reject("prompt", "Missing required parameter: 'prompt'.")
			} else {
				d.is(in.prompt, rawjson.String, "prompt")
			}
		},
		func() { d.model(in.model) },
		d.drawingModel,
		func() { x.options(d, in) },
		func() { x.config(d, in) },
		func() {
			if media != nil {
				parts = media(d)
			}
			parts = append(parts, gemini.Part{Text: in.prompt})
		},
	)
	if f != nil {
		return nil, f
	}
	size := len(in.prompt)
	for i := range parts {
		if b := parts[i].InlineData; b != nil {
			size += len(b.Raw)/3*4 + 128
		}
	}
	d.req.Gemini.Contents = []gemini.Content{{Role: "user", Parts: parts}}
	d.req.Gemini.Config.ResponseModalities = []string{"IMAGE"}
	x.generate(d, size)
	return x, nil
}

// drawingModel refuses models that are known not to draw.
func (d *decoder) drawingModel() {
	id := d.req.Target
	for _, gone := range []string{"imagen-", "dall-e-", "gpt-image-", "chatgpt-image-"} {
		if strings.HasPrefix(id, gone) {
			d.failure = unknownModel(id)
			d.failure.Message += " Ask for an image model of Gemini, such as gemini-3.1-flash-image, or have the operator make " + id + " an alias of one."
			return
		}
	}
	if strings.HasPrefix(id, "gem") && !d.family.Has(capability.Draws) {
		d.reject("model", "%s does not draw images; use a model whose id has -image.", id)
	}
}

// options reads what is done with the image.
func (x *Image) options(d *decoder, in *imageFields) {
	if in.n != nil {
		x.n = int(d.whole(in.n, "n", 1, maxImages))
	}
	if in.stream != nil && d.is(in.stream, rawjson.Bool, "stream") {
		x.stream = in.stream.IsTrue()
	}
	switch v := in.responseFormat; {
	case v == nil || v.Is("b64_json"):
	case v.Is("url"):
		x.url = true
	default:
		d.reject("response_format", "'response_format' must be b64_json or url.")
	}
	switch v := in.outputFormat; {
	case v == nil:
	case v.Is("png") || v.Is("jpeg"):
		x.format = v.Text()
	default:
		d.reject("output_format", "Output format %q is not supported. Use png or jpeg.", clip(v.Text()))
	}
	switch v := in.background; {
	case v == nil || v.Is("auto") || v.Is("opaque"):
	case v.Is("transparent"):
		d.reject("background", "Gemini draws no transparent backgrounds.")
	default:
		d.reject("background", "'background' must be auto or opaque.")
	}
}

// The shapes of pictures. Source: specs/openai.md §16.
var (
	ratios     = strings.Fields("1:1 2:3 3:2 3:4 4:3 4:5 5:4 9:16 16:9 21:9")
	wideRatios = append(slices.Clone(ratios), strings.Fields("1:4 4:1 1:8 8:1")...) // gemini-3.1-flash-image
)

// config reads size and quality. A size is auto, WIDTHxHEIGHT (the nearest ratio
// and the size class of the longer side) or a ratio such as 16:9.
func (x *Image) config(d *decoder, in *imageFields) {
	if in.size != nil && !d.is(in.size, rawjson.String, "size") || in.quality != nil && !d.is(in.quality, rawjson.String, "quality") {
		return
	}
	x.size, x.level = in.size.Text(), in.quality.Text()
	newest := strings.HasPrefix(d.req.Target, "gemini-3.1-")
	list := ratios
	if newest {
		list = wideRatios
	}
	ratio, longer := "", 0
	if w, h, ok := pair(x.size, "x"); ok {
		ratio, longer = nearest(list, w, h), int(max(w, h))
	} else if slices.Contains(list, x.size) {
		ratio = x.size
	} else if x.size != "" && x.size != "auto" {
		d.reject("size", "'size' must be auto, WIDTHxHEIGHT or one of the ratios %s.", strings.Join(list, ", "))
		return
	}
	class := ""
	switch {
	case longer == 0 && (x.level == "high" || x.level == "hd"):
		class = "2K"
	case longer == 0:
	case longer <= 512 && newest:
		class = "512"
	case longer <= 1536:
		class = "1K"
	case longer <= 2560:
		class = "2K"
	default:
		class = "4K"
	}
	if strings.HasPrefix(d.req.Target, "gemini-2") { // has one size
		class = ""
	}
	members := make([]string, 0, 2)
	if ratio != "" {
		members = append(members, `"aspectRatio":"`+ratio+`"`)
	}
	if class != "" {
		members = append(members, `"imageSize":"`+class+`"`)
	}
	if len(members) > 0 {
		d.req.Gemini.Config.ImageConfig = rawjson.Value("{" + strings.Join(members, ",") + "}")
	}
}

// pair reads two whole numbers.
func pair(s, separator string) (w, h float64, ok bool) {
	a, b, found := strings.Cut(s, separator)
	x, err1 := strconv.ParseUint(a, 10, 16)
	y, err2 := strconv.ParseUint(b, 10, 16)
	return float64(x), float64(y), found && err1 == nil && err2 == nil && x > 0 && y > 0
}

// nearest finds the ratio that differs by the smallest factor.
func nearest(list []string, w, h float64) (best string) {
	least := math.Inf(1)
	for _, r := range list {
		a, b, _ := pair(r, ":")
		if off := math.Abs(math.Log(w/h) - math.Log(a/b)); off < least {
			best, least = r, off
		}
	}
	return best
}

// Calls implements [translate.Batch].
func (x *Image) Calls() []*translate.Call { return slices.Repeat([]*translate.Call{&x.call}, x.n) }

// Partial implements [translate.Batch]: fewer images are better than none.
func (x *Image) Partial() bool { return true }
