// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

const (
	flash38 = `{"name":"models/gemini-3.8-flash","displayName":"Gemini 3.8 Flash","inputTokenLimit":1048576,"outputTokenLimit":65536,"supportedGenerationMethods":["generateContent","countTokens"]}`
	pro25   = `{"name":"models/gemini-2.5-pro","displayName":"Gemini 2.5 Pro","inputTokenLimit":1048576,"outputTokenLimit":65536,"supportedGenerationMethods":["generateContent"]}`
	embed   = `{"name":"models/gemini-embedding-001","supportedGenerationMethods":["embedContent"]}`
)

// wireModel is a model as SDKs read it.
type wireModel struct {
	Type         string                     `json:"type"`
	ID           string                     `json:"id"`
	DisplayName  string                     `json:"display_name"`
	CreatedAt    string                     `json:"created_at"`
	MaxInput     *int64                     `json:"max_input_tokens"`
	MaxTokens    *int64                     `json:"max_tokens"`
	Lifecycle    string                     `json:"lifecycle"`
	DeprecatedAt *string                    `json:"deprecated_at"`
	RetiresAt    *string                    `json:"retires_at"`
	Line         *string                    `json:"line"`
	Capabilities map[string]json.RawMessage `json:"capabilities"`
}

type wireModels struct {
	Data    []wireModel `json:"data"`
	HasMore bool        `json:"has_more"`
	FirstID *string     `json:"first_id"`
	LastID  *string     `json:"last_id"`
}

func (m *wireModels) ids() string {
	ids := make([]string, len(m.Data))
	for i := range m.Data {
		ids[i] = m.Data[i].ID
	}
	return strings.Join(ids, " ")
}

func listModels(t *testing.T, query string, aliases []Alias, visible func(string) bool, pages ...string) wireModels {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	x, f := NewModels(Options{}, values, aliases, visible)
	if f != nil {
		t.Fatal(f)
	}
	bodies := make([][]byte, len(pages))
	for i, p := range pages {
		bodies[i] = []byte(p)
	}
	out, err := x.Join(nil, bodies)
	if err != nil {
		t.Fatal(err)
	}
	var list wireModels
	strict(t, out, &list)
	return list
}

func TestModels_List(t *testing.T) {
	one := `{"models":[` + pro25 + `,` + embed + `,` + flash38 + `]}`
	all := "claude-gw-gemini-3.8-flash gemini-3.8-flash claude-gw-gemini-2.5-pro gemini-2.5-pro"
	for _, tc := range []struct {
		name, query string
		aliases     []Alias
		visible     func(string) bool
		want        string
		more        bool
	}{
		{"newest first", "", nil, nil, all, false},
		{"limit", "limit=1", nil, nil, "claude-gw-gemini-3.8-flash", true},
		{"after", "limit=2&after_id=gemini-3.8-flash", nil, nil, "claude-gw-gemini-2.5-pro gemini-2.5-pro", false},
		{"after, more", "limit=1&after_id=gemini-3.8-flash", nil, nil, "claude-gw-gemini-2.5-pro", true},
		{"after the last", "after_id=gemini-2.5-pro", nil, nil, "", false},
		{"after nothing", "after_id=x", nil, nil, "", false},
		{"before", "limit=1&before_id=claude-gw-gemini-2.5-pro", nil, nil, "gemini-3.8-flash", true},
		{"before, all", "before_id=claude-gw-gemini-2.5-pro", nil, nil, "claude-gw-gemini-3.8-flash gemini-3.8-flash", false},
		{"before the first", "before_id=claude-gw-gemini-3.8-flash", nil, nil, "", false},
		{"aliases", "", []Alias{{"claude-opus-5-5", "gone"}, {"claude-opus-5-5", "gemini-2.5-pro"}, {"lost", "gone"}}, nil, "claude-opus-5-5 " + all, false},
		{"visible", "", []Alias{{"claude-opus-5-5", "gemini-2.5-pro"}}, func(id string) bool { return id == "gemini-3.8-flash" }, "claude-gw-gemini-3.8-flash gemini-3.8-flash", false},
		{"an alias of a model's name", "", []Alias{{"gemini-2.5-pro", "gemini-3.8-flash"}}, nil, "gemini-2.5-pro claude-gw-gemini-3.8-flash gemini-3.8-flash", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list := listModels(t, tc.query, tc.aliases, tc.visible, one)
			if list.ids() != tc.want || list.HasMore != tc.more {
				t.Errorf("%s, more %v, want %s", list.ids(), list.HasMore, tc.want)
			}
			if n := len(list.Data); n == 0 != (list.FirstID == nil) || n > 0 && (*list.FirstID != list.Data[0].ID || *list.LastID != list.Data[n-1].ID) {
				t.Errorf("%v %v", list.FirstID, list.LastID)
			}
		})
	}
}

