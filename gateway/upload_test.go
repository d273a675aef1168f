// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// pattern is n bytes that differ from place to place.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>16) ^ byte(i>>8) ^ byte(i)
	}
	return b
}

// stored checks that Google has the data of a file.
func (w *world) stored(f uploaded, data []byte) {
	w.t.Helper()
	_, name, _ := openai.ParseFileID(f.ID)
	sum := sha256.Sum256(data)
	want := base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(sum[:])))
	for i := range 8 {
		req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.google.URL+"/v1beta/"+name, nil)
		must(w.t, err)
		req.Header.Set("X-Goog-Api-Key", fakegemini.DemoKey(i+1))
		res, err := http.DefaultTransport.RoundTrip(req)
		must(w.t, err)
		body, err := io.ReadAll(res.Body)
		must(w.t, errors.Join(err, res.Body.Close()))
		if strings.Contains(string(body), want) && f.Bytes == int64(len(data)) {
			http.DefaultTransport.(*http.Transport).CloseIdleConnections()
			return
		}
	}
	w.t.Errorf("Google has not the bytes of %+v", f)
}

// TestUpload_Sizes: files of one chunk, of several, and on the border between.
func TestUpload_Sizes(t *testing.T) {
	w := newWorld(t, keys(3))
	for _, n := range []int{1, uploadChunk - 1, uploadChunk, uploadChunk + 1, 2 * uploadChunk, 3*uploadChunk + 12345} {
		data := pattern(n)
		w.google.Forget()
		w.stored(w.put("data.bin", string(data)), data)
		if chunks := w.google.Count(fakegemini.ByMethod("files.upload")); chunks != (n+uploadChunk-1)/uploadChunk {
			t.Errorf("%d bytes in %d chunks", n, chunks)
		}
	}
}

// TestUpload_Broken: what breaks on the way is sent again from where Google has
// it, to the same project once the client's bytes have moved on.
func TestUpload_Broken(t *testing.T) {
	data := pattern(2*uploadChunk + 77)
	for name, tc := range map[string]struct {
		rule   fakegemini.Rule
		size   int
		status int
	}{
		"start refused":         {fakegemini.Rule{Method: "files.start", Times: 1, Steer: fakegemini.Steer{Status: 429}}, len(data), 200},
		"start fails":           {fakegemini.Rule{Method: "files.start", Times: 1, Steer: fakegemini.Steer{Status: 500}}, len(data), 200},
		"start always fails":    {fakegemini.Rule{Method: "files.start", Steer: fakegemini.Steer{Status: 500}}, len(data), 502},
		"start without a URL":   {fakegemini.Rule{Method: "files.start", Steer: fakegemini.Steer{Empty: true}}, len(data), 502},
		"first chunk fails":     {fakegemini.Rule{Method: "files.upload", Times: 1, Steer: fakegemini.Steer{Status: 503}}, len(data), 200},
		"later chunk fails":     {fakegemini.Rule{Method: "files.upload", Skip: 1, Times: 1, Steer: fakegemini.Steer{Status: 503}}, len(data), 200},
		"connection resets":     {fakegemini.Rule{Method: "files.upload", Skip: 1, Times: 1, Steer: fakegemini.Steer{Break: fakegemini.Reset}}, len(data), 200},
		"answer lost":           {fakegemini.Rule{Method: "files.upload", Skip: 1, Times: 1, Steer: fakegemini.Steer{Break: fakegemini.ResetEvent}}, len(data), 200},
		"last answer lost":      {fakegemini.Rule{Method: "files.upload", Skip: 2, Times: 1, Steer: fakegemini.Steer{Break: fakegemini.ResetEvent}}, len(data), 200},
		"only answer lost":      {fakegemini.Rule{Method: "files.upload", Times: 1, Steer: fakegemini.Steer{Break: fakegemini.ResetEvent}}, 100, 200},
		"session lost at first": {fakegemini.Rule{Method: "files.upload", Times: 1, Steer: fakegemini.Steer{Status: 429}}, len(data), 200},
		"session lost later":    {fakegemini.Rule{Method: "files.upload", Skip: 1, Steer: fakegemini.Steer{Status: 429}}, len(data), 429},
		"never works":           {fakegemini.Rule{Method: "files.upload", Steer: fakegemini.Steer{Status: 503}}, 100, 503},
		"not a file":            {fakegemini.Rule{Method: "files.upload", Steer: fakegemini.Steer{Status: 200, Body: `{"file":{"name":"../x"}}`}}, 100, 502},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, keys(4))
			patchWait(t, w, 0)
			remove := w.google.Script(tc.rule)
			kind, body := form(t, "file", "data.bin", data[:tc.size], "purpose", "user_data")
			a := w.post("/v1/files", body, "Content-Type", kind)
			if a.status != tc.status {
				t.Fatalf("%d %s", a.status, a.body)
			}
			remove()
			var list struct{ Data []uploaded }
			listed := w.do(t.Context(), http.MethodGet, "/v1/files", "")
			decode(t, listed.body, &list)
			if tc.status != 200 {
				if len(list.Data) != 0 || strings.Contains(a.body, "upload_id") {
					t.Errorf("%+v %s", list.Data, a.body)
				}
				return
			}
			if len(list.Data) != 1 {
				t.Fatal(listed.body)
			}
			if a := w.about(list.Data[0].ID); a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
			if v := w.google.Violations(); len(v) > 0 {
				t.Error(v)
			}
			w.stored(list.Data[0], data[:tc.size])
		})
	}
}

