// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// The wire types of images, as strictly as OpenAI's typed SDKs read them.
type wireImages struct {
	Created      int64            `json:"created"`
	Data         []wirePicture    `json:"data"`
	OutputFormat string           `json:"output_format"`
	Usage        *wireImagesUsage `json:"usage"`
}

type wirePicture struct {
	B64JSON       []byte `json:"b64_json"`
	URL           string `json:"url"`
	RevisedPrompt string `json:"revised_prompt"`
}

type wireImagesUsage struct {
	InputTokens        int64 `json:"input_tokens"`
	InputTokensDetails struct {
		TextTokens  int64 `json:"text_tokens"`
		ImageTokens int64 `json:"image_tokens"`
	} `json:"input_tokens_details"`
	OutputTokens int64 `json:"output_tokens"`
	TotalTokens  int64 `json:"total_tokens"`
}

type wireImageEvent struct {
	Type         string           `json:"type"`
	B64JSON      []byte           `json:"b64_json"`
	CreatedAt    int64            `json:"created_at"`
	Size         string           `json:"size"`
	Quality      string           `json:"quality"`
	Background   string           `json:"background"`
	OutputFormat string           `json:"output_format"`
	Usage        *wireImagesUsage `json:"usage"`
}

func draw(t testing.TB, model, members string) *Image {
	t.Helper()
	x, f := NewImageGeneration(answerEnv(), Options{Safety: []byte(`[{"category":"c","threshold":"OFF"}]`)}, []byte(`{"model":"`+model+`","prompt":"a \"cat\""`+members+`}`))
	if f != nil {
		t.Fatal(f)
	}
	return x
}

func drawn(t testing.TB, x *Image, answers ...string) *wireImages {
	t.Helper()
	bodies := make([][]byte, len(answers))
	for i, a := range answers {
		if a == "" {
			continue // this call failed
		}
		bodies[i] = []byte(a)
		if err := x.Check(i, bodies[i]); err != nil {
			t.Fatal(err)
		}
	}
	out, err := x.Join(nil, bodies)
	if err != nil {
		t.Fatal(err)
	}
	var w wireImages
	strict(t, out, &w)
	return &w
}

const (
	image25 = "gemini-2.5-flash-image"
	image3  = "gemini-3-pro-image-preview"
	image31 = "gemini-3.1-flash-image"
	catPNG  = `{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}}`
)

// TestImage_Requests are the request rows of §16: generationConfig beside the
// modalities.
func TestImage_Requests(t *testing.T) {
	for _, tc := range []struct{ name, model, members, want string }{
		{"nothing", image3, ``, ``},
		{"auto", image3, `,"size":"auto","quality":"auto"`, ``},
		{"square", image3, `,"size":"1024x1024"`, `{"aspectRatio":"1:1","imageSize":"1K"}`},
		{"small square", image3, `,"size":"256x256"`, `{"aspectRatio":"1:1","imageSize":"1K"}`},
		{"small square of 3.1", image31, `,"size":"512x512"`, `{"aspectRatio":"1:1","imageSize":"512"}`},
		{"square of 2.5", image25, `,"size":"1024x1024"`, `{"aspectRatio":"1:1"}`},
		{"landscape", image3, `,"size":"1536x1024"`, `{"aspectRatio":"3:2","imageSize":"1K"}`},
		{"portrait", image3, `,"size":"1024x1536"`, `{"aspectRatio":"2:3","imageSize":"1K"}`},
		{"wide", image3, `,"size":"1792x1024"`, `{"aspectRatio":"16:9","imageSize":"2K"}`},
		{"tall", image3, `,"size":"1024x1792"`, `{"aspectRatio":"9:16","imageSize":"2K"}`},
		{"nearest", image3, `,"size":"1000x990"`, `{"aspectRatio":"1:1","imageSize":"1K"}`},
		{"nearest of the extreme", image3, `,"size":"3000x100"`, `{"aspectRatio":"21:9","imageSize":"4K"}`},
		{"nearest of the extreme of 3.1", image31, `,"size":"3000x100"`, `{"aspectRatio":"8:1","imageSize":"4K"}`},
		{"2K", image3, `,"size":"2560x1440"`, `{"aspectRatio":"16:9","imageSize":"2K"}`},
		{"literal ratio", image3, `,"size":"16:9"`, `{"aspectRatio":"16:9"}`},
		{"literal ratio of 3.1", image31, `,"size":"1:8"`, `{"aspectRatio":"1:8"}`},
		{"hd", image3, `,"quality":"hd"`, `{"imageSize":"2K"}`},
		{"high", image3, `,"quality":"high","size":"auto"`, `{"imageSize":"2K"}`},
		{"high with a size", image3, `,"quality":"high","size":"1024x1024"`, `{"aspectRatio":"1:1","imageSize":"1K"}`},
		{"high of 2.5", image25, `,"quality":"high"`, ``},
		{"low", image3, `,"quality":"low"`, ``},
		{"unknown model", "nano-banana-pro", `,"quality":"high"`, `{"imageSize":"2K"}`},
		{"ignored", image3, `,"style":"vivid","moderation":"low","user":"u","output_compression":50,"partial_images":2,"background":"opaque","output_format":"png","response_format":"b64_json","n":null`, ``},
	} {
		t.Run(tc.name, func(t *testing.T) {
			call := draw(t, tc.model, tc.members).Call()
			config := ""
			if tc.want != "" {
				config = `,"imageConfig":` + tc.want
			}
			want := `{"contents":[{"role":"user","parts":[{"text":"a \"cat\""}]}],"safetySettings":[{"category":"c","threshold":"OFF"}],"generationConfig":{"responseModalities":["IMAGE"]` + config + `}}`
			if string(call.Whole()) != want {
				t.Errorf("\n got %s\nwant %s", call.Whole(), want)
			}
			if call.Path != "/v1beta/models/"+tc.model+":generateContent" || !call.Generate || call.Stream != translate.Unary {
				t.Errorf("%+v", call)
			}
		})
	}
}