// TestModels_Object: what a client gets of one model, under whatever name.
func TestModels_Object(t *testing.T) {
	for _, id := range []string{"gemini-3.8-flash", "claude-gw-gemini-3.8-flash", "models/gemini-3.8-flash"} {
		x, f := NewModel(Options{}, id, nil)
		if f != nil {
			t.Fatal(f)
		}
		if x.Call().Path != "/v1beta/models/gemini-3.8-flash" || x.Call().Method != "GET" || x.Call().Asked != "gemini-3.8-flash" {
			t.Errorf("%+v", x.Call())
		}
		out, err := x.Response(nil, []byte(flash38))
		if err != nil {
			t.Fatal(err)
		}
		var m wireModel
		strict(t, out, &m)
		if m.Type != "model" || m.ID != id || m.DisplayName != "Gemini 3.8 Flash" || m.CreatedAt != "1970-01-01T00:00:00Z" ||
			*m.MaxInput != 1048576 || *m.MaxTokens != 65536 || m.Lifecycle != "active" || len(m.Capabilities) != 10 {
			t.Errorf("%s", out)
		}
		if string(m.Capabilities["thinking"]) != `{"supported":true,"types":{"adaptive":{"supported":true},"between_tools":{"supported":true},"disabled":{"supported":true},"enabled":{"supported":true}}}` {
			t.Errorf("%s", m.Capabilities["thinking"])
		}
	}
	x, f := NewModel(Options{}, "claude-opus-5-5", nil)
	if f != nil || x.Call().Model != "gemini-pro-latest" {
		t.Errorf("%v, %v", x, f)
	}
}