// TestUpload_Form: fields before and behind the file, and what is wrong with forms.
func TestUpload_Form(t *testing.T) {
	w := newWorld(t, keys(2), func(c *Config) { c.MaxRequestSize = 3 * uploadChunk })
	large := string(pattern(uploadChunk + 1))
	type part struct{ name, file, kind, value string }
	file := func(value string) part { return part{"file", "a.pdf", "", value} }
	purpose := part{name: "purpose", value: "user_data"}
	for name, tc := range map[string]struct {
		parts  []part
		status int
		text   string
	}{
		"purpose first":         {[]part{purpose, file("x")}, 200, `"purpose":"user_data"`},
		"purpose last":          {[]part{file("x"), purpose}, 200, `"purpose":"user_data"`},
		"purpose last, large":   {[]part{file(large), purpose}, 200, `"bytes":` + fmt.Sprint(len(large))},
		"no purpose":            {[]part{file("x")}, 400, `"param":"purpose"`},
		"no purpose, large":     {[]part{file(large)}, 400, `"param":"purpose"`},
		"wrong purpose":         {[]part{{name: "purpose", value: "fun"}, file("x")}, 400, `"param":"purpose"`},
		"wrong purpose, large":  {[]part{file(large), {name: "purpose", value: "fun"}}, 400, `"param":"purpose"`},
		"no file":               {[]part{purpose}, 400, `"param":"file"`},
		"empty file":            {[]part{purpose, file("")}, 400, `"param":"file"`},
		"two files":             {[]part{purpose, file("x"), file("y")}, 400, `"param":"file"`},
		"no name":               {[]part{purpose, {name: "file", value: "x"}}, 200, `"filename":"file"`},
		"name with a path":      {[]part{purpose, {"file", `../../b "c".txt`, "", "x"}}, 200, `"filename":"b \"c\".txt"`},
		"expires sooner":        {[]part{purpose, {name: "expires_after[anchor]", value: "created_at"}, {name: "expires_after[seconds]", value: "3600"}, file("x")}, 200, `"expires_at":`},
		"expires too soon":      {[]part{purpose, {name: "expires_after[seconds]", value: "60"}, file("x")}, 400, `"param":"expires_after.seconds"`},
		"other anchor":          {[]part{purpose, {name: "expires_after[anchor]", value: "now"}, file("x")}, 400, `"param":"expires_after.anchor"`},
		"long field":            {[]part{{name: "note", value: strings.Repeat("n", 2000)}, purpose, file("x")}, 400, `"param":"note"`},
		"unknown field":         {[]part{{name: "note", value: "n"}, purpose, file("x")}, 200, `"status":"processed"`},
		"larger than the limit": {[]part{purpose, file(strings.Repeat(large, 3))}, 413, "max_request_size"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			m := multipart.NewWriter(&b)
			for _, p := range tc.parts {
				if p.file == "" {
					must(t, m.WriteField(p.name, p.value))
					continue
				}
				pw, err := m.CreateFormFile(p.name, p.file)
				must(t, err)
				_, err = io.WriteString(pw, p.value)
				must(t, err)
			}
			must(t, m.Close())
			if a := w.post("/v1/files", b.String(), "Content-Type", m.FormDataContentType()); a.status != tc.status || !strings.Contains(a.body, tc.text) {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	kind, body := form(t, "file", "a.txt", []byte("text"), "purpose", "user_data")
	for name, tc := range map[string]struct {
		kind, body string
		status     int
	}{
		"no form":        {"application/json", `{}`, 415},
		"no boundary":    {"multipart/form-data", body, 415},
		"another":        {"multipart/form-data; boundary=x", body, 400},
		"cut":            {kind, body[:len(body)-30], 400},
		"nothing":        {kind, "", 400},
		"only a comment": {kind, "hello", 400},
	} {
		if a := w.post("/v1/files", tc.body, "Content-Type", tc.kind); a.status != tc.status {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	var kept struct{ Data []uploaded }
	decode(t, w.do(t.Context(), http.MethodGet, "/v1/files", "").body, &kept)
	if google := len(w.google.Files("p1")) + len(w.google.Files("p2")); google != len(kept.Data) {
		t.Errorf("Google has %d files, the user %d", google, len(kept.Data))
	}
	for _, f := range kept.Data {
		if f.ExpiresAt-f.CreatedAt != 48*3600 && f.ExpiresAt-f.CreatedAt != 3600 {
			t.Errorf("%+v", f)
		}
	}
}

// TestUpload_Type: what a file is, by what the client says, its name or its
// first bytes.
func TestUpload_Type(t *testing.T) {
	w := newWorld(t, keys(1))
	for _, tc := range []struct{ name, data, want string }{
		{"a.pdf", "x", "application/pdf"},
		{"a", "%PDF-1.7", "application/pdf"},
		{"photo.JPG", "x", "image/jpeg"},
		{"main.go", "package main", "text/plain"},
		{"train.jsonl", "{}", "text/plain"},
		{"unknown", "x", "application/octet-stream"},
	} {
		w.google.Forget()
		w.put(tc.name, tc.data)
		if got := w.google.Entries(fakegemini.ByMethod("files.start"))[0].Header.Get("X-Goog-Upload-Header-Content-Type"); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

// TestUpload_Policy: an upload goes where the user key may go, also when the
// user's other files are elsewhere.
func TestUpload_Policy(t *testing.T) {
	w := newWorld(t, keys(6))
	var paid string
	for i := range 6 {
		secret := fakegemini.DemoKey(i + 1)
		must(t, w.pool.Delete(t.Context(), balancer.KeyID(secret)))
		_, err := w.pool.Add(t.Context(), []balancer.NewKey{{Secret: secret, Paid: i == 3, Tags: []string{fmt.Sprint("t", i)}}})
		must(t, err)
	}
	paid = "p4"
	key, secret, err := w.users.Create(t.Context(), users.Spec{Name: "payer", Unlimited: true, Tags: []string{"t0"}})
	must(t, err)
	w.key = secret
	w.put("a.txt", "a")
	if len(w.google.Files("p1")) != 1 {
		t.Error("the tag did not decide")
	}
	spec := key.Spec
	spec.Tags, spec.PaidOnly = nil, true
	_, w.key, err = w.users.Create(t.Context(), spec)
	must(t, err)
	for range 3 {
		w.put("b.txt", "b")
	}
	if len(w.google.Files(paid)) != 3 {
		t.Error("paid_only did not decide")
	}
}

// failing is a store that can be told to fail.
type failing struct {
	store.Store
	writes atomic.Bool
}

func (f *failing) Write(b store.Batch) error {
	if f.writes.Load() {
		return errors.New("disk full")
	}
	return f.Store.Write(b)
}

// TestUpload_StoreFails: a file that could not be recorded is not left behind.
func TestUpload_StoreFails(t *testing.T) {
	db := &failing{}
	w := newWorld(t, keys(2), func(c *Config) {
		db.Store = c.Resources.store
		c.Resources = NewResources(db, c.Resources.sealer, 0)
	})
	db.writes.Store(true)
	kind, body := form(t, "file", "a.txt", []byte("x"), "purpose", "user_data")
	if a := w.post("/v1/files", body, "Content-Type", kind); a.status != 500 || strings.Contains(a.body, "disk") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if w.owner(2) != "" {
		t.Error("the file stayed at Google")
	}
}

// TestUpload_ClientLeaves: an upload that breaks off in the middle is cancelled,
// and nobody suffers.
func TestUpload_ClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, keys(2))
		kind, body := form(t, "file", "a.bin", pattern(2*uploadChunk), "purpose", "user_data")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://gw/v1/files", io.MultiReader(
			strings.NewReader(body[:len(body)-uploadChunk]), broken{}))
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+w.key)
		req.Header.Set("Content-Type", kind)
		rec := httptest.NewRecorder()
		w.gw.ServeHTTP(rec, req)
		if rec.Code != 400 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		last := w.google.Entries(fakegemini.ByMethod("files.upload"))
		if len(last) == 0 || last[len(last)-1].Note != "cancel" {
			t.Errorf("the upload was not cancelled: %+v", last)
		}
		if s := w.pool.Stats(); s.InFlight != 0 || s.Resting != 0 || s.Usable != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// TestUpload_Pace: a client that stalls gives up its lease; a Google that takes
// its time does not look like a client that left.
func TestUpload_Pace(t *testing.T) {
	w := newWorld(t, keys(2), func(c *Config) { c.Timeouts.Idle = time.Second })
	w.google.Script(fakegemini.Rule{Method: "files.upload", Skip: 1, Times: 1, Steer: fakegemini.Steer{Delay: 2 * time.Second}})
	if f := w.put("a.bin", string(pattern(uploadChunk+5))); f.Bytes != uploadChunk+5 {
		t.Errorf("%+v", f)
	}
	kind, body := form(t, "file", "a.bin", pattern(2*uploadChunk), "purpose", "user_data")
	stalled, client := io.Pipe()
	go func() { _, _ = io.WriteString(client, body[:len(body)-uploadChunk/2]) }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+"/v1/files", stalled)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+w.key)
	req.Header.Set("Content-Type", kind)
	res, err := w.server.Client().Do(req)
	must(t, err)
	text, err := io.ReadAll(res.Body)
	must(t, errors.Join(err, res.Body.Close(), stalled.Close()))
	if res.StatusCode != 400 || !strings.Contains(string(text), "stalled") {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	if s := w.pool.Stats(); s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestUpload_Memory: a file of 64 MiB passes with little more than a chunk in
// memory.
func TestUpload_Memory(t *testing.T) {
	const size = 64 << 20
	google := keys(1)
	google.Brief = true
	w := newWorld(t, google)
	kind, frame := form(t, "file", "a.bin", []byte("@"), "purpose", "user_data")
	before, after, _ := strings.Cut(frame, "@")
	// Bytes that the test's own Google holds are the same with every upload.
	var peak atomic.Int64
	sample := func() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak.Store(max(peak.Load(), int64(m.HeapAlloc)))
	}
	runtime.GC()
	sample()
	idle := peak.Load()
	reader := io.MultiReader(strings.NewReader(before), &sampled{left: size, every: sample}, strings.NewReader(after))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+"/v1/files", reader)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+w.key)
	req.Header.Set("Content-Type", kind)
	res, err := w.server.Client().Do(req)
	must(t, err)
	body, err := io.ReadAll(res.Body)
	must(t, errors.Join(err, res.Body.Close()))
	if res.StatusCode != 200 || !strings.Contains(string(body), fmt.Sprint(`"bytes":`, size)) {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	grown := (peak.Load() - idle) >> 20
	t.Logf("%d MiB at most for a file of %d MiB, the simulated Google's share included", grown, size>>20)
	if grown > size>>20*3/4 {
		t.Errorf("the heap grew by %d MiB", grown)
	}
}

// sampled is a body that is made while it is read.
type sampled struct {
	left, read int
	every      func()
}

func (s *sampled) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), s.left)
	s.left -= n
	if s.read += n; s.read >= 1<<20 {
		s.read = 0
		runtime.GC()
		s.every()
	}
	return n, nil
}

// TestUpload_Together: the first files of a user, uploaded side by side, can be
// named in one request.
func TestUpload_Together(t *testing.T) {
	for _, strategy := range []string{"adaptive", "round_robin"} {
		t.Run(strategy, func(t *testing.T) {
			w := newWorld(t, keys(8))
			must(t, w.pool.SetStrategy(strategy))
			for range 5 {
				w.key = strings.TrimPrefix(w.other(), "Bearer ")
				ids := make([]string, 6)
				var wg sync.WaitGroup
				for i := range ids {
					wg.Go(func() { ids[i] = w.put(fmt.Sprint(i, ".txt"), "x").ID })
				}
				wg.Wait()
				if a := w.about(ids...); a.status != 200 {
					t.Fatalf("%d %s", a.status, a.body)
				}
			}
		})
	}
}
