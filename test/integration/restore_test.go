// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// acknowledged is a user key whose making was acknowledged.
type acknowledged struct {
	id, secret  string
	asked, done time.Time
}

// makeKeys makes user keys, one after the other, until stop is closed.
func (s *server) makeKeys(client *http.Client, stop <-chan struct{}) (made []acknowledged) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return made
		default:
		}
		a := acknowledged{asked: time.Now()}
		req, err := http.NewRequest(http.MethodPost, "http://"+s.site+"/admin/keys/user", bytes.NewReader(fmt.Appendf(nil, `{"name": "made-%d", "unlimited": true}`, n)))
		if err != nil {
			s.t.Error(err)
			return made
		}
		req.Header.Set("Authorization", "Bearer "+adminKey)
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			return made // killed
		}
		var key struct{ ID, Key string }
		err = json.NewDecoder(res.Body).Decode(&key)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusCreated {
			s.t.Errorf("making a user key: %s %v", res.Status, err)
			return made
		}
		a.id, a.secret, a.done = key.ID, key.Key, time.Now()
		made = append(made, a)
	}
}

// blob sends or gets something that is no JSON.
func (s *server) blob(method, path string, body []byte) (status int, answer []byte) {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.site+path, bytes.NewReader(body))
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+adminKey)
	req.Header.Set("Content-Type", "application/octet-stream")
	res, err := s.client.Do(req)
	must(s.t, err)
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	must(s.t, err)
	return res.StatusCode, answer
}

// TestRestore_UnderLoad takes a backup in the middle of requests and of keys that are made,
// stages it while both go on, and kills the server. Until it ends everything that was
// acknowledged is there; the answer says that a start makes it what the backup has: all
// that was acknowledged before the backup began, nothing that was asked for after it was
// done, and sums, log and counters of one moment in between. What was there before is
// kept, and can be brought back the same way.
func TestRestore_UnderLoad(t *testing.T) {
	s := newServer(t, 2)
	config := s.config(s.store("a")+"key {env.GB_KEY_0}\nkey {env.GB_KEY_1}\n", "")
	s.start(config)
	user, secret := s.limited(`{"rpd": 1000000, "budget": {"total": 1000}}`)
	client := raceClient(t)
	stop := make(chan struct{})
	var load, makers sync.WaitGroup
	var mu sync.Mutex
	var answers []answered
	sent := int64(0)
	for range 8 {
		load.Go(func() {
			for {
				mu.Lock()
				sent++
				mu.Unlock()
				a, ok := s.loadOne(client, secret)
				if !ok {
					return
				}
				mu.Lock()
				answers = append(answers, a)
				mu.Unlock()
			}
		})
	}
	var made []acknowledged
	makers.Go(func() { made = s.makeKeys(client, stop) })
	pause := func() { time.Sleep(700 * time.Millisecond) } //nolint:forbidigo // the load runs
	pause()
	eventually(t, "enough is answered", func() bool { mu.Lock(); defer mu.Unlock(); return len(answers) > 5*8 })
	began := time.Now()
	status, backup := s.blob(http.MethodPost, "/admin/backup", nil)
	ended := time.Now()
	mu.Lock()
	sentByThen := sent
	mu.Unlock()
	if status != http.StatusOK || len(backup) == 0 {
		t.Fatalf("the backup: %d", status)
	}
	pause()
	var staged struct {
		Applied string
		Objects map[string]int
	}
	status, data := s.blob(http.MethodPost, "/admin/restore", backup)
	if json.Unmarshal(data, &staged) != nil || status/100 != 2 || staged.Applied != "next_start" || staged.Objects["user_keys"] == 0 {
		t.Fatalf("the restore: %d %s", status, data)
	}
	pause()
	close(stop)
	makers.Wait()
	last := made[len(made)-1]
	if got := s.try(t.Context(), client, last.secret, "hello"); got != http.StatusOK {
		t.Errorf("a key that was made while a restore waits: %d", got)
	}
	if !last.asked.After(ended) || !made[0].done.Before(began) {
		t.Fatal("no keys were made before, or none after: the test proves nothing")
	}
	audit := s.auditRows()
	if audit < len(made) {
		t.Errorf("the log of changes has %d rows for %d keys", audit, len(made))
	}
	must(t, s.cmd.Process.Kill())
	_ = s.wait(10 * time.Second) // it was killed: an error
	load.Wait()

	s.start(config)
	before, after := 0, 0
	for _, a := range made {
		there := s.call(http.MethodGet, "/admin/keys/user/"+a.id, "", nil) == http.StatusOK
		switch {
		case a.done.Before(began):
			if before++; !there {
				t.Errorf("key %s was acknowledged %v before the backup and is not there", a.id, began.Sub(a.done))
			}
		case a.asked.After(ended):
			if after++; there {
				t.Errorf("key %s was asked for %v after the backup and is there", a.id, a.asked.Sub(ended))
			}
		}
	}
	if before == 0 || after == 0 {
		t.Errorf("%d keys before, %d after", before, after)
	}
	early := int64(0)
	var ends []time.Time
	for _, a := range answers {
		if a.at.Before(began) {
			ends = append(ends, a.at)
		}
	}
	written := writtenBy(began, ends, 8)
	for _, at := range ends {
		if at.Before(written) {
			early++
		}
	}
	u, sums := s.userState(user), s.requests()
	if rpd := u.used("rpd"); rpd < early || rpd > sentByThen || sums < early || sums > sentByThen || early == 0 {
		t.Errorf("rpd %d, sums %d; %d had ended before the backup, %d were sent until it was done", rpd, sums, early, sentByThen)
	}
	if n := int64(len(s.walk())); n != sums {
		t.Errorf("%d requests in the log, %d in the sums", n, sums)
	}
	if n := s.auditRows(); n < audit {
		t.Errorf("the log of changes has %d rows, before the restore %d", n, audit)
	}
	if got := s.try(t.Context(), client, secret, "hello"); got != http.StatusOK {
		t.Errorf("a request afterwards: %d", got)
	}
	if got := s.try(t.Context(), client, last.secret, "hello"); got != http.StatusUnauthorized {
		t.Errorf("a key of after the backup: %d", got)
	}

	// Back to what was there before, by the file that was kept of it.
	files, err := filepath.Glob(filepath.Join(s.storeDir("a"), "before-restore-*.gbbackup"))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("kept are %v", files)
	}
	kept, err := os.ReadFile(files[0])
	must(t, err)
	if status, data := s.blob(http.MethodPost, "/admin/restore", kept); status/100 != 2 {
		t.Fatalf("%d %s", status, data)
	}
	must(t, s.signal(os.Interrupt))
	s.start(config)
	for _, a := range made {
		if s.call(http.MethodGet, "/admin/keys/user/"+a.id, "", nil) != http.StatusOK {
			t.Errorf("key %s was acknowledged, and is not there after going back", a.id)
		}
	}
	if got := s.try(t.Context(), client, last.secret, "hello"); got != http.StatusOK {
		t.Errorf("the last key after going back: %d", got)
	}
}