func TestModels_Errors(t *testing.T) {
	for _, query := range []string{"limit=0", "limit=1001", "limit=x", "after_id=a&before_id=b"} {
		values, _ := url.ParseQuery(query)
		if _, f := NewModels(Options{}, values, nil, nil); f == nil || f.Kind != translate.InvalidRequest {
			t.Errorf("%s: %v", query, f)
		}
	}
	for _, id := range []string{"../x", "a/b", ""} {
		if _, f := NewModel(Options{}, id, nil); f == nil || f.Kind != translate.ModelNotFound {
			t.Errorf("%q: %v", id, f)
		}
	}
	if _, f := NewModel(Options{}, "gemini-2.5-pro", func(string) bool { return false }); f == nil || f.Kind != translate.ModelNotFound {
		t.Errorf("%v", f)
	}
	x, f := NewModel(Options{}, "gemini-9", nil)
	if f != nil {
		t.Fatal(f)
	}
	var e wireError
	if a := x.Error(&translate.Failure{Kind: translate.NotFound, Message: "Gone."}); json.Unmarshal(a.Body, &e) != nil || a.Status != 404 || e.Error.Message != "model: gemini-9. Gone." {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	list, _ := NewModels(Options{}, nil, nil, nil)
	for _, body := range []string{`{}`, `{"models":`, `{"error":{"code":500}}`} {
		if out, err := list.Response(nil, []byte(body)); err == nil || len(out) > 0 {
			t.Errorf("%s: %s", body, out)
		}
	}
}

// TestModels_Pages: Google's list comes in pages, and some models only other keys see.
func TestModels_Pages(t *testing.T) {
	x, f := NewModels(Options{}, url.Values{}, nil, nil)
	if f != nil {
		t.Fatal(f)
	}
	x.Also([]string{"gemini-4-ultra", "gemini-2.5-pro"})
	first := []byte(`{"models":[` + pro25 + `],"nextPageToken":"a&b"}`)
	if next := x.Next(first); next == nil || next.Query != "pageSize=1000&pageToken=a%26b" {
		t.Errorf("%+v", next)
	}
	second := []byte(`{"models":[` + flash38 + `,` + pro25 + `]}`)
	if next := x.Next(second); next != nil {
		t.Errorf("%+v", next)
	}
	out, err := x.Join(nil, [][]byte{first, second})
	if err != nil {
		t.Fatal(err)
	}
	var list wireModels
	strict(t, out, &list)
	if want := "claude-gw-gemini-4-ultra gemini-4-ultra claude-gw-gemini-3.8-flash gemini-3.8-flash claude-gw-gemini-2.5-pro gemini-2.5-pro"; list.ids() != want {
		t.Errorf("%s", list.ids())
	}
	if m := list.Data[0]; m.MaxInput != nil || m.DisplayName != "gemini-4-ultra" {
		t.Errorf("%+v", m)
	}
}

func TestCountTokens(t *testing.T) {
	x, f := NewCountTokens(answerEnv(), Options{}, []byte(`{"model":"claude-sonnet-5-5","system":"You.","messages":[{"role":"user","content":"foo"}],"tools":[{"name":"f","description":"does","input_schema":{"type":"object"}}]}`))
	if f != nil {
		t.Fatal(f)
	}
	call := x.Call()
	if call.Path != "/v1beta/models/gemini-flash-latest:countTokens" || call.Generate {
		t.Errorf("%+v", call)
	}
	var sent struct {
		Generate map[string]json.RawMessage `json:"generateContentRequest"`
	}
	strict(t, call.Whole(), &sent)
	for _, member := range []string{"model", "contents", "systemInstruction", "tools"} {
		if sent.Generate[member] == nil {
			t.Errorf("no %s in %s", member, call.Whole())
		}
	}
	if string(sent.Generate["model"]) != `"models/gemini-flash-latest"` {
		t.Errorf("%s", sent.Generate["model"])
	}
	out, err := x.Response(nil, []byte(`{"totalTokens": 42, "promptTokensDetails":[]}`))
	if err != nil || string(out) != `{"input_tokens":42}` {
		t.Errorf("%s, %v", out, err)
	}
	for _, body := range []string{`{}`, `{"totalTokens"`, `{"error":{"code":429}}`} {
		if out, err := x.Response(nil, []byte(body)); err == nil || len(out) > 0 {
			t.Errorf("%s: %s", body, out)
		}
	}
	var inside *translate.UpstreamError
	if _, err := x.Response(nil, []byte(`{"error":{"code":429}}`)); !errors.As(err, &inside) || inside.Status != 429 {
		t.Error(err)
	}
}

// TestCountTokens_Estimate: about what C.9 says for each kind of content.
func TestCountTokens_Estimate(t *testing.T) {
	text := strings.Repeat("abcd ", 720) // 3600 bytes
	for _, tc := range []struct {
		name, members string
		low, high     int64
	}{
		{"nothing much", `"messages":[{"role":"user","content":"a"}]`, 1, 5},
		{"text", `"messages":[{"role":"user","content":"` + text + `"}]`, 990, 1010},
		{"system", `"system":"` + text + `","messages":[{"role":"user","content":"a"}]`, 990, 1010},
		{"tool", `"messages":[{"role":"user","content":"a"}],"tools":[{"name":"f","description":"` + text + `","input_schema":{"type":"object"}}]`, 890, 920},
		{"image", `"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}}]}]`, 258, 262},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x, f := NewCountTokens(answerEnv(), Options{}, []byte(`{"model":"`+m25+`",`+tc.members+`}`))
			if f != nil {
				t.Fatal(f)
			}
			var got struct {
				Tokens int64 `json:"input_tokens"`
			}
			strict(t, x.Estimate(nil), &got)
			if got.Tokens < tc.low || got.Tokens > tc.high {
				t.Errorf("%d tokens, want %d to %d", got.Tokens, tc.low, tc.high)
			}
		})
	}
}
