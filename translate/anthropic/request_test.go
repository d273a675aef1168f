// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

var updateRequests = flag.Bool("update-requests", false, "rewrite the upstream.json files of testdata/request")

// requestMemo is a translate.Memo of fixed signatures.
type requestMemo map[string]string

func (m requestMemo) Signature(id string) (string, bool) { s, ok := m[id]; return s, ok }
func (m requestMemo) Remember(id, signature string)      { m[id] = signature }

func requestEnv() translate.Env {
	return translate.Env{Now: time.Unix(1, 0), NewID: func(n int) string { return strings.Repeat("x", n) }}
}

const (
	m20 = "gemini-2.0-flash"
	m25 = "gemini-2.5-flash"
	p25 = "gemini-2.5-pro"
	m3  = "gemini-3-flash-preview"
	m38 = "gemini-3.8-flash"
	g3  = "gemma-3-27b-it"
)

// requestBody is a request with these members; of two with one name the later holds.
func requestBody(model, members string) string {
	if members != "" {
		members = "," + members
	}
	return `{"model":"` + model + `","max_tokens":10000,"messages":[{"role":"user","content":"q"}]` + members + `}`
}

func decodeRequest(t testing.TB, env translate.Env, o Options, body string) *request {
	t.Helper()
	r, f := decodeMessages(env, &o, []byte(body))
	if f != nil {
		t.Fatalf("%s: %v", body, f)
	}
	return r
}

// sentUpstream is the request as Google gets it, decoded.
func sentUpstream(t testing.TB, r *request) map[string]any {
	t.Helper()
	var m map[string]any
	out := r.gemini.Append(nil)
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return m
}

// member finds a value by its path, such as contents.0.parts; nil for none.
func member(v any, path string) any {
	if path == "" {
		return v
	}
	for name := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

func equalJSON(t testing.TB, got any, want string) {
	t.Helper()
	var w any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("%s: %v", want, err)
	}
	if !reflect.DeepEqual(got, w) {
		g, _ := json.Marshal(got)
		t.Errorf("\n got %s\nwant %s", g, want)
	}
}

// requestRow is a request and what becomes of it at one place.
type requestRow struct{ name, model, members, at, want string }

func testRows(t *testing.T, o Options, rows []requestRow) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := decodeRequest(t, requestEnv(), o, requestBody(row.model, row.members))
			equalJSON(t, member(sentUpstream(t, r), row.at), row.want)
		})
	}
}

// Whole conversations: testdata/request/<case>/client.json becomes upstream.json.
func TestDecode_Golden(t *testing.T) {
	cases, err := filepath.Glob("testdata/request/*/client.json")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range cases {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r := decodeRequest(t, requestEnv(), Options{Fetch: true}, string(body))
			out, err := json.MarshalIndent(sentUpstream(t, r), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join(dir, "upstream.json")
			if *updateRequests {
				if err := os.WriteFile(golden, append(out, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if strings.TrimSpace(string(want)) != string(out) {
				t.Errorf("got %s", out)
			}
		})
	}
}

func TestRequest_Call(t *testing.T) {
	r := decodeRequest(t, requestEnv(), Options{}, requestBody("claude-sonnet-5-5", ""))
	if c := r.call("generateContent"); c.Path != "/v1beta/models/gemini-flash-latest:generateContent" || c.Method != "POST" || c.Model != "gemini-flash-latest" {
		t.Errorf("%+v", c)
	}
}
