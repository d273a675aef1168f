// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a settable one.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// client talks to a started server.
type client struct {
	t    testing.TB
	s    *Server
	http *http.Client
	key  string
}

func start(t testing.TB, c Config) *client {
	t.Helper()
	if c.Keys == nil {
		c.Keys = []Key{{Secret: "k1", Project: "p1"}}
	}
	s := New(c)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(func() { tr.CloseIdleConnections(); s.Close() })
	return &client{t, s, &http.Client{Transport: tr}, c.Keys[0].Secret}
}

// do posts to a model's method and returns status, body, and the error of reading it.
func (c *client) do(model, method, body string) (int, string, error) {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodPost, c.s.URL+"/v1beta/models/"+model+":"+method, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("X-Goog-Api-Key", c.key)
	res, err := c.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

func say(text string) string {
	return `{"contents":[{"role":"user","parts":[{"text":` + string(rawjson.Quote(text)) + `}]}]}`
}

// ask is do for a prompt that must succeed.
func (c *client) ask(model, body string) gemini.Response {
	c.t.Helper()
	status, answer, err := c.do(model, "generateContent", body)
	if err != nil || status != 200 {
		c.t.Fatalf("%s: %d %s %v", model, status, answer, err)
	}
	var r gemini.Response
	if err := r.Decode([]byte(answer)); err != nil {
		c.t.Fatal(err)
	}
	return r
}

func TestAnswer(t *testing.T) {
	c := start(t, Config{})
	r := c.ask("gemini-3.8-flash", `{"contents":[{"role":"user","parts":[{"text":"Hello, world"},{"inlineData":{"mimeType":"image/png","data":"`+onePixel+`"}}]}],"generationConfig":{"thinkingConfig":{"includeThoughts":true}}}`)
	parts := r.Candidates[0].Parts
	if len(parts) != 2 || !parts[0].Thought || !strings.Contains(parts[1].Text.Text(), "image/png of 70 bytes") || !strings.Contains(parts[1].Text.Text(), "You said: Hello, world") {
		t.Errorf("parts %+v", parts)
	}
	if len(parts[1].ThoughtSignature) == 0 || !r.Candidates[0].FinishReason.Is("STOP") || r.Candidates[0].Index != 0 {
		t.Errorf("candidate %+v", r.Candidates[0])
	}
	u := r.Usage
	if u.Prompt != 3+258 || u.Thoughts == 0 || u.Total != u.Prompt+u.Candidates+u.Thoughts {
		t.Errorf("usage %+v", u)
	}
	if !r.ModelVersion.Is("gemini-3.8-flash") || r.ResponseID.Text() == "" {
		t.Errorf("version %s, id %s", r.ModelVersion, r.ResponseID)
	}
}

func TestDirectives(t *testing.T) {
	c := start(t, Config{})
	for prompt, want := range map[string]struct {
		status int
		part   string
	}{
		"[[say Hello there]]":                {200, `"Hello there"`},
		"[[finish SAFETY]]":                  {200, `"finishReason": "SAFETY"`},
		"[[finish MALFORMED_FUNCTION_CALL]]": {200, `Malformed function call`},
		"[[block PROHIBITED_CONTENT]]":       {200, `"blockReason": "PROHIBITED_CONTENT"`},
		"[[cached 100]]":                     {200, `"cachedContentTokenCount": 100`},
		"[[thoughts 77]]":                    {200, `"thoughtsTokenCount": 77`},
		"[[status 400]]":                     {400, `INVALID_ARGUMENT`},
		"[[status 500]]":                     {500, `INTERNAL`},
		"[[status 503]]":                     {503, `UNAVAILABLE`},
		"[[status 504]]":                     {504, `DEADLINE_EXCEEDED`},
		"[[retry 34.5s]]":                    {429, `"retryDelay": "34.5s"`},
		"[[html 429]]":                       {429, `<!DOCTYPE html>`},
		"[[error200]]":                       {200, `"code": 503`},
		"[[empty]]":                          {200, ``},
		"[[size 5000000]]":                   {200, `and so on and so on`},
		"[[no_such_directive 1]]":            {200, `You said`},
	} {
		status, body, err := c.do("gemini-3.8-flash", "generateContent", say(prompt))
		if err != nil || status != want.status || !strings.Contains(body, want.part) {
			t.Errorf("%s: %d %.300s %v", prompt, status, body, err)
		}
		if prompt == "[[empty]]" && body != "" || strings.Contains(prompt, "size") && len(body) < 5_000_000 {
			t.Errorf("%s: %d bytes", prompt, len(body))
		}
	}
	if status, _, _ := c.do("fake-503", "generateContent", say("x")); status != 503 {
		t.Errorf("fake-503: %d", status)
	}
}

// TestCall: a prompt may say what is called and with what, for tools that do real things.
func TestCall(t *testing.T) {
	c := start(t, Config{})
	ask := func(body string) gemini.Part {
		return c.ask("gemini-3.8-flash", strings.TrimSuffix(body, "}")+`,"tools":[{"functionDeclarations":[{"name":"list"},{"name":"read"}]}]}`).Candidates[0].Parts[0]
	}
	prompt := `Read it. [[call read {"path": "/a b"}]]`
	if p := ask(say(prompt)); p.FunctionCall == nil || !p.FunctionCall.Name.Is("read") || string(rawjson.Compact(nil, p.FunctionCall.Args)) != `{"path":"/a b"}` || len(p.ThoughtSignature) == 0 {
		t.Errorf("called %+v", p)
	}
	if p := ask(say("Write it. [[call write {}]]")); p.FunctionCall != nil {
		t.Errorf("called what is not declared: %+v", p.FunctionCall)
	}
	answered := strings.TrimSuffix(say(prompt), "]}") + `,{"role":"model","parts":[{"functionCall":{"name":"read","id":"1"},"thoughtSignature":"skip_thought_signature_validator"}]},` +
		`{"role":"user","parts":[{"functionResponse":{"name":"read","id":"1","response":{"output":"what it says"}}}]}]}`
	if p := ask(answered); !strings.Contains(p.Text.Text(), "what it says") {
		t.Errorf("after the answer %+v", p)
	}
}

func TestStreams(t *testing.T) {
	c := start(t, Config{})
	const text = "[[events 5]] näïve — stream of some length, so that there is something to cut"
	status, body, err := c.do("gemini-3.8-flash", "streamGenerateContent?alt=sse", say(text))
	if err != nil || status != 200 || strings.Count(body, "data: ") != 5 || !strings.HasSuffix(body, "\r\n\r\n") {
		t.Fatalf("%d %v %q", status, err, body)
	}
	var whole string
	for event := range strings.SplitSeq(strings.TrimSuffix(body, "\r\n\r\n"), "\r\n\r\n") {
		var r gemini.Response
		if err := r.Decode([]byte(strings.TrimPrefix(event, "data: "))); err != nil {
			t.Fatalf("%q: %v", event, err)
		}
		if r.Usage.Prompt == 0 {
			t.Errorf("event without usage: %s", event)
		}
		whole += r.Candidates[0].Parts[0].Text.Text()
	}
	if !strings.HasSuffix(whole, text) {
		t.Errorf("text %q", whole)
	}
	_, body, err = c.do("gemini-3.8-flash", "streamGenerateContent", say(text))
	var list []map[string]any
	if err != nil || json.Unmarshal([]byte(body), &list) != nil || len(list) != 5 || !strings.Contains(body, "\n,\r\n{") {
		t.Errorf("array form: %v %q", err, body)
	}
	_, body, _ = c.do("nothing", "streamGenerateContent", say(text))
	if !strings.HasPrefix(body, "[{\n  \"error\"") {
		t.Errorf("error in array form: %q", body)
	}
}

func TestLargeEvent(t *testing.T) {
	c := start(t, Config{Entries: 2})
	for range 3 {
		_, body, err := c.do("gemini-3.8-flash", "streamGenerateContent?alt=sse", say("[[events 1]] [[size 5000000]]"))
		if err != nil || strings.Count(body, "data: ") != 1 || len(body) < 5_000_000 {
			t.Errorf("%d events, %d bytes, %v", strings.Count(body, "data: "), len(body), err)
		}
	}
	if e := c.s.Entries(); len(e) != 2 || e[1].N != 3 || e[1].Bytes < 5_000_000 {
		t.Errorf("%d entries", len(e))
	}
}

// Whatever a client sends, the server answers.
func FuzzHandler(f *testing.F) {
	f.Add("generateContent", say("hi"))
	f.Add("streamGenerateContent", `{"contents":[null,{"parts":[{}]}],"tools":[{"functionDeclarations":[{"name":1}]}]}`)
	f.Add("generateContent", `{"contents":[{"parts":[{"text":"[[calls 3]] [[events 1000]]"}]}],"tools":[{"functionDeclarations":[{"name":"f","parameters":{"anyOf":[]}}]}]}`)
	f.Add("generateContent", `{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":1,"stopSequences":["T"]}}`)
	f.Add("countTokens", `{"generateContentRequest":[]}`)
	f.Add("batchEmbedContents", `{"requests":[{}]}`)
	s := New(Config{Keys: []Key{{Secret: "k1"}}, ImplicitCache: 1, Entries: 1})
	f.Fuzz(func(t *testing.T, method, body string) {
		if strings.Contains(body, "[[") { // directives may wait, reset and repeat
			return
		}
		model := "gemini-3.8-flash"
		if strings.Contains(method, "mbed") {
			model = "gemini-embedding-001"
		}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.URL.Path = "/v1beta/models/" + model + ":" + method
		r.Header.Set("X-Goog-Api-Key", "k1")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 400 && w.Code != 404 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestBreaks(t *testing.T) {
	for _, scheme := range []string{"http/1.1", "h2"} {
		t.Run(scheme, func(t *testing.T) {
			c := start(t, Config{})
			if scheme == "h2" {
				c = startTLS(t, Config{})
			}
			for prompt, want := range map[string]struct {
				fails     bool // reading or the request itself
				events    int
				contains  string
				unfinshed bool
			}{
				"[[reset]]":                       {fails: true},
				"[[reset_headers]]":               {fails: true},
				"[[events 9]] [[reset_event 3]]":  {fails: true, events: 4}, // the fourth is torn
				"[[events 9]] [[cut 3]]":          {events: 3, unfinshed: true},
				"[[events 9]] [[cut 99]]":         {events: 8, unfinshed: true},
				"[[events 9]] [[error_event 2]]":  {events: 3, contains: `data: {"error":{"code":503`, unfinshed: true},
				"[[events 9]] [[error_bare 2]]":   {events: 2, contains: "\r\n\r\n{\n  \"error\": {", unfinshed: true},
				"[[events 9]] [[length 2]]":       {fails: true, events: 2},
				"[[events 9]] [[chunk 1]]":        {events: 9},
				"[[events 3]] [[pace 1ms]]":       {events: 3},
				"[[events 3]] [[delay 1ms]] well": {events: 3},
			} {
				_, body, err := c.do("gemini-3.8-flash", "streamGenerateContent?alt=sse", say(prompt))
				if (err != nil) != want.fails || !strings.Contains(body, want.contains) {
					t.Errorf("%s: %v %q", prompt, err, body)
				}
				// what was under way when a connection is reset may be lost
				if n := strings.Count(body, "data: "); n != want.events && !(want.fails && n < want.events) {
					t.Errorf("%s: %d events", prompt, n)
				}
				if finished := strings.Contains(body, "finishReason"); !want.fails && finished == want.unfinshed {
					t.Errorf("%s: finished %v", prompt, finished)
				}
			}
			if _, _, err := c.do("gemini-3.8-flash", "generateContent", say("[[length]]")); err == nil {
				t.Error("an answer shorter than its Content-Length was read without error")
			}
		})
	}
}

func startTLS(t *testing.T, c Config) *client {
	t.Helper()
	c.Keys = []Key{{Secret: "k1", Project: "p1"}}
	s := New(c)
	if err := s.StartTLS(); err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: clientTLS(s)}
	t.Cleanup(func() { tr.CloseIdleConnections(); s.Close() })
	cl := &client{t, s, &http.Client{Transport: tr}, "k1"}
	cl.ask("gemini-3.8-flash", say("which protocol?"))
	if p := s.Entries()[0].Proto; p != "HTTP/2.0" {
		t.Fatalf("protocol %s", p)
	}
	return cl
}

// TestHold: answers wait until they are let go, and no longer.
func TestHold(t *testing.T) {
	c := start(t, Config{})
	for prompt, method := range map[string]string{ // a release is for those that wait at that time
		"[[hold]]":                  "generateContent",
		"[[events 9]] [[hold 4]]":   "streamGenerateContent?alt=sse",
		"[[events 9]] [[hold 4]] .": "generateContent",
	} {
		c.s.Forget()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if status, body, err := c.do("gemini-3.8-flash", method, say(prompt)); status != 200 || err != nil || !strings.Contains(body, `"STOP"`) {
					t.Errorf("%d %v %s", status, err, body)
				}
			})
		}
		for c.s.Held() < 3 {
			runtime.Gosched()
		}
		if n := c.s.Count(Done); n > 0 {
			t.Errorf("%d of those that are held have ended", n)
		}
		if streamed := strings.HasPrefix(method, "stream"); (c.s.Entries()[0].Bytes > 0) != streamed {
			t.Errorf("%s: %d bytes came before", prompt, c.s.Entries()[0].Bytes)
		}
		c.s.Release()
		all.Wait()
		if n := c.s.Held(); n != 0 {
			t.Errorf("%d are held, after the release", n)
		}
	}
}

