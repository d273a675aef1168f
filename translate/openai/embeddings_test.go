// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// The wire types of embeddings, as strictly as OpenAI's typed SDKs read them.
type wireEmbeddings struct {
	Object string `json:"object"`
	Model  string `json:"model"`
	Data   []struct {
		Object    string          `json:"object"`
		Index     int             `json:"index"`
		Embedding json.RawMessage `json:"embedding"`
	} `json:"data"`
	Usage *struct {
		PromptTokens int64 `json:"prompt_tokens"`
		TotalTokens  int64 `json:"total_tokens"`
	} `json:"usage"`
}

// floats reads a vector in either form.
func floats(t testing.TB, v json.RawMessage) (out []float64) {
	t.Helper()
	var text string
	if json.Unmarshal(v, &text) != nil {
		if err := json.Unmarshal(v, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw)%4 != 0 {
		t.Fatalf("%v in %s", err, v)
	}
	for ; len(raw) > 0; raw = raw[4:] {
		out = append(out, float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))))
	}
	return out
}

func embeddings(t testing.TB, members string, o ...Options) *Embeddings {
	t.Helper()
	x, f := NewEmbeddings(answerEnv(), append(o, Options{})[0], []byte(`{"model":"gemini-embedding-001",`+members+`}`))
	if f != nil {
		t.Fatal(f)
	}
	return x
}

func embedded(t testing.TB, x *Embeddings, answers ...string) *wireEmbeddings {
	t.Helper()
	bodies := make([][]byte, len(answers))
	for i, a := range answers {
		bodies[i] = []byte(a)
		if err := x.Check(i, bodies[i]); err != nil {
			t.Fatal(err)
		}
	}
	out, err := x.Join(nil, bodies)
	if err != nil {
		t.Fatal(err)
	}
	var w wireEmbeddings
	strict(t, out, &w)
	if w.Object != "list" || w.Usage == nil || w.Usage.PromptTokens != w.Usage.TotalTokens {
		t.Fatalf("%s", out)
	}
	for i, d := range w.Data {
		if d.Index != i || d.Object != "embedding" {
			t.Fatalf("element %d: %s", i, show(d))
		}
	}
	return &w
}

// TestEmbeddings_Requests are the request rows of §14: what each of the requests
// has besides model and content.
func TestEmbeddings_Requests(t *testing.T) {
	for _, tc := range []struct{ name, model, members, want string }{
		{"nothing", "gemini-embedding-001", ``, ``},
		{"dimensions", "gemini-embedding-001", `,"dimensions":768`, `,"outputDimensionality":768`},
		{"null is absent", "gemini-embedding-001", `,"dimensions":null,"encoding_format":null,"user":null,"task_type":null,"title":null,"extra_body":null`, ``},
		{"user", "gemini-embedding-001", `,"user":"u"`, ``},
		{"task type", "gemini-embedding-001", `,"task_type":"RETRIEVAL_QUERY"`, `,"taskType":"RETRIEVAL_QUERY"`},
		{"task type in small letters", "gemini-embedding-001", `,"task_type":"code_retrieval_query"`, `,"taskType":"CODE_RETRIEVAL_QUERY"`},
		{"title", "gemini-embedding-001", `,"task_type":"RETRIEVAL_DOCUMENT","title":"a \"b\""`, `,"taskType":"RETRIEVAL_DOCUMENT","title":"a \"b\""`},
		{"google", "gemini-embedding-001", `,"google":{"taskType":"CLUSTERING"}`, `,"taskType":"CLUSTERING"`},
		{"extra_body.google", "gemini-embedding-001", `,"extra_body":{"google":{"task_type":"RETRIEVAL_DOCUMENT","title":"t"}}`, `,"taskType":"RETRIEVAL_DOCUMENT","title":"t"`},
		{"embedding-2 takes no task", "gemini-embedding-2-preview", `,"dimensions":128,"task_type":"CLUSTERING"`, `,"outputDimensionality":128`},
		{"alias small", "text-embedding-3-small", ``, `,"outputDimensionality":1536`},
		{"alias ada", "models/text-embedding-ada-002", ``, `,"outputDimensionality":1536`},
		{"alias large", "text-embedding-3-large", ``, `,"outputDimensionality":3072`},
		{"alias with dimensions", "text-embedding-3-large", `,"dimensions":256`, `,"outputDimensionality":256`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := Options{Resolve: func(m string) string {
				if strings.HasPrefix(m, "text-embedding-") {
					return "gemini-embedding-001"
				}
				return m
			}}
			x, f := NewEmbeddings(answerEnv(), o, []byte(`{"model":"`+tc.model+`","input":"a \"b\""`+tc.members+`}`))
			if f != nil {
				t.Fatal(f)
			}
			target := "gemini-embedding-001"
			if strings.Contains(tc.model, "-2-") {
				target = tc.model
			}
			want := `{"requests":[{"model":"models/` + target + `","content":{"parts":[{"text":"a \"b\""}]}` + tc.want + `}]}`
			call := x.Call()
			if string(call.Whole()) != want {
				t.Errorf("\n got %s\nwant %s", call.Whole(), want)
			}
			if call.Path != "/v1beta/models/"+target+":batchEmbedContents" || call.Method != "POST" || call.Model != target || call.Generate || len(x.Calls()) != 1 {
				t.Errorf("%+v", call)
			}
		})
	}
}