func TestImage_Rejects(t *testing.T) {
	for _, tc := range []struct{ name, members, param, message string }{
		{"no prompt", `"model":"gemini-3-pro-image"`, "prompt", "Missing"},
		{"empty prompt", `"prompt":""`, "prompt", "Missing"},
		{"prompt of another type", `"prompt":["a"]`, "prompt", "expected a string"},
		{"n", `"prompt":"p","n":11`, "n", "between 1 and 10"},
		{"size", `"prompt":"p","size":"large"`, "size", "WIDTHxHEIGHT"},
		{"size zero", `"prompt":"p","size":"0x100"`, "size", "WIDTHxHEIGHT"},
		{"ratio of 3.1 only", `"prompt":"p","size":"1:8"`, "size", "16:9"},
		{"size of another type", `"prompt":"p","size":1024`, "size", "expected a string"},
		{"response format", `"prompt":"p","response_format":"png"`, "response_format", "b64_json or url"},
		{"webp", `"prompt":"p","output_format":"webp"`, "output_format", "png or jpeg"},
		{"transparent", `"prompt":"p","background":"transparent"`, "background", "transparent"},
		{"background", `"prompt":"p","background":"red"`, "background", "opaque"},
		{"stream of another type", `"prompt":"p","stream":"yes"`, "stream", "a boolean"},
		{"no image model", `"prompt":"p","model":"gemini-flash-latest"`, "model", "-image"},
		{"strict", `"prompt":"p","x":1`, "x", "Unrecognized"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, f := NewImageGeneration(answerEnv(), Options{Strict: true}, []byte(`{"model":"gemini-3-pro-image",`+tc.members+`}`))
			if f == nil || f.Kind != translate.InvalidRequest || f.Param != tc.param || !strings.Contains(f.Message, tc.message) {
				t.Errorf("%+v", f)
			}
		})
	}
	for _, model := range []string{`"model":"imagen-4.0-generate-001",`, `"model":"dall-e-3",`, `"model":"gpt-image-1",`, ``} {
		_, f := NewImageGeneration(answerEnv(), Options{}, []byte(`{`+model+`"prompt":"p"}`))
		if f == nil || f.Kind != translate.ModelNotFound || !strings.Contains(f.Message, "alias") {
			t.Errorf("%s %+v", model, f)
		}
	}
	o := Options{Resolve: func(m string) string { return map[string]string{"gpt-image-1": image31}[m] }}
	if x, f := NewImageGeneration(answerEnv(), o, []byte(`{"prompt":"p"}`)); f != nil || x.Call().Model != image31 || x.Call().Asked != "gpt-image-1" {
		t.Errorf("without a model: %v", f)
	}
}

