// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	badgerstore "github.com/gemini-balance/caddy-gemini-balance/store/badger"
)

// TestKill_MasterKeyRotation kills Caddy at some moment of replacing the master key.
// Each next start opens everything and brings it to its end; after that, the old keys
// open nothing of what is in the store. KILL_ROUNDS says how often.
// Source: specs/gateways.md K2.
func TestKill_MasterKeyRotation(t *testing.T) {
	rounds := 3
	if text := os.Getenv("KILL_ROUNDS"); text != "" {
		var err error
		rounds, err = strconv.Atoi(text)
		must(t, err)
	}
	s := newServer(t, 1)
	config := s.config(s.store("a")+"key {env.GB_KEY_0}\nrequest_log {\n\tbodies all\n}\n", "")
	s.start(config)
	s.addUser()
	secrets, response := s.fillSealed()
	var old []string
	for round := range rounds {
		before := s.masterKeys()
		old = append(old, before...)
		status, answer := s.as(adminKey, "POST", "/admin/master-key/rotate", "")
		if status != http.StatusAccepted {
			t.Fatalf("%d %s", status, answer)
		}
		eventually(t, "it has begun", func() bool { return !slices.Equal(s.masterKeys(), before) })
		time.Sleep(time.Duration(round*37%400) * time.Millisecond) // a moment of it, another each time
		if status := s.chat("while everything is sealed anew"); status != http.StatusOK {
			t.Errorf("a request meanwhile: %d", status)
		}
		must(t, s.cmd.Process.Kill())
		_ = s.wait(10 * time.Second)
		t.Logf("round %d: killed with %d keys in the file", round, len(s.masterKeys()))
		s.start(config)
		eventually(t, "the replacement ends", func() bool { return len(s.masterKeys()) == 1 })
		if now := s.masterKeys()[0]; now == before[0] {
			t.Errorf("round %d: the key is the same", round)
		}
		s.checkSealed(secrets, response)
	}
	must(t, s.signal(os.Interrupt))
	s.checkOpenedBy(old)
}

// fillSealed keeps something of every kind that is sealed, and returns Gemini keys: in
// service, deleted, and with a proxy that has a password; and the id of a response.
func (s *server) fillSealed() (secrets []string, response string) {
	s.t.Helper()
	for i := range 1500 {
		secrets = append(secrets, fmt.Sprintf("AIzaSyRotation%025d", i))
	}
	for from := 0; from < len(secrets); from += 500 {
		form, err := json.Marshal(map[string]any{"keys": secrets[from : from+500], "tags": []string{"idle"}})
		must(s.t, err)
		if status, answer := s.as(adminKey, "POST", "/admin/keys/gemini", string(form)); status != http.StatusCreated {
			s.t.Fatalf("%d %s", status, answer)
		}
	}
	id := balancer.KeyID
	for _, step := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/admin/keys/gemini/" + id(secrets[0]) + "/disable", "", 200},
		{"PATCH", "/admin/keys/gemini/" + id(secrets[1]), `{"proxy": "http://u:p@127.0.0.1:9"}`, 200},
		{"DELETE", "/admin/keys/gemini/" + id(secrets[2]), "", 204},
	} {
		if status, answer := s.as(adminKey, step.method, step.path, step.body); status != step.status {
			s.t.Fatalf("%s %s: %d %s", step.method, step.path, status, answer)
		}
	}
	if status := s.chat("hello"); status != http.StatusOK {
		s.t.Fatalf("a chat: %d", status)
	}
	status, answer := s.as(s.user, "POST", "/v1/responses", `{"model":"`+model+`","input":"remember the blue fox"}`)
	if status != http.StatusOK {
		s.t.Fatalf("%d %s", status, answer)
	}
	_, rest, _ := strings.Cut(answer, `"id":"resp_`)
	response, _, _ = strings.Cut(rest, `"`)
	return secrets, "resp_" + response
}

