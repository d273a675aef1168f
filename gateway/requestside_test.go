// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
)

// TestSignatureRefused: signatures that Google refuses are replaced once, and no
// key is to blame. Source: specs/openai.md §21.23.
func TestSignatureRefused(t *testing.T) {
	for _, message := range []string{"Corrupted thought signature.", "Thought signature is not valid.", "Invalid thought_signature."} {
		for _, mendable := range []bool{true, false} {
			t.Run(fmt.Sprint(message, mendable), func(t *testing.T) {
				var mu sync.Mutex
				var got, asked []string
				w := newWorld(t, keys(20), scripted(t, func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					mu.Lock()
					defer mu.Unlock()
					got, asked = append(got, string(body)), append(asked, r.Header.Get("X-Goog-Api-Key"))
					if strings.Contains(string(body), "REAL") || !mendable {
						w.WriteHeader(400)
						_, _ = io.WriteString(w, `{"error":{"code":400,"message":"`+message+`","status":"INVALID_ARGUMENT"}}`)
						return
					}
					_, _ = io.WriteString(w, wholeAnswer)
				}))
				a := w.post("/v1/chat/completions", `{"model":"`+model+`","messages":[{"role":"user","content":"q"},
					{"role":"assistant","content":"t","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"REAL"}}}]},
					{"role":"tool","tool_call_id":"c1","content":"r"}]}`)
				if len(got) != 2 || !strings.Contains(got[0], `"thoughtSignature":"REAL"`) || !strings.Contains(got[1], `"thoughtSignature":"skip_thought_signature_validator"`) {
					t.Errorf("sent %q", got)
				}
				if len(asked) == 2 && asked[0] != asked[1] {
					t.Errorf("asked %q; want the same key twice", asked)
				}
				if mendable && a.status != 200 {
					t.Errorf("%d %s", a.status, a.body)
				}
				if !mendable {
					openaiError(t, a, 400, "")
				}
				list, _, _ := w.pool.List(balancer.Query{Limit: 10})
				for _, k := range list {
					if k.State != balancer.StateActive && k.State != balancer.StateUntested {
						t.Errorf("key %s is %s", k.ID, k.State)
					}
				}
				if rests := w.pool.Rests(10); len(rests) > 0 {
					t.Errorf("rests %+v", rests)
				}
			})
		}
	}
}

// TestCapabilities: the operator's table is what requests go by.
func TestCapabilities(t *testing.T) {
	table, err := capability.Parse([]byte(`{"models":[{"match":"gemini-3-*","logprobs":true,"candidates":2}]}`))
	must(t, err)
	for _, tc := range []struct {
		name   string
		table  *capability.Table
		status int
	}{{"built in", nil, 400}, {"the operator's", table, 200}} {
		t.Run(tc.name, func(t *testing.T) {
			sent := ""
			w := newWorld(t, keys(1), scripted(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				sent = string(body)
				_, _ = io.WriteString(w, wholeAnswer)
			}), func(c *Config) { c.Capabilities = tc.table })
			a := w.post("/v1/chat/completions", `{"model":"`+model+`","messages":[{"role":"user","content":"q"}],"logprobs":true,"n":2}`)
			if a.status != tc.status || tc.table != nil && !(strings.Contains(sent, `"candidateCount":2`) && strings.Contains(sent, `"responseLogprobs":true`)) {
				t.Errorf("%d %s; sent %s", a.status, a.body, sent)
			}
		})
	}
}

// TestEmbeddings_CountTokens: the count is Google's where the operator asks for it.
func TestEmbeddings_CountTokens(t *testing.T) {
	for _, count := range []bool{false, true} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			w := newWorld(t, keys(2), func(c *Config) { c.CountEmbeddings = count })
			a := w.post("/v1/embeddings", `{"model":"gemini-embedding-001","input":["one","two words"]}`)
			if a.status != 200 {
				t.Fatalf("%d %s", a.status, a.body)
			}
			counted := w.google.Count(func(e *fakegemini.Entry) bool { return e.Method == "countTokens" })
			if (counted == 1) != count || w.google.Count() != counted+1 {
				t.Errorf("%d calls, %d of them countTokens", w.google.Count(), counted)
			}
			var got struct {
				Data  []any `json:"data"`
				Usage struct {
					Prompt int64 `json:"prompt_tokens"`
				} `json:"usage"`
			}
			decode(t, a.body, &got)
			if len(got.Data) != 2 || got.Usage.Prompt <= 0 {
				t.Error(a.body)
			}
			if v := w.google.Violations(); len(v) > 0 {
				t.Errorf("%+v", v)
			}
		})
	}
}