// TestImage_Answers are the answer rows of §16.
func TestImage_Answers(t *testing.T) {
	usage := `,"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":1290,"thoughtsTokenCount":5,"totalTokenCount":1305,"promptTokensDetails":[{"modality":"TEXT","tokenCount":4},{"modality":"IMAGE","tokenCount":6}]}}`
	answer := strings.TrimSuffix(finished(`{"thought":true,"inlineData":{"mimeType":"image/png","data":"RFJBRlQ="}},{"text":"A "},`+catPNG+`,{"text":"cat\n"},{}`, "STOP"), "}") + usage
	x := draw(t, image3, "")
	w := drawn(t, x, answer)
	if w.Created != answerEnv().Now.Unix() || len(w.Data) != 1 || string(w.Data[0].B64JSON) != "\x89PNG\r\n\x1a\n" || w.Data[0].RevisedPrompt != "A cat\n" || w.OutputFormat != "png" {
		t.Errorf("%s", show(w))
	}
	if u := w.Usage; u.InputTokens != 10 || u.InputTokensDetails.ImageTokens != 6 || u.InputTokensDetails.TextTokens != 4 || u.OutputTokens != 1295 || u.TotalTokens != 1305 {
		t.Errorf("usage %s", show(u))
	}
	if x.Usage().Output() != 1295 {
		t.Errorf("booked %+v", x.Usage())
	}
	if w = drawn(t, draw(t, image3, `,"response_format":"url"`), answer); w.Data[0].URL != "data:image/png;base64,iVBORw0KGgo=" || w.Data[0].B64JSON != nil {
		t.Errorf("%s", show(w))
	}

	x = draw(t, image3, `,"n":3`)
	if calls := x.Calls(); len(calls) != 3 || calls[2] != x.Call() || !x.Partial() {
		t.Fatalf("%d calls", len(calls))
	}
	w = drawn(t, x, answer, "", answer)
	if len(w.Data) != 2 || w.Usage.TotalTokens != 2610 {
		t.Errorf("two of three: %s", show(w))
	}
	if w = drawn(t, x, "", finished(catPNG+","+catPNG, "STOP"), ""); len(w.Data) != 2 {
		t.Errorf("two in one: %s", show(w))
	}
}