// auditRows is how many changes the log of changes has.
func (s *server) auditRows() (rows int) {
	s.t.Helper()
	for cursor := ""; ; {
		var list struct {
			Items []json.RawMessage
			Next  string
		}
		if status := s.call(http.MethodGet, "/admin/audit?limit=500"+cursor, "", &list); status != http.StatusOK {
			s.t.Fatalf("the log of changes: %d", status)
		}
		if rows += len(list.Items); list.Next == "" {
			return rows
		}
		cursor = "&cursor=" + url.QueryEscape(list.Next)
	}
}

// TestTwoSites_TLS serves one store on two sites: by HTTPS with Caddy's own authority below
// a path, for users, and by HTTP for all. What one site makes the other knows, limits count
// for both together, and addresses that are given to clients are those of their own site.
func TestTwoSites_TLS(t *testing.T) {
	s := newServer(t, 2)
	_, port, err := net.SplitHostPort(freeAddress(t))
	must(t, err)
	secure := "https://localhost:" + port
	sites := s.usualSite("") + secure + ` {
	tls internal
	handle_path /llm/* {
		gemini_balance
	}
	respond "elsewhere" 404
}
`
	config := s.config(s.store("a")+"key {env.GB_KEY_0}\nkey {env.GB_KEY_1}\n", sites)
	s.start(strings.Replace(config, "auto_https off", "auto_https disable_redirects\n\tskip_install_trust", 1))
	var root []byte
	eventually(t, "Caddy has an authority", func() bool {
		root, err = os.ReadFile(filepath.Join(s.dir, "caddy", "pki", "authorities", "local", "root.crt"))
		return err == nil
	})
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(root) {
		t.Fatal("the root is no certificate")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, ForceAttemptHTTP2: true}, Timeout: 30 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	eventually(t, "Caddy has a certificate", func() bool {
		res, err := client.Get(secure + "/llm/health")
		if err == nil {
			_ = res.Body.Close()
		}
		return err == nil
	})
	id, secret := s.limited(`{"rpd": 5}`)
	s.user = secret
	ask := func(method, url, body string, header ...string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+secret)
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := client.Do(req)
		must(t, err)
		defer res.Body.Close()
		data, err := io.ReadAll(res.Body)
		must(t, err)
		return res, string(data)
	}
	chat := fmt.Sprintf(`{"model": %q, "stream": true, "messages": [{"role": "user", "content": %q}]}`, model, pieces(10))
	res, text := ask(http.MethodPost, secure+"/llm/v1/chat/completions", chat)
	if res.StatusCode != http.StatusOK || res.ProtoMajor != 2 || !strings.HasSuffix(strings.TrimSpace(text), "data: [DONE]") {
		t.Errorf("a stream by HTTPS: %s %s %.300s", res.Proto, res.Status, text)
	}
	if res, _ := ask(http.MethodPost, secure+"/v1/chat/completions", chat); res.StatusCode != http.StatusNotFound {
		t.Errorf("beside the path: %s", res.Status)
	}
	if res, _ := ask(http.MethodGet, secure+"/llm/admin/status", "", "Authorization", "Bearer "+adminKey); res.StatusCode == http.StatusOK {
		t.Errorf("the admin API where it is not served: %s", res.Status)
	}

	// An upload that begins on one site goes on there, and what it made is on both.
	res, text = ask(http.MethodPost, secure+"/llm/upload/v1beta/files", `{"file":{"displayName":"a"}}`,
		"X-Goog-Upload-Protocol", "resumable", "X-Goog-Upload-Command", "start", "X-Goog-Upload-Header-Content-Length", "5", "X-Goog-Upload-Header-Content-Type", "text/plain")
	there := res.Header.Get("X-Goog-Upload-Url")
	if !strings.HasPrefix(there, secure+"/llm/upload/") {
		t.Fatalf("%s: uploads go to %q: %s", res.Status, there, text)
	}
	res, text = ask(http.MethodPost, there, "hello", "X-Goog-Upload-Command", "upload, finalize", "X-Goog-Upload-Offset", "0", "Content-Type", "text/plain")
	var made struct{ File struct{ Name, URI string } }
	if json.Unmarshal([]byte(text), &made) != nil || made.File.Name == "" || !strings.HasPrefix(made.File.URI, secure+"/llm/") {
		t.Fatalf("the upload: %s %s", res.Status, text)
	}
	for _, base := range []string{secure + "/llm", "http://" + s.site} {
		if res, text := ask(http.MethodGet, base+"/v1beta/"+made.File.Name, ""); res.StatusCode != http.StatusOK {
			t.Errorf("the file at %s: %s %s", base, res.Status, text)
		}
		look := fmt.Sprintf(`{"contents":[{"role":"user","parts":[{"fileData":{"mimeType":"text/plain","fileUri":%q}},{"text":"what is it?"}]}]}`, made.File.URI)
		if res, text := ask(http.MethodPost, base+"/v1beta/models/"+model+":generateContent", look); res.StatusCode != http.StatusOK {
			t.Errorf("a prompt with the file at %s: %s %s", base, res.Status, text)
		}
	}
	// Counted were the stream, the upload's beginning and two prompts: one is left.
	var all sync.WaitGroup
	var admitted atomic.Int64
	for w := range 16 {
		all.Go(func() {
			url := []string{"http://" + s.site, secure + "/llm"}[w%2] + "/v1/chat/completions"
			req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(chat))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+secret)
			res, err := client.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				admitted.Add(1)
			}
		})
	}
	all.Wait()
	if u := s.userState(id); admitted.Load() != 1 || u.used("rpd") != 5 {
		t.Errorf("%d admitted over both sites, rpd is %d", admitted.Load(), u.used("rpd"))
	}
	must(t, s.signal(os.Interrupt))
}