func (s *server) checkSealed(secrets []string, response string) {
	s.t.Helper()
	for _, i := range []int{0, 1, 700, len(secrets) - 1} {
		status, answer := s.as(adminKey, "POST", "/admin/keys/gemini/"+balancer.KeyID(secrets[i])+"/reveal", "")
		if status != http.StatusOK || !strings.Contains(answer, secrets[i]) {
			s.t.Errorf("key %d: %d", i, status)
		}
	}
	deleted := balancer.KeyID(secrets[2])
	if status, answer := s.as(adminKey, "POST", "/admin/keys/gemini/"+deleted+"/restore", ""); status != http.StatusOK {
		s.t.Errorf("the deleted key: %d %s", status, answer)
	}
	if status, _ := s.as(adminKey, "POST", "/admin/keys/gemini/"+deleted+"/reveal", ""); status != http.StatusOK {
		s.t.Errorf("the restored key: %d", status)
	}
	if status, _ := s.as(adminKey, "DELETE", "/admin/keys/gemini/"+deleted, ""); status != http.StatusNoContent {
		s.t.Errorf("deleting it again: %d", status)
	}
	if status, answer := s.as(s.user, "GET", "/v1/responses/"+response, ""); status != http.StatusOK {
		s.t.Errorf("the kept response: %d %s", status, answer)
	}
	if status, answer := s.as(adminKey, "GET", "/admin/audit/verify", ""); status != http.StatusOK || !strings.Contains(answer, `"whole":true`) {
		s.t.Errorf("the audit log: %d %s", status, answer)
	}
	if status := s.chat("after the start"); status != http.StatusOK {
		s.t.Errorf("a chat: %d", status)
	}
}

// masterKeys are those in the file.
func (s *server) masterKeys() []string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.storeDir("a"), "master.key"))
	must(s.t, err)
	return strings.Fields(string(text))
}

// checkOpenedBy looks through the store for sealed values: the last key opens all, none
// of the old ones any.
func (s *server) checkOpenedBy(old []string) {
	s.t.Helper()
	sealer := func(text string) *store.Sealer {
		key, err := base64.StdEncoding.DecodeString(text)
		must(s.t, err)
		made, err := store.NewSealer(key)
		must(s.t, err)
		return made
	}
	last := sealer(s.masterKeys()[0])
	db, err := badgerstore.Open(s.storeDir("a"), badgerstore.Options{})
	must(s.t, err)
	defer db.Close()
	found := map[string]int{}
	must(s.t, db.Scan("", "", func(key string, value []byte) bool {
		for id, sealed := range sealedIn(key, value) {
			room, _, _ := strings.Cut(key, "/")
			if _, err := last.Open(id, sealed); err == nil {
				found[room]++
			}
			for _, text := range old {
				if _, err := sealer(text).Open(id, sealed); err == nil {
					s.t.Errorf("an old key opens %s", key)
				}
			}
		}
		return !s.t.Failed()
	}))
	if found["balancer"] < 1500 || found["responses"] == 0 || found["log"] < 2 || found["meta"] != 2 {
		s.t.Errorf("the new key opens %v: the test proves too little", found)
	}
}

// sealedIn are the values in a pair that may be sealed, by what they would be sealed for.
func sealedIn(key string, value []byte) map[string][]byte {
	if len(value) == 0 || value[0] != '{' { // an hour that ended has sums without names
		return map[string][]byte{key: value}
	}
	var r struct {
		Secret, Proxy []byte
		Key           struct{ Secret []byte }
	}
	if json.Unmarshal(value, &r) != nil {
		return nil
	}
	id := key[strings.LastIndexByte(key, '/')+1:]
	for _, sealed := range [][]byte{r.Secret, r.Proxy, r.Key.Secret} {
		if len(sealed) > 0 {
			return map[string][]byte{id: sealed}
		}
	}
	return nil
}