// A client that leaves is booked as such, wherever it leaves.
func TestCancel(t *testing.T) {
	c := start(t, Config{})
	for n, prompt := range []string{"[[hang]]", "[[events 9]] [[silence 2]]", "[[events 9]] [[pace 10s]]"} {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.s.URL+"/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse", strings.NewReader(say(prompt)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("x-goog-api-key", "k1")
		if n == 0 {
			go func() {
				c.s.Wait(time.Minute, 1)
				cancel()
			}()
		}
		res, err := c.http.Do(req)
		if n == 0 {
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("hang: %v", err)
			}
		} else {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			cancel()
			_ = res.Body.Close() // canceled
		}
		cancel()
		if !c.s.Wait(time.Minute, n+1, Done, CanceledByClient) {
			t.Errorf("%s: %+v", prompt, c.s.Entries()[n])
		}
	}
}

func TestKeys(t *testing.T) {
	states := map[KeyState]struct {
		status int
		part   string
	}{
		KeyInvalid: {400, "API_KEY_INVALID"}, KeyExpired: {400, "API key expired"}, KeySuspended: {403, "api_key:k-suspended"},
		KeyLeaked: {403, "reported as leaked"}, KeyBlocked: {403, "API_KEY_SERVICE_BLOCKED"}, KeyReferrer: {403, "API_KEY_HTTP_REFERRER_BLOCKED"},
		KeyRefused: {401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"}, KeyAPIOff: {403, "SERVICE_DISABLED"}, KeyLocation: {400, "User location"},
		KeyDepleted: {429, "prepayment"}, KeyRobot: {429, "automated queries"}, KeyNoBilling: {400, "enable billing"},
	}
	var cfg Config
	for state := range states {
		cfg.Keys = append(cfg.Keys, Key{Secret: "k-" + string(state), State: state})
	}
	c := start(t, cfg)
	for state, want := range states {
		c.key = "k-" + string(state)
		if status, body, err := c.do("gemini-3.8-flash", "generateContent", say("x")); err != nil || status != want.status || !strings.Contains(body, want.part) {
			t.Errorf("%s: %d %s %v", state, status, body, err)
		}
	}
	if v := c.s.Violations(); len(v) != 0 {
		t.Errorf("violations after one attempt each: %v", v)
	}
	c.key = "k-" + string(KeyLeaked)
	if _, _, err := c.do("gemini-3.8-flash", "generateContent", say("x")); err != nil {
		t.Fatal(err)
	}
	if v := c.s.Violations(DeadKey); len(v) != 1 {
		t.Errorf("a second attempt with a leaked key: %v", v)
	}
	for name, change := range map[string]func(*http.Request){
		"none":         func(r *http.Request) {},
		"in the query": func(r *http.Request) { r.URL.RawQuery = "key=k1" },
		"bearer":       func(r *http.Request) { r.Header.Set("Authorization", "Bearer k1") },
	} {
		req, err := http.NewRequest(http.MethodGet, c.s.URL+"/v1beta/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		change(req)
		res, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close() // read whole
		if err != nil || res.StatusCode != 403 || !strings.Contains(string(b), "unregistered callers") {
			t.Errorf("%s: %d %s", name, res.StatusCode, b)
		}
	}
	if v := c.s.Violations(WrongPlace); len(v) != 2 {
		t.Errorf("%d credentials in the wrong place, want 2: %v", len(v), v)
	}
}

func TestScript(t *testing.T) {
	c := start(t, Config{Seed: 7})
	remove := c.s.Script(Rule{Key: "k1", Model: "gemini-3.8-flash", Skip: 1, Times: 2, Steer: Steer{Status: 503}})
	var got []int
	for range 4 {
		status, _, _ := c.do("gemini-3.8-flash", "generateContent", say("x"))
		got = append(got, status)
	}
	if fmt.Sprint(got) != "[200 503 503 200]" {
		t.Errorf("got %v", got)
	}
	remove()
	c.s.Script(Rule{Chance: 0.2, Steer: Steer{Status: 503}})
	failed := 0
	for range 200 {
		if status, _, _ := c.do("gemini-3.8-flash", "generateContent", say("x")); status == 503 {
			failed++
		}
	}
	if failed < 20 || failed > 60 {
		t.Errorf("%d of 200 failed by a chance of 0.2", failed)
	}
	if n := c.s.Count(ByKey("k1"), ByModel("gemini-3.8-flash"), ByStatus(503), Attempts, ByMethod("generateContent"), ByProject("p1"), Since(time.Time{})); n != failed+2 {
		t.Errorf("books have %d failures, want %d", n, failed+2)
	}
	c.s.Script(Rule{Method: "models.list", Steer: Steer{Status: 500}})
	if status, _, _ := c.do("gemini-3.8-flash", "countTokens", say("x")); status != 200 {
		t.Errorf("a rule without method hit countTokens: %d", status)
	}
	req := httptest.NewRequest(http.MethodGet, "/v1beta/models", nil)
	req.Header.Set("X-Goog-Api-Key", "k1")
	w := httptest.NewRecorder()
	if c.s.ServeHTTP(w, req); w.Code != 500 {
		t.Errorf("a rule for models.list: %d", w.Code)
	}
	c.s.Forget()
	if c.s.Count() != 0 {
		t.Error("books are not empty")
	}
}

func TestModels(t *testing.T) {
	c := start(t, Config{})
	var names []string
	token := ""
	for range 20 {
		req, err := http.NewRequest(http.MethodGet, c.s.URL+"/v1beta/models?pageSize=5&pageToken="+token, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("x-goog-api-key", "k1")
		res, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Models        []listed
			NextPageToken string
		}
		err = json.NewDecoder(res.Body).Decode(&page)
		_ = res.Body.Close() // read whole
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Models {
			names = append(names, m.Name)
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	if len(names) != len(DefaultModels()) || names[0] != "models/gemini-2.5-pro" {
		t.Errorf("got %v", names)
	}
	for model, want := range map[string]string{"gemini-9": "is not found for API version v1beta", "gemini-2.0-flash": "no longer available to new users"} {
		if status, body, _ := c.do(model, "generateContent", say("x")); status != 404 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", model, status, body)
		}
	}
}

func TestEmbeddings(t *testing.T) {
	c := start(t, Config{})
	_, body, err := c.do("gemini-embedding-001", "batchEmbedContents", `{"requests":[{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"a"}]},"outputDimensionality":8},{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"b"}]}}]}`)
	var got struct{ Embeddings []embedding }
	if err != nil || json.Unmarshal([]byte(body), &got) != nil || len(got.Embeddings) != 2 || len(got.Embeddings[0].Values) != 8 || len(got.Embeddings[1].Values) != 3072 {
		t.Errorf("%v %.300s", err, body)
	}
	if status, body, _ := c.do("gemini-embedding-001", "embedContent", `{"content":{"parts":[{"text":"a"}]}}`); status != 200 || !strings.Contains(body, `"embedding"`) {
		t.Errorf("%d %.300s", status, body)
	}
	if status, body, _ := c.do("gemini-3.8-flash", "countTokens", say("12345678")); status != 200 || !strings.Contains(body, `"totalTokens": 2`) {
		t.Errorf("%d %s", status, body)
	}
}

func TestDemo(t *testing.T) {
	cfg := Demo()
	c := start(t, cfg)
	got := map[int]int{}
	for _, k := range cfg.Keys {
		if len(k.Secret) != 39 {
			t.Errorf("key %q has %d characters", k.Secret, len(k.Secret))
		}
		c.key = k.Secret
		status, _, err := c.do("gemini-flash-latest", "generateContent", say("x"))
		if err != nil {
			t.Fatal(err)
		}
		got[status]++
	}
	if fmt.Sprint(got) != "map[200:5 400:1 403:1 429:1]" {
		t.Errorf("got %v", got)
	}
}

func TestImplicitCache(t *testing.T) {
	c := start(t, Config{ImplicitCache: 1024, Keys: []Key{{Secret: "k1", Project: "p1"}, {Secret: "k2", Project: "p2"}}})
	first := `{"role":"user","parts":[{"text":"` + strings.Repeat("long ", 1000) + `"}]}`
	c.ask("gemini-3.8-flash", `{"contents":[`+first+`]}`)
	second := `{"contents":[` + first + `,{"role":"model","parts":[{"text":"yes"}]},{"role":"user","parts":[{"text":"and?"}]}]}`
	if r := c.ask("gemini-3.8-flash", second); r.Usage.Cached != 1250 {
		t.Errorf("cached %d of %d", r.Usage.Cached, r.Usage.Prompt)
	}
	c.key = "k2"
	if r := c.ask("gemini-3.8-flash", second); r.Usage.Cached != 0 {
		t.Errorf("another project has %d tokens cached", r.Usage.Cached)
	}
}

// The requests that public projects sent to Google with success pass, and our
// answers have no member that Google's have not.
func TestRecordings(t *testing.T) {
	const dir = "../../../shared/recordings"
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Skipf("recordings not here: %v", err)
	}
	var index []struct {
		Name, API, Method, Endpoint, File string
		Status                            int
		Stream                            bool
		Request                           json.RawMessage
	}
	if err := json.Unmarshal(b, &index); err != nil {
		t.Fatal(err)
	}
	seen, checked := map[string]bool{}, 0
	for _, e := range index {
		message := messageOf[e.Endpoint]
		if message == "" || e.Status != 200 {
			continue
		}
		if body, err := os.ReadFile(filepath.Join(dir, e.File)); err == nil && message == "GenerateContentRequest" {
			for line := range bytes.Lines(body) {
				collect(bytes.TrimPrefix(line, []byte("data: ")), seen)
			}
			collect(body, seen)
		}
		if e.API != "developer" || len(e.Request) == 0 || string(e.Request) == "null" {
			continue
		}
		v, err := rawjson.Parse(e.Request)
		if err != nil {
			t.Fatal(err)
		}
		checked++
		if found := check(v, message, "", nil); len(found) > 0 {
			t.Errorf("%s: %v", e.Name, found)
		}
	}
	if checked < 20 || len(seen) < 10 {
		t.Fatalf("only %d requests, %d members", checked, len(seen))
	}
	c := start(t, Config{})
	for _, prompt := range []string{"plain", "[[finish SAFETY]]", "[[block SAFETY]]", "[[cached 5]]", "[[finish MALFORMED_FUNCTION_CALL]]"} {
		_, body, _ := c.do("gemini-3.8-flash", "generateContent", say(prompt))
		ours := map[string]bool{}
		collect([]byte(body), ours)
		for name := range ours {
			if !seen[name] {
				t.Errorf("%s: no recorded answer has the member %s", prompt, name)
			}
		}
	}
}

// collect notes the paths of all members of a JSON document, without indexes.
func collect(doc []byte, into map[string]bool) {
	var v any
	if json.Unmarshal(doc, &v) != nil {
		return
	}
	var walk func(v any, path string)
	walk = func(v any, path string) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e, path)
			}
		case map[string]any:
			for k, m := range v {
				into[path+"."+k] = true
				walk(m, path+"."+k)
			}
		}
	}
	walk(v, "")
}
