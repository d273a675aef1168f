// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// What requests cost, through a real Caddy: as the request log has it, as the user key
// has spent it, and as the sums have it.

// paid is what is known of a request's money.
type paid struct {
	ID     string
	Status int
	Model  string
	Cost   *int64 `json:"cost_nano"`
	Price  string
	Tokens struct {
		Input, Cached, Output, Thoughts int64
		ToolUse                         int64 `json:"tool_use"`
	}
}

// addRich makes a user key that money is counted for, and uses it.
func (s *server) addRich() (id string) {
	s.t.Helper()
	var made struct{ ID, Key string }
	if status := s.call(http.MethodPost, "/admin/keys/user", `{"name": "rich", "limits": {"budget": {"day": 1000, "total": 5000}}, "unpriced": true}`, &made); status != http.StatusCreated {
		s.t.Fatalf("making a user key: %d", status)
	}
	s.user = made.Key
	return made.ID
}

// native asks Google's API and returns what came back.
func (s *server) native(method, path, body string) (id, answer string) {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.site+path, strings.NewReader(body))
	must(s.t, err)
	req.Header.Set("X-Goog-Api-Key", s.user)
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	must(s.t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	must(s.t, err)
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: %s: %.500s", method, path, res.Status, data)
	}
	return res.Header.Get("X-Request-Id"), string(data)
}

// promptOf asks a model with a prompt of about so many tokens, and returns how many they
// are to Google.
func (s *server) promptOf(model string, tokens int64) (id string, prompt int64) {
	s.t.Helper()
	body := fmt.Sprintf(`{"contents":[{"role":"user","parts":[{"text":"%s"}]}]}`, strings.Repeat("abcd", int(tokens)))
	id, answer := s.native(http.MethodPost, "/v1beta/models/"+model+":generateContent", body)
	var got struct {
		UsageMetadata struct{ PromptTokenCount int64 }
	}
	must(s.t, json.Unmarshal([]byte(answer), &got))
	return id, got.UsageMetadata.PromptTokenCount
}

// booked is the row of a request, once it is there.
func (s *server) row(id string) (p paid) {
	s.t.Helper()
	eventually(s.t, "the request is in the log", func() bool {
		return s.call(http.MethodGet, "/admin/requests/"+id, "", &p) == http.StatusOK
	})
	return p
}

// checkMoney compares what a user key has spent, and the sums, with what requests cost.
func (s *server) checkMoney(user string, want int64) {
	s.t.Helper()
	var key struct {
		Spent struct {
			Day   int64 `json:"day_nano"`
			Total int64 `json:"total_nano"`
		}
	}
	s.call(http.MethodGet, "/admin/keys/user/"+user, "", &key)
	var stats struct {
		booked
		ByUser map[string]booked `json:"by_user"`
		ByKey  map[string]booked `json:"by_key"`
	}
	s.call(http.MethodGet, "/admin/stats", "", &stats)
	byKey := int64(0)
	for _, k := range stats.ByKey {
		byKey += k.Cost
	}
	if key.Spent.Day != want || key.Spent.Total != want || stats.Cost != want || stats.ByUser[user].Cost != want || byKey != want {
		s.t.Errorf("requests cost %d; the key has spent %+v, the sums say %d, for the user %d, for Gemini keys %d", want, key.Spent, stats.Cost, stats.ByUser[user].Cost, byKey)
	}
}

// TestMoney_LongPrompts: a prompt of 200,000 tokens costs the short rates, one of 200,001
// the long ones as a whole.
func TestMoney_LongPrompts(t *testing.T) {
	s := newServer(t, 1)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\n", ""))
	user := s.addRich()
	const pro = "gemini-2.5-pro"
	sum := int64(0)
	check := func(id string) (p paid) {
		t.Helper()
		p = s.row(id)
		in, out := int64(1250), int64(10_000)
		if p.Tokens.Input > 200_000 {
			in, out = 2500, 15_000
		}
		want := p.Tokens.Input*in + (p.Tokens.Output+p.Tokens.Thoughts)*out
		if p.Cost == nil || *p.Cost != want || p.Tokens.Output == 0 || p.Tokens.Cached != 0 {
			t.Fatalf("%+v costs %v, want %d", p.Tokens, p.Cost, want)
		}
		sum += *p.Cost
		return p
	}
	id, prompt := s.promptOf(pro, 1000)
	check(id)
	overhead := prompt - 1000 // whatever the frame of a prompt counts for
	for _, want := range []int64{200_000, 200_001} {
		id, prompt := s.promptOf(pro, want-overhead)
		if p := check(id); prompt != want || p.Tokens.Input != want {
			t.Fatalf("Google counts %d tokens, the log %d; the test wants %d", prompt, p.Tokens.Input, want)
		}
	}
	s.checkMoney(user, sum)
}