// TestEmbeddings_Rejects are the refusals of §14.
func TestEmbeddings_Rejects(t *testing.T) {
	for _, tc := range []struct{ name, body, param, message string }{
		{"no JSON", `{`, "", "JSON"},
		{"no object", `[]`, "", "object"},
		{"no model", `{"input":"a"}`, "model", "model"},
		{"path in the model", `{"model":"../x","input":"a"}`, "model", "model id"},
		{"no input", `{"model":"m"}`, "input", "Missing"},
		{"empty input", `{"model":"m","input":""}`, "input", "empty"},
		{"one empty input", `{"model":"m","input":["a",""]}`, "input[1]", "empty"},
		{"empty list", `{"model":"m","input":[]}`, "input", "empty"},
		{"empty element", `{"model":"m","input":["a",""]}`, "input[1]", "empty"},
		{"tokens", `{"model":"m","input":[1,2]}`, "input", "check_embedding_ctx_length=False"},
		{"lists of tokens", `{"model":"m","input":[[1,2]]}`, "input", "check_embedding_ctx_length=False"},
		{"another type", `{"model":"m","input":{"a":1}}`, "input", "a string or an array"},
		{"another element", `{"model":"m","input":["a",null]}`, "input[1]", "expected a string"},
		{"too many", `{"model":"m","input":["a"` + strings.Repeat(`,"a"`, maxInputs) + `]}`, "input", "2048"},
		{"encoding", `{"model":"m","input":"a","encoding_format":"hex"}`, "encoding_format", "base64"},
		{"encoding of another type", `{"model":"m","input":"a","encoding_format":1}`, "encoding_format", "base64"},
		{"dimensions", `{"model":"m","input":"a","dimensions":0}`, "dimensions", "between"},
		{"dimensions of another type", `{"model":"m","input":"a","dimensions":"2"}`, "dimensions", "a number"},
		{"task type", `{"model":"m","input":"a","task_type":"X"}`, "task_type", "RETRIEVAL_QUERY"},
		{"title without a document", `{"model":"m","input":"a","title":"t"}`, "title", "RETRIEVAL_DOCUMENT"},
		{"unknown field, strictly", `{"model":"m","input":"a","x":1}`, "x", "Unrecognized"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, f := NewEmbeddings(answerEnv(), Options{Strict: true}, []byte(tc.body))
			if f == nil || f.Kind != translate.InvalidRequest || f.Param != tc.param || !strings.Contains(f.Message, tc.message) {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestEmbeddings_Split is §21.45: inputs beyond a hundred take more calls, and
// come back in order.
func TestEmbeddings_Split(t *testing.T) {
	inputs := make([]string, 250)
	for i := range inputs {
		inputs[i] = fmt.Sprintf("%q", fmt.Sprint("text ", i))
	}
	x := embeddings(t, `"encoding_format":"base64","input":[`+strings.Join(inputs, ",")+`]`)
	calls := x.Calls()
	if len(calls) != 3 || x.Partial() {
		t.Fatalf("%d calls", len(calls))
	}
	var answers []string
	n := 0
	for i, want := range []int{100, 100, 50} {
		var sent struct {
			Requests []struct {
				Content struct{ Parts []struct{ Text string } }
			}
		}
		if err := json.Unmarshal(calls[i].Body, &sent); err != nil || len(sent.Requests) != want {
			t.Fatalf("call %d: %v, %d requests", i, err, len(sent.Requests))
		}
		var vectors []string
		for _, r := range sent.Requests {
			if len(r.Content.Parts) != 1 || r.Content.Parts[0].Text != fmt.Sprint("text ", n) {
				t.Fatalf("input %d: %v", n, r.Content.Parts)
			}
			n++
			angle := float64(n) / 1000
			vectors = append(vectors, fmt.Sprintf(`{"values":[%v,%v]}`, math.Cos(angle), math.Sin(angle)))
		}
		answers = append(answers, `{"embeddings":[`+strings.Join(vectors, ",")+`],"usageMetadata":{"promptTokenCount":10}}`)
	}
	w := embedded(t, x, answers...)
	if len(w.Data) != 250 || w.Usage.PromptTokens != 30 || x.Estimated() || !x.Usage().Reported {
		t.Fatalf("%d vectors, %+v", len(w.Data), w.Usage)
	}
	for i, d := range w.Data {
		if v := floats(t, d.Embedding); math.Abs(v[1]-math.Sin(float64(i+1)/1000)) > 1e-6 {
			t.Fatalf("vector %d is %v", i, v)
		}
	}
	answers[1] = strings.Replace(answers[1], `{"values"`, `{"values":[1]},{"values"`, 1)
	var f *translate.Failure
	if err := x.Check(1, []byte(answers[1])); !errors.As(err, &f) || f.Kind != translate.MalformedAnswer {
		t.Errorf("101 vectors for 100 inputs: %v", err)
	}
}

// TestEmbeddings_Values are the answer rows of §14.
func TestEmbeddings_Values(t *testing.T) {
	for _, tc := range []struct{ name, members, values, want string }{
		{"normalised", ``, `[3,4]`, `[0.6,0.8]`},
		{"of length one already", ``, `[ 0.6,0.8 ]`, `[0.6,0.8]`},
		{"nearly of length one", ``, `[0.6003,0.8]`, `[0.6003,0.8]`},
		{"axis", ``, `[0,2]`, `[0,1]`},
		{"zero", ``, `[0,0]`, `[0,0]`},
		{"exponents", ``, `[1e-5,1.0E0]`, `[1e-5,1.0E0]`},
		{"base64 normalised", `,"encoding_format":"base64"`, `[0.5,-0.25]`, `"LvlkPy755L4="`},
		{"base64 as it is", `,"encoding_format":"base64"`, `[0.6,-0.8]`, `"mpkZP83MTL8="`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := embeddings(t, `"input":"a"`+tc.members)
			w := embedded(t, x, `{"embeddings":[{"values":`+tc.values+`}]}`)
			if got := string(w.Data[0].Embedding); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

// The example of §14, from openai-go's test.
func TestVectorEncoder_Base64(t *testing.T) {
	e := vectorEncoder{values: []float64{0.5, -0.25}}
	if got := string(e.appendBase64(nil, 1)); got != `"AAAAPwAAgL4="` {
		t.Error(got)
	}
}

func TestEmbeddings_Usage(t *testing.T) {
	one := `{"embeddings":[{"values":[1]}]`
	for _, tc := range []struct {
		name, input, answer string
		want                int64
		estimated           bool
	}{
		{"reported", `"abcdefgh"`, one + `,"usageMetadata":{"promptTokenCount":7}}`, 7, false},
		{"estimated", `"abcdefghi"`, one + `}`, 3, true},
		{"estimated of escapes", `"\u00e9\n\"é\ud83d\ude00"`, one + `}`, 2, true},
		{"reported as nonsense", `"abcd"`, one + `,"usageMetadata":{"promptTokenCount":"x"}}`, 1, true},
		{"reported below zero", `"abcd"`, one + `,"usageMetadata":{"promptTokenCount":-1}}`, 1, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := embeddings(t, `"input":`+tc.input)
			w := embedded(t, x, tc.answer)
			if w.Usage.PromptTokens != tc.want || x.Estimated() != tc.estimated || x.Usage().Input() != tc.want {
				t.Errorf("%+v, estimated %v", w.Usage, x.Estimated())
			}
		})
	}
}

func TestEmbeddings_Faults(t *testing.T) {
	for _, tc := range []struct {
		name, answer string
		want         translate.Kind
	}{
		{"nothing", `{}`, translate.EmptyAnswer},
		{"no vectors", `{"embeddings":[]}`, translate.EmptyAnswer},
		{"no list", `{"embeddings":{}}`, translate.EmptyAnswer},
		{"two for one", `{"embeddings":[{"values":[1]},{"values":[1]}]}`, translate.MalformedAnswer},
		{"no values", `{"embeddings":[{}]}`, translate.MalformedAnswer},
		{"empty values", `{"embeddings":[{"values":[]}]}`, translate.MalformedAnswer},
		{"words", `{"embeddings":[{"values":["1"]}]}`, translate.MalformedAnswer},
		{"too large a number", `{"embeddings":[{"values":[1e400]}]}`, translate.MalformedAnswer},
		{"too long a vector", `{"embeddings":[{"values":[1e200,1e200]}]}`, translate.MalformedAnswer},
		{"no JSON", `<html>`, translate.MalformedAnswer},
		{"cut", `{"embeddings":[{"values":[0.1,`, translate.Truncated},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := embeddings(t, `"input":"a"`)
			var f *translate.Failure
			out, err := x.Response([]byte("x"), []byte(tc.answer))
			if !errors.As(err, &f) || f.Kind != tc.want || !f.Retry || string(out) != "x" {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
	x := embeddings(t, `"input":"a"`)
	var e *translate.UpstreamError
	if err := x.Check(0, []byte(`{"error":{"code":429}}`)); !errors.As(err, &e) || e.Status != 429 {
		t.Error(err)
	}
}

// TestEmbeddings_Recordings takes the recorded answers of batchEmbedContents and
// refuses those of Vertex, which have another shape.
func TestEmbeddings_Recordings(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(recordings, "embeddings", "*.json"))
	more, _ := filepath.Glob(filepath.Join(recordings, "predict", "*.json"))
	if files = append(files, more...); len(files) == 0 {
		t.Skip("no recordings beside the project")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var recorded struct {
				Embeddings []struct{ Values []float64 }
			}
			if err := json.Unmarshal(body, &recorded); err != nil {
				t.Fatal(err)
			}
			n := max(1, len(recorded.Embeddings))
			input := `"input":["a"` + strings.Repeat(`,"a"`, n-1) + `]`
			if len(recorded.Embeddings) == 0 {
				var f *translate.Failure
				if out, err := embeddings(t, input).Response(nil, body); !errors.As(err, &f) {
					t.Fatalf("%s, %v", out, err)
				}
				return
			}
			list := embedded(t, embeddings(t, input), string(body))
			packed := embedded(t, embeddings(t, input+`,"encoding_format":"base64"`), string(body))
			for i, r := range recorded.Embeddings {
				a, b, square, dot, length := floats(t, list.Data[i].Embedding), floats(t, packed.Data[i].Embedding), 0.0, 0.0, 0.0
				if len(a) != len(r.Values) || len(b) != len(r.Values) {
					t.Fatalf("vector %d has %d and %d of %d values", i, len(a), len(b), len(r.Values))
				}
				for j := range a {
					if math.Abs(a[j]-b[j]) > 1e-6 {
						t.Fatalf("vector %d at %d: %v and %v", i, j, a[j], b[j])
					}
					square += a[j] * a[j]
					dot += a[j] * r.Values[j]
					length += r.Values[j] * r.Values[j]
				}
				if math.Abs(math.Sqrt(square)-1) > 2*unitTolerance || math.Abs(dot/math.Sqrt(length)-1) > 2*unitTolerance {
					t.Errorf("vector %d: length %v, turned by %v", i, math.Sqrt(square), dot)
				}
			}
		})
	}
}
