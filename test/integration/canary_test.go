// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// TestSecrets_StayOutOfEverythingElse plants canaries in every place a secret
// comes in by, lets all go well and wrong, and then looks at all that comes out
// and stays: answers, metrics, profiles, the files of the store, and the stacks
// that a crash prints.
func TestSecrets_StayOutOfEverythingElse(t *testing.T) {
	t.Parallel() // it waits, most of its time
	s := newServer(t, 6)
	for i, state := range []fakegemini.KeyState{fakegemini.KeySuspended, fakegemini.KeyInvalid, fakegemini.KeyLeaked, fakegemini.KeyBlocked} {
		s.google.SetKeyState(fakegemini.DemoKey(i+1), state)
	}
	const added = "AIzaSyAddedThroughTheAdminAPI-5ecret"
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\nkey {env.GB_KEY_1}\nkey {env.GB_KEY_2}\nkey {env.GB_KEY_3}\nkey {env.GB_KEY_4}\nkey {env.GB_KEY_5}\n", ""))
	s.addUser()
	if status := s.call(http.MethodPost, "/admin/keys/gemini", fmt.Sprintf(`{"key": %q, "proxy": "http://someone:pr0xyPassw0rd@127.0.0.1:9"}`, added), nil); status != http.StatusCreated {
		t.Fatalf("adding a key: %d", status)
	}

	get := func(method, url, body string) string {
		t.Helper()
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		must(t, err)
		if strings.Contains(url, "/admin/") {
			req.Header.Set("Authorization", "Bearer "+adminKey)
		} else {
			req.Header.Set("Authorization", "Bearer "+s.user)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := s.client.Do(req)
		must(t, err)
		defer res.Body.Close()
		out, err := io.ReadAll(res.Body)
		must(t, err)
		return fmt.Sprint(res.Status, res.Header) + string(out)
	}
	check := func(what, text string) {
		t.Helper()
		s.checkNoSecret(what, text, added, "pr0xyPassw0rd")
	}
	for _, prompt := range []string{"hi", "[[status 400]]", "[[status 401]]", "[[status 403]]", "[[retry 1s]]", "[[status 500]]", "[[error200]]", "[[empty]]", "[[reset]]"} {
		for _, stream := range []bool{false, true} {
			check(prompt, get(http.MethodPost, "http://"+s.site+"/v1/chat/completions",
				fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],"stream":%v}`, model, prompt, stream)))
		}
		check(prompt, get(http.MethodPost, "http://"+s.site+"/v1beta/models/"+model+":generateContent",
			fmt.Sprintf(`{"contents":[{"role":"user","parts":[{"text":%q}]}]}`, prompt)))
	}
	for _, path := range []string{"/admin/status", "/admin/stats", "/admin/config", "/admin/keys/gemini?limit=500", "/admin/keys/gemini/rests", "/admin/keys/user", "/admin/openapi.json", "/admin/nothing", "/health", "/status"} {
		check(path, get(http.MethodGet, "http://"+s.site+path, ""))
	}
	for _, path := range []string{"/metrics", "/config/", "/debug/vars", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/cmdline", "/reverse_proxy/upstreams"} {
		check(path, get(http.MethodGet, "http://"+s.admin+path, ""))
	}
	if metrics := get(http.MethodGet, "http://"+s.admin+"/metrics", ""); !strings.Contains(metrics, "caddy_gemini_balance_requests_total") {
		t.Errorf("no metrics of ours: the test proves nothing")
	}

	// What a crash prints.
	_ = s.signal(syscall.SIGABRT)
	log := s.log.String()
	_, stacks, found := strings.Cut(log, "SIGABRT: abort")
	if !found || !strings.Contains(stacks, "goroutine ") {
		t.Errorf("no stacks in the log: the test proves nothing")
	}
	check("the stacks", stacks)

	files := 0
	must(t, filepath.WalkDir(s.storeDir("a"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil {
			files++
			check(filepath.Base(path), string(content))
		}
		return err
	}))
	if files < 3 {
		t.Errorf("only %d files in the store", files)
	}
}