// priceFile writes a table with a row for each side of a day, and one for Live sessions.
func (s *server) priceFile(name string, last, first string) string {
	s.t.Helper()
	table := fmt.Sprintf(`{"unit": "nano-USD per token", "prices": [
		{"models": [%[1]q], "source": "old", "date": "2026-10-07", "until": %[2]q, "input": 1000, "cached": 100, "output": 5000, "batch": 0.5},
		{"models": [%[1]q], "source": "new", "date": "2026-10-07", "from": %[3]q, "input": 3000, "cached": 300, "output": 7000, "batch": 0.5},
		{"models": [%[4]q], "source": "live", "date": "2026-10-07", "input": 11, "output": 13}
	]}`, model, last, first, liveModel)
	path := filepath.Join(s.dir, name)
	must(s.t, os.WriteFile(path, []byte(table), 0o600))
	return fmt.Sprintf("prices %q\n", filepath.ToSlash(path))
}

// TestMoney_PriceChange: the price of the day on which Google bills holds, a reload takes
// other prices, and what is past keeps its own.
func TestMoney_PriceChange(t *testing.T) {
	s := newServer(t, 1)
	west := time.FixedZone("PST", -8*60*60)
	day := func(n int) string { return time.Now().In(west).AddDate(0, 0, n).Format(time.DateOnly) }
	for time.Now().In(west).Add(time.Minute).Format(time.DateOnly) != day(0) {
		time.Sleep(time.Second) //nolint:forbidigo // until the day is over, in its last minute
	}
	keys := s.store("a") + "key {env.GB_KEY_0}\n"
	changes := s.config(keys+s.priceFile("tomorrow.json", day(0), day(1)), "")
	changed := s.config(keys+s.priceFile("today.json", day(-1), day(0)), "")
	s.start(changes)
	user := s.addRich()
	sum := int64(0)
	ask := func(source string, in, out int64) string {
		t.Helper()
		id, _ := s.promptOf(model, 100)
		p := s.row(id)
		want := p.Tokens.Input*in + (p.Tokens.Output+p.Tokens.Thoughts)*out
		if p.Cost == nil || *p.Cost != want || !strings.HasPrefix(p.Price, source+" ") {
			t.Errorf("%+v costs %v by %q, want %d by the %s price", p.Tokens, p.Cost, p.Price, want, source)
		}
		sum += want
		return id
	}
	first := ask("old", 1000, 5000)
	before := *s.row(first).Cost
	must(t, s.load(changed))
	ask("new", 3000, 7000)
	if after := s.row(first); after.Cost == nil || *after.Cost != before || !strings.HasPrefix(after.Price, "old ") {
		t.Errorf("the reload made %v of what had cost %d", after.Cost, before)
	}
	s.checkMoney(user, sum)
	must(t, s.signal(os.Interrupt))
	s.start(changed)
	s.checkMoney(user, sum)
}

// TestMoney_Live: a session is paid turn by turn while it runs, and once in the books.
func TestMoney_Live(t *testing.T) {
	s := newServer(t, 1)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\n"+s.priceFile("p.json", "2026-01-01", "2026-01-02"), ""))
	user := s.addRich()
	c := s.live()
	// Each turn is billed all of the session until then, see fakegemini's liveSession.answer.
	want, input, output, kept := int64(0), int64(0), int64(0), int64(0)
	for _, text := range []string{"Hello", "How are you?", "Good bye"} {
		c.say(text)
		said := int64(len("You said: " + text))
		prompt := kept + (said+3)/4
		kept = prompt + said
		input, output = input+prompt, output+said
		want += prompt*11 + said*13
		eventually(t, "the turn is paid while the session runs", func() bool { return s.spent(user) == want })
	}
	must(t, c.conn.Close(websocket.StatusNormalClosure, ""))
	var page struct{ Items []paid }
	eventually(t, "the session is in the log", func() bool {
		s.call(http.MethodGet, "/admin/requests?model="+liveModel, "", &page)
		return len(page.Items) == 1
	})
	if p := page.Items[0]; p.Cost == nil || *p.Cost != want || p.Tokens.Input != input || p.Tokens.Output != output {
		t.Errorf("%+v, want %d for %d and %d tokens", p, want, input, output)
	}
	s.checkMoney(user, want)
}

func (s *server) spent(user string) int64 {
	s.t.Helper()
	var key struct {
		Spent struct {
			Total int64 `json:"total_nano"`
		}
	}
	s.call(http.MethodGet, "/admin/keys/user/"+user, "", &key)
	return key.Spent.Total
}

