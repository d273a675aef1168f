// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"errors"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

func newChoices(t testing.TB, model string, n string) *Chat {
	t.Helper()
	tools := `"tools":[{"type":"function","function":{"name":"f"}}],`
	if strings.Contains(model, "image") {
		tools = ""
	}
	x, f := NewChat(answerEnv(), Options{}, []byte(`{"model":"`+model+`","messages":[{"role":"user","content":"Hi"}],`+tools+`"n":`+n+`}`))
	if f != nil {
		t.Fatal(f)
	}
	return x
}

// TestChat_Calls is row n of §9: who writes several choices, and how.
func TestChat_Calls(t *testing.T) {
	for _, tc := range []struct {
		name, model, n string
		calls          int
		count          bool // candidateCount is sent
	}{
		{"one", m3, "1", 0, false},
		{"candidates of 2.5", m25, "3", 0, true},
		{"calls of 3", m3, "3", 3, false},
		{"calls of the newest", "gemini-flash-latest", "8", 8, false},
		{"calls of an image model", "gemini-2.5-flash-image", "2", 2, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := newChoices(t, tc.model, tc.n)
			if len(x.Calls()) != tc.calls || strings.Contains(string(x.Call().Whole()), "candidateCount") != tc.count {
				t.Errorf("%d calls of %s", len(x.Calls()), x.Call().Whole())
			}
			for _, c := range x.Calls() {
				if c != x.Call() {
					t.Error("another call")
				}
			}
		})
	}
}

func TestChat_Join(t *testing.T) {
	const usage = `"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":2,"thoughtsTokenCount":1,"totalTokenCount":13}}`
	answers := [][]byte{
		[]byte(strings.TrimSuffix(finished(`{"functionCall":{"id":"k8d2lq0z","name":"f"}}`, "STOP"), "}") + "," + usage),
		[]byte(`{"promptFeedback":{"blockReason":"OTHER"},` + usage),
		[]byte(strings.TrimSuffix(finished(`{"functionCall":{"id":"k8d2lq0z","name":"f"}},{"functionCall":{"name":"f"},"thoughtSignature":"S"}`, "MAX_TOKENS"), "}") + "," + usage),
	}
	x := newChoices(t, m3, "3")
	memo := fixedMemo{}
	x.env.Memo = memo
	for i, body := range answers {
		if err := x.Check(i, body); err != nil {
			t.Fatal(i, err)
		}
	}
	if len(memo) != 0 {
		t.Errorf("Check remembered %v", memo)
	}
	out, err := x.Join([]byte(nil), answers)
	if err != nil {
		t.Fatal(err)
	}
	if len(memo) != 1 {
		t.Errorf("Join remembered %v", memo)
	}
	var c wireCompletion
	strict(t, out, &c)
	if c.ID != "chatcmpl-R" || len(c.Choices) != 3 || x.Partial() {
		t.Fatalf("%s", out)
	}
	ids := map[string]bool{}
	for i, want := range []string{"tool_calls", "content_filter", "length"} {
		choice := c.Choices[i]
		if choice.Index != i || *choice.FinishReason != want || (choice.Message.Refusal != nil) != (i == 1) {
			t.Errorf("choice %d: %s", i, show(choice))
		}
		for _, call := range choice.Message.ToolCalls {
			if ids[call.ID] {
				t.Errorf("id %s twice", call.ID)
			}
			ids[call.ID] = true
		}
	}
	if u := c.Usage; u.PromptTokens != 30 || u.CompletionTokens != 9 || u.TotalTokens != 39 || u.CompletionDetails.Reasoning != 3 {
		t.Errorf("usage %s", show(u))
	}
	if u := x.Usage(); !u.Reported || u.Output() != 9 {
		t.Errorf("booked %+v", u)
	}
	again, err := x.Join(nil, answers)
	if err != nil || len(again) != len(out) {
		t.Errorf("joined again: %s, %v", again, err)
	}
}

func TestChat_Check(t *testing.T) {
	x := newChoices(t, m3, "2")
	var f *translate.Failure
	var e *translate.UpstreamError
	if err := x.Check(0, []byte(`{}`)); !errors.As(err, &f) || f.Kind != translate.EmptyAnswer {
		t.Errorf("empty: %v", err)
	}
	if err := x.Check(1, []byte(`{"error":{"code":503}}`)); !errors.As(err, &e) || e.Status != 503 {
		t.Errorf("error: %v", err)
	}
	if _, err := x.Join(nil, [][]byte{[]byte(sayHi), []byte(`{`)}); err == nil {
		t.Error("joined what is cut off")
	}
}
