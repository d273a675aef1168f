// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// shelf has files by URL.
type shelf map[string]struct{ mime, data string }

func (s shelf) find(url string) (string, []byte, error) {
	f, ok := s[url]
	if !ok {
		return "", nil, errors.New("the file at example.com cannot be fetched")
	}
	return f.mime, []byte(f.data), nil
}

var files = shelf{
	"https://example.com/a.png?x=1": {"image/png", "\x89PNG"},
	"https://example.com/b.mp4":     {"video/mp4", "mp4"},
	"http://example.com/c.pdf":      {"application/pdf", "%PDF-"},
}

// linked makes the exchange of a request that names remote media.
func linked[T translate.Linked](t *testing.T, x T, f *translate.Failure) translate.Linked {
	t.Helper()
	if f != nil {
		t.Fatal(f)
	}
	return x
}

func TestLinked(t *testing.T) {
	o := Options{Fetch: true}
	const (
		a, b, c = "https://example.com/a.png?x=1", "https://example.com/b.mp4", "http://example.com/c.pdf"
		png     = `{"inlineData":{"mimeType":"image/png","data":"iVBORw=="}`
		mp4     = `{"inlineData":{"mimeType":"video/mp4","data":"bXA0"}}`
		pdf     = `{"inlineData":{"mimeType":"application/pdf","data":"JVBERi0="}}`
		low     = `,"mediaResolution":{"level":"MEDIA_RESOLUTION_LOW"}}`
	)
	chat := func(messages string) translate.Linked {
		x, f := NewChat(requestEnv(), o, []byte(`{"model":"`+m3+`","messages":[`+messages+`]}`))
		return linked(t, x, f)
	}
	responses := func(input string) translate.Linked {
		x, f := NewResponses(requestEnv(), o, []byte(`{"model":"`+m3+`","input":[`+input+`]}`))
		return linked(t, x, f)
	}
	tokens := func(input string) translate.Linked {
		x, f := NewInputTokens(requestEnv(), o, []byte(`{"model":"`+m3+`","input":[`+input+`]}`))
		return linked(t, x, f)
	}
	user := func(parts string) string { return `{"role":"user","content":[` + parts + `]}` }
	link := func(key, url, more string) string {
		return `{"type":"` + key + `","` + key + `":{"url":"` + url + `"` + more + `}}`
	}
	for _, tc := range []struct {
		name string
		x    translate.Linked
		urls []string
		want string // contents
	}{
		{"image", chat(user(link("image_url", a, `,"detail":"low"`))), []string{a}, `[{"role":"user","parts":[` + png + low + `]}]`},
		{"image as a plain string", chat(user(`{"type":"image_url","image_url":"` + a + `"}`)), []string{a}, `[{"role":"user","parts":[` + png + `}]}]`},
		{"escaped and with spaces", chat(user(link("image_url", ` https:\/\/example.com\/a.png?x\u003d1 `, ""))), []string{a}, `[{"role":"user","parts":[` + png + `}]}]`},
		{"several, one twice", chat(user(link("video_url", b, "") + `,` + link("image_url", a, "") + `,` + link("video_url", b, ""))), []string{b, a}, `[{"role":"user","parts":[` + mp4 + `,` + png + `},` + mp4 + `]}]`},
		{"file", chat(user(`{"type":"file","file":{"file_url":"` + c + `"}}`)), []string{c}, `[{"role":"user","parts":[` + pdf + `]}]`},
		{"image of an earlier answer", chat(`{"role":"user","content":"q"},{"role":"assistant","images":[` + link("image_url", a, "") + `]},{"role":"user","content":"r"}`), []string{a},
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[` + png + `}]},{"role":"user","parts":[{"text":"r"}]}]`},
		{"image in a result", chat(`{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":[` + link("image_url", a, "") + `]}`), []string{a},
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"functionCall":{"id":"c1","name":"f","args":{}},"thoughtSignature":"skip_thought_signature_validator"}]},{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"f","response":{"output":""},"parts":[` + png + `}]}}]}]`},
		{"YouTube is left to Google", chat(user(link("video_url", "https://youtu.be/x", ""))), nil, `[{"role":"user","parts":[{"fileData":{"fileUri":"https://youtu.be/x"}}]}]`},
		{"Responses", responses(`{"role":"user","content":[{"type":"input_image","image_url":"` + a + `","detail":"low"},{"type":"input_file","file_url":"` + c + `"}]}`), []string{a, c}, `[{"role":"user","parts":[` + png + low + `,` + pdf + `]}]`},
		{"input_tokens", tokens(`{"role":"user","content":[{"type":"input_image","image_url":"` + a + `"}]}`), []string{a}, `[{"role":"user","parts":[` + png + `}]}]`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.x.Remote(); !slices.Equal(got, tc.urls) {
				t.Errorf("remote: %q, want %q", got, tc.urls)
			}
			if f := tc.x.Provide(files.find); f != nil {
				t.Fatal(f)
			}
			if rest := tc.x.Remote(); len(rest) > 0 {
				t.Errorf("%q after Provide", rest)
			}
			var body struct {
				Contents any `json:"contents"`
				Wrapped  *struct {
					Contents any `json:"contents"`
				} `json:"generateContentRequest"`
			}
			if err := json.Unmarshal(tc.x.Call().Whole(), &body); err != nil {
				t.Fatalf("%s: %v", tc.x.Call().Whole(), err)
			}
			if body.Wrapped != nil {
				body.Contents = body.Wrapped.Contents
			}
			sameJSON(t, body.Contents, tc.want)
		})
	}
}

// What cannot be served names the field; a retry without signatures keeps media.
func TestLinked_Failures(t *testing.T) {
	image := func(url string) string { return `{"type":"image_url","image_url":{"url":"` + url + `"}}` }
	decode := func(parts string) (*ChatRequest, *translate.Failure) {
		return DecodeChat(requestEnv(), Options{Fetch: true}, []byte(`{"model":"`+m3+`","messages":[{"role":"user","content":[{"type":"text","text":"a"},`+parts+`]}]}`))
	}
	many := func(n int, url func(i int) string) string {
		var parts []string
		for i := range n {
			parts = append(parts, image(url(i)))
		}
		return strings.Join(parts, ",")
	}
	different := func(i int) string { return "https://example.com/" + strconv.Itoa(i) }

	r, f := decode(image("https://example.com/a.png?x=1") + "," + image("https://example.com/none?secret"))
	if f != nil {
		t.Fatal(f)
	}
	_, f = r.Provide(files.find)
	const param = "messages[0].content[2].image_url.url"
	if f == nil || f.Kind != translate.InvalidRequest || f.Param != param || f.Code != "invalid_image_url" || f.Message != "'"+param+"': the file at example.com cannot be fetched" {
		t.Errorf("got %+v", f)
	}
	if got := string(Error(f).Body); !strings.Contains(got, `"type":"invalid_request_error","param":"`+param+`","code":"invalid_image_url"`) {
		t.Errorf("got %s", got)
	}

	r, f = decode(`{"type":"file","file":{"file_url":"https://example.com/none"}}`)
	if f != nil {
		t.Fatal(f)
	}
	if _, f = r.Provide(files.find); f == nil || f.Param != "messages[0].content[1].file.file_url" || f.Code != "" {
		t.Errorf("got %+v", f)
	}

	if _, f = decode(many(translate.MaxRemote, different)); f != nil {
		t.Error(f)
	}
	if _, f = decode(many(translate.MaxRemote+1, different)); f == nil || f.Param != fmt.Sprintf("messages[0].content[%d].image_url.url", translate.MaxRemote+1) || !strings.Contains(f.Message, "At most 16") {
		t.Errorf("got %v", f)
	}

	// One URL may be named often, but not to blow up the request.
	r, f = decode(many(100, func(int) string { return "https://example.com/a" }))
	if f != nil || len(r.Remote()) != 1 {
		t.Fatalf("%v, %d URLs", f, len(r.Remote()))
	}
	large := make([]byte, 2<<20)
	if _, f = r.Provide(func(string) (string, []byte, error) { return "image/png", large, nil }); f == nil || f.Kind != translate.TooLarge || f.Param == "" {
		t.Errorf("got %v", f)
	}
}

func TestChat_UnsignKeepsRemoteMedia(t *testing.T) {
	x, f := NewChat(requestEnv(), Options{Fetch: true}, []byte(`{"model":"`+m3+`","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png?x=1"}}]},
		{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"U2ln"}}}]},{"role":"tool","tool_call_id":"c1","content":"r"}]}`))
	if f != nil {
		t.Fatal(f)
	}
	if f = x.Provide(files.find); f != nil {
		t.Fatal(f)
	}
	if !x.Unsign() || !strings.Contains(string(x.Call().Whole()), `"data":"iVBORw=="`) || strings.Contains(string(x.Call().Whole()), "U2ln") {
		t.Errorf("got %s", x.Call().Whole())
	}
}

// Whatever URL a client sends, it is refused in words, referred to or fetched,
// and only what looks like a URL of the web is fetched.
func FuzzDecodeChat_URL(f *testing.F) {
	for _, u := range []string{
		"https://example.com/a.png", "HTTP://example.com", "https://youtu.be/x", "https://youtu.be@evil.example/x", "https://youtube.com\\@evil.example/watch?v=1",
		"https://www.youtube.com:443/watch?v=1", "gs://b/o", "files/abc", "files/../models", "https://generativelanguage.googleapis.com/v1beta/files/a?key=x",
		"data:image/png;base64,AAAA", " https://a.b ", "//example.com", "ftp://a", "", "https:", "iVBORw0KGgo=",
	} {
		f.Add(u)
	}
	f.Fuzz(func(t *testing.T, u string) {
		quoted, err := json.Marshal(u)
		if err != nil {
			t.Skip()
		}
		doc := []byte(`{"model":"` + m3 + `","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":` + string(quoted) + `}}]}]}`)
		r, failure := DecodeChat(requestEnv(), Options{Fetch: true}, doc)
		if failure != nil {
			if failure.Message == "" || failure.Param != "messages[0].content[0].image_url.url" {
				t.Fatalf("%q: %+v", u, failure)
			}
			return
		}
		p := r.Gemini.Contents[0].Parts[0]
		remote := r.Remote()
		if len(remote) > 1 || len(remote) == 1 && (p.InlineData == nil || p.FileData != nil) || len(remote) == 0 && p.FileData == nil && len(p.InlineData.Data) == 0 {
			t.Fatalf("%q: %q, %+v", u, remote, p)
		}
		for _, got := range remote {
			if lower := strings.ToLower(got); !strings.HasPrefix(lower, "https://") && !strings.HasPrefix(lower, "http://") {
				t.Fatalf("%q would be fetched", got)
			}
		}
		if _, failure = DecodeChat(requestEnv(), Options{}, doc); (failure == nil) != (len(remote) == 0) {
			t.Fatalf("%q is %v where nothing is fetched", u, failure)
		}
	})
}