// TestMoney_Batch: what a batch has used is paid once, by whoever sees its results first,
// be they in the operation or in a file; asking again costs nothing.
func TestMoney_Batch(t *testing.T) {
	s := newServer(t, 1)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\n"+s.priceFile("p.json", "2026-01-01", "2026-01-02"), ""))
	user := s.addRich()
	cost := func(results []string) (nano int64) {
		t.Helper()
		half := int64(0)
		for _, r := range results {
			var u struct {
				Response struct {
					UsageMetadata struct{ PromptTokenCount, CandidatesTokenCount, ThoughtsTokenCount int64 }
				}
			}
			must(t, json.Unmarshal([]byte(r), &u))
			m := u.Response.UsageMetadata
			pico := (m.PromptTokenCount*3000 + (m.CandidatesTokenCount+m.ThoughtsTokenCount)*7000) * 1000 / 2
			half += (pico + 500) / 1000
		}
		if half == 0 {
			t.Fatalf("no usage in %q", results)
		}
		return half
	}
	request := func(i int) string {
		return fmt.Sprintf(`{"contents":[{"role":"user","parts":[{"text":"question number %d"}]}]}`, i)
	}
	poll := func(name string) (results []string, file string) {
		t.Helper()
		_, answer := s.native(http.MethodGet, "/v1beta/"+name, "")
		var op struct {
			Done     bool
			Response struct {
				InlinedResponses struct{ InlinedResponses []json.RawMessage }
				ResponsesFile    string
			}
		}
		must(t, json.Unmarshal([]byte(answer), &op))
		if !op.Done {
			t.Fatalf("the batch is not done: %s", answer)
		}
		for _, r := range op.Response.InlinedResponses.InlinedResponses {
			results = append(results, string(r))
		}
		return results, op.Response.ResponsesFile
	}
	name := func(answer string) string {
		t.Helper()
		var op struct{ Name string }
		must(t, json.Unmarshal([]byte(answer), &op))
		return op.Name
	}

	// With results in the operation.
	_, answer := s.native(http.MethodPost, "/v1beta/models/"+model+":batchGenerateContent", fmt.Sprintf(
		`{"batch":{"displayName":"inline","inputConfig":{"requests":{"requests":[{"request":%s},{"request":%s},{"request":%s}]}}}}`, request(1), request(2), request(3)))
	batch := name(answer)
	results, _ := poll(batch)
	if len(results) != 3 {
		t.Fatalf("%d results", len(results))
	}
	want := cost(results)
	eventually(t, "the results are paid", func() bool { return s.spent(user) == want })
	poll(batch)

	// With results in a file.
	var lines strings.Builder
	for i := range 5 {
		fmt.Fprintf(&lines, `{"key":"k%d","request":%s}`+"\n", i, request(10+i))
	}
	_, answer = s.native(http.MethodPost, "/v1beta/models/"+model+":batchGenerateContent",
		fmt.Sprintf(`{"batch":{"displayName":"file","inputConfig":{"fileName":%q}}}`, s.uploaded(lines.String())))
	batch = name(answer)
	_, file := poll(batch)
	if file == "" {
		t.Fatal("no file of results")
	}
	for range 2 {
		_, content := s.native(http.MethodGet, "/v1beta/"+file+":download?alt=media", "")
		results = strings.Split(strings.TrimSpace(content), "\n")
		if len(results) != 5 {
			t.Fatalf("%d results in the file: %s", len(results), content)
		}
	}
	want += cost(results)
	eventually(t, "the file is paid", func() bool { return s.spent(user) == want })
	poll(batch)
	must(t, s.signal(os.Interrupt))
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\n"+s.priceFile("p.json", "2026-01-01", "2026-01-02"), ""))
	poll(batch)
	s.native(http.MethodGet, "/v1beta/"+file+":download?alt=media", "")
	eventually(t, "the log is written", func() bool { return s.row0() })
	s.checkMoney(user, want)
}

// uploaded uploads a file to Google and returns its name.
func (s *server) uploaded(content string) string {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+s.site+"/upload/v1beta/files?uploadType=media", strings.NewReader(content))
	must(s.t, err)
	req.Header.Set("X-Goog-Api-Key", s.user)
	req.Header.Set("Content-Type", "application/jsonl")
	req.Header.Set("X-Goog-Upload-Protocol", "raw")
	res, err := s.client.Do(req)
	must(s.t, err)
	defer res.Body.Close()
	var made struct{ File struct{ Name string } }
	data, err := io.ReadAll(res.Body)
	must(s.t, err)
	if json.Unmarshal(data, &made) != nil || made.File.Name == "" {
		s.t.Fatalf("the upload: %s: %s", res.Status, data)
	}
	return made.File.Name
}

// row0 reports whether the last request that was made is in the log.
func (s *server) row0() bool {
	s.t.Helper()
	id, _ := s.native(http.MethodGet, "/v1beta/models", "")
	return s.row(id).ID == id
}