// TestImage_Nothing is the last row of answers in §16.
func TestImage_Nothing(t *testing.T) {
	for _, tc := range []struct {
		name, answer string
		kind         translate.Kind
		code         string
		message      string
		retry        bool
	}{
		{"image safety", finished(``, "IMAGE_SAFETY"), translate.InvalidRequest, codeModeration, "IMAGE_SAFETY", false},
		{"prohibited", finished(`{"text":"I cannot."}`, "PROHIBITED_CONTENT"), translate.InvalidRequest, codeModeration, "PROHIBITED", false},
		{"recitation", finished(``, "IMAGE_RECITATION"), translate.InvalidRequest, codeModeration, "RECITATION", false},
		{"blocked prompt", `{"promptFeedback":{"blockReason":"SAFETY"}}`, translate.InvalidRequest, codeModeration, "SAFETY", false},
		{"text only", finished(`{"text":" Which \"cat\"?"}`, "STOP"), translate.InvalidRequest, codeNoImage, `Which "cat"?`, true},
		{"long text", finished(`{"text":"`+strings.Repeat("é", maxWords)+`"}`, "STOP"), translate.InvalidRequest, codeNoImage, "é…", true},
		{"no image", finished(``, "NO_IMAGE"), translate.InvalidRequest, codeNoImage, "no image", true},
		{"draft only", finished(`{"thought":true,"inlineData":{"mimeType":"image/png","data":"AAAA"}}`, "STOP"), translate.InvalidRequest, codeNoImage, "no image", true},
		{"other", finished(``, "IMAGE_OTHER"), translate.InvalidRequest, codeNoImage, "no image", true},
		{"empty", `{}`, translate.EmptyAnswer, "", "", true},
		{"cut", `{"candidates":[`, translate.Truncated, "", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := draw(t, image3, "")
			var f *translate.Failure
			if err := x.Check(0, []byte(tc.answer)); !errors.As(err, &f) || f.Kind != tc.kind || f.Code != tc.code || f.Retry != tc.retry || !strings.Contains(f.Message, tc.message) {
				t.Fatalf("%+v", err)
			}
			a := x.Error(f)
			kind := "invalid_request_error"
			if tc.code == codeModeration {
				kind = "image_generation_user_error"
			}
			if tc.kind == translate.InvalidRequest && (a.Status != 400 || !strings.Contains(string(a.Body), `"type":"`+kind+`"`)) {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	x := draw(t, image3, `,"n":2`)
	if _, err := x.Join(nil, make([][]byte, 2)); err == nil {
		t.Error("joined nothing")
	}
}

func TestImage_Stream(t *testing.T) {
	x := draw(t, image3, `,"stream":true,"n":2,"size":"1024x1024","quality":"high","partial_images":2`)
	if x.ContentType() != eventStream || x.Call().Stream != translate.Unary || x.Heartbeat() == "" {
		t.Error("not a stream of a whole answer")
	}
	answer := strings.TrimSuffix(finished(catPNG, "STOP"), "}") + `,"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2}}`
	out, err := x.Join(nil, [][]byte{[]byte(answer), []byte(answer)})
	if err != nil {
		t.Fatal(err)
	}
	events := strings.Split(strings.TrimSuffix(string(out), "\n\n"), "\n\n")
	if len(events) != 2 {
		t.Fatalf("%q", out)
	}
	total := int64(0)
	for _, e := range events {
		doc, ok := strings.CutPrefix(e, "event: image_generation.completed\ndata: ")
		var w wireImageEvent
		strict(t, []byte(doc), &w)
		if !ok || w.Type != "image_generation.completed" || len(w.B64JSON) != 8 || w.Size != "1024x1024" || w.Quality != "high" || w.Background != "opaque" || w.OutputFormat != "png" || w.CreatedAt == 0 {
			t.Errorf("%q", e)
		}
		total += w.Usage.TotalTokens
	}
	if total != 6 {
		t.Errorf("%d tokens in all", total)
	}
	if abort := string(x.Abort(nil, translate.NoContent())); !strings.HasPrefix(abort, `data: {"error":{`) || !strings.HasSuffix(abort, "\n\n") {
		t.Errorf("%q", abort)
	}
	large := finished(`{"inlineData":{"mimeType":"image/png","data":"`+strings.Repeat("AAAA", maxLine/4)+`"}}`, "STOP")
	if out, err := draw(t, image3, `,"stream":true`).Response(nil, []byte(large)); err == nil || len(out) > 0 {
		t.Error("a line too long for SDKs was sent")
	}
}

func TestImage_Convert(t *testing.T) {
	picture := image.NewRGBA(image.Rect(0, 0, 8, 4))
	picture.Set(1, 1, color.White)
	var asPNG, asJPEG bytes.Buffer
	if err := errors.Join(png.Encode(&asPNG, picture), jpeg.Encode(&asJPEG, picture, nil)); err != nil {
		t.Fatal(err)
	}
	part := func(mime string, data []byte) string {
		return finished(`{"inlineData":{"mimeType":"`+mime+`","data":"`+base64.StdEncoding.EncodeToString(data)+`"}}`, "STOP")
	}
	for _, tc := range []struct{ name, asked, answer, want string }{
		{"png to jpeg", "jpeg", part("image/png", asPNG.Bytes()), "jpeg"},
		{"jpeg to png", "png", part("image/jpeg", asJPEG.Bytes()), "png"},
		{"png as it is", "png", part("image/png", asPNG.Bytes()), "png"},
		{"webp stays", "png", part("image/webp", []byte("RIFFxxxxWEBP")), "webp"},
		{"not readable stays", "jpeg", part("image/png", asPNG.Bytes()[:40]), "png"},
		{"not base64 stays", "jpeg", finished(`{"inlineData":{"mimeType":"image/png","data":"AAAAAA=="}}`, "STOP"), "png"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := drawn(t, draw(t, image3, `,"output_format":"`+tc.asked+`"`), tc.answer)
			if w.OutputFormat != tc.want {
				t.Fatalf("%s", w.OutputFormat)
			}
			_, format, err := image.DecodeConfig(bytes.NewReader(w.Data[0].B64JSON))
			if strings.Contains(tc.name, "to") && (err != nil || format != tc.want) {
				t.Errorf("%s, %v", format, err)
			}
		})
	}
}

// TestImageEdit are the rows of /images/edits in §16.
func TestImageEdit(t *testing.T) {
	const jpegBytes = "\xff\xd8\xff\xe0rest"
	form := formOf(t,
		upload{"prompt", "", "", "make it \"blue\""}, upload{"model", "", "", image25}, upload{"n", "", "", "2"}, upload{"size", "", "", "1536x1024"},
		upload{"image[]", "a.png", "application/octet-stream", "\x89PNG\r\n\x1a\n"}, upload{"image[]", "b.bin", "image/png", jpegBytes}, upload{"image[]", "c.webp", "", "?"},
		upload{"stream", "", "", "true"}, upload{"user", "", "", "u"},
	)
	x, f := NewImageEdit(answerEnv(), Options{}, form)
	if f != nil {
		t.Fatal(f)
	}
	blob := func(mime, data string) string {
		return `{"inlineData":{"mimeType":"` + mime + `","data":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `"}}`
	}
	want := `{"contents":[{"role":"user","parts":[` + blob("image/png", "\x89PNG\r\n\x1a\n") + `,` + blob("image/jpeg", jpegBytes) + `,` + blob("image/webp", "?") +
		`,{"text":"make it \"blue\""}]}],"generationConfig":{"responseModalities":["IMAGE"],"imageConfig":{"aspectRatio":"3:2"}}}`
	if got := string(x.Call().Whole()); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if len(x.Calls()) != 2 {
		t.Errorf("%d calls", len(x.Calls()))
	}
	out, err := x.Join(nil, [][]byte{[]byte(finished(catPNG, "STOP")), nil})
	if err != nil || !strings.HasPrefix(string(out), "event: image_edit.completed\ndata: {\"type\":\"image_edit.completed\",") {
		t.Errorf("%s, %v", out, err)
	}
}

func TestImageEdit_Rejects(t *testing.T) {
	picture := upload{"image", "a.png", "image/png", "\x89PNG\r\n\x1a\n"}
	prompt := upload{"prompt", "", "", "p"}
	model := upload{"model", "", "", image25}
	for _, tc := range []struct {
		name    string
		form    []upload
		param   string
		message string
	}{
		{"no image", []upload{prompt, model}, "image", "Missing"},
		{"no prompt", []upload{picture, model}, "prompt", "Missing"},
		{"mask", []upload{prompt, model, picture, {"mask", "m.png", "image/png", "x"}}, "mask", "no masks"},
		{"mask in words", []upload{prompt, model, picture, {"mask", "", "", "x"}}, "mask", "no masks"},
		{"empty image", []upload{prompt, model, {"image", "a.png", "image/png", ""}}, "image", "empty"},
		{"no image format", []upload{prompt, model, {"image", "a.gif", "image/gif", "GIF89a"}}, "image", "PNG"},
		{"too many of 2.5", []upload{prompt, model, picture, picture, picture, picture}, "image", "at most 3"},
		{"n", []upload{prompt, model, picture, {"n", "", "", "many"}}, "n", "a number"},
		{"strict", []upload{prompt, model, picture, {"x", "", "", "1"}}, "x", "Unrecognized"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, f := NewImageEdit(answerEnv(), Options{Strict: true}, formOf(t, tc.form...))
			if f == nil || f.Kind != translate.InvalidRequest || f.Param != tc.param || !strings.Contains(f.Message, tc.message) {
				t.Errorf("%+v", f)
			}
		})
	}
	many := append([]upload{prompt, {"model", "", "", image31}}, make([]upload, 14)...)
	for i := range 14 {
		many[2+i] = picture
	}
	if _, f := NewImageEdit(answerEnv(), Options{}, formOf(t, many...)); f != nil {
		t.Errorf("14 images: %v", f)
	}
	if _, f := NewImageEdit(answerEnv(), Options{}, formOf(t, append(many, picture)...)); f == nil {
		t.Error("15 images were accepted")
	}
}

// TestImage_Recordings takes the recorded answers of image models, and finds no
// image in those of Imagen.
func TestImage_Recordings(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(recordings, "images", "*.json"))
	if len(files) == 0 {
		t.Skip("no recordings beside the project")
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w := drawn(t, draw(t, image25, ""), string(body))
		var recorded struct {
			Candidates []struct {
				Content struct {
					Parts []struct {
						Text       string
						InlineData *struct{ Data []byte }
					}
				}
			}
		}
		if err := json.Unmarshal(body, &recorded); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, p := range recorded.Candidates[0].Content.Parts {
			if p.InlineData != nil {
				if n >= len(w.Data) || !bytes.Equal(w.Data[n].B64JSON, p.InlineData.Data) {
					t.Errorf("%s: image %d is another", file, n)
				}
				n++
			} else if !strings.Contains(w.Data[0].RevisedPrompt, p.Text) {
				t.Errorf("%s: lost %q", file, p.Text)
			}
		}
		if n == 0 || n != len(w.Data) {
			t.Errorf("%s: %d of %d images", file, len(w.Data), n)
		}
	}
	predictions, _ := filepath.Glob(filepath.Join(recordings, "predict", "*.json"))
	for _, file := range predictions {
		body, _ := os.ReadFile(file)
		var f *translate.Failure
		if err := draw(t, image25, "").Check(0, body); !errors.As(err, &f) || f.Kind != translate.EmptyAnswer {
			t.Errorf("%s: %v", file, err)
		}
	}
}
