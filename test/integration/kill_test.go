// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// TestKill_LosesNoAcknowledgedWrite kills Caddy while keys are added through the
// admin API and answers are being streamed, and starts it again on what is left.
// KILL_ROUNDS says how often; see `make kill-rounds`.
func TestKill_LosesNoAcknowledgedWrite(t *testing.T) {
	rounds := 3
	if text := os.Getenv("KILL_ROUNDS"); text != "" { //nolint:forbidigo // a knob of the test
		var err error
		rounds, err = strconv.Atoi(text)
		must(t, err)
	}
	s := newServer(t, 1)
	config := s.config(s.store("a")+"key {env.GB_KEY_0}\n", "")
	var acknowledged []string // ids of Gemini keys
	var users []string        // secrets of user keys
	for round := range rounds {
		s.start(config)
		s.addUser()
		running := s.stream(pieces(1000))
		ids, secrets := s.writeUntilKilled(round, 5+7*round%20)
		<-running.end
		acknowledged, users = append(acknowledged, ids...), append(users, secrets...)
	}
	if len(acknowledged) < rounds || len(users) < rounds {
		t.Fatalf("only %d and %d writes were acknowledged", len(acknowledged), len(users))
	}
	s.start(config)
	for _, id := range acknowledged {
		if s.keyState(id) == "" {
			t.Errorf("Gemini key %s was acknowledged and is lost", id)
		}
	}
	for i, secret := range users {
		s.user = secret
		req, err := http.NewRequest(http.MethodGet, "http://"+s.site+"/v1beta/models", nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+secret)
		res, err := s.client.Do(req)
		must(t, err)
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("user key %d was acknowledged and answers %d", i, res.StatusCode)
		}
	}
	t.Logf("%d rounds, %d Gemini keys, %d user keys", rounds, len(acknowledged), len(users))
}

// writeUntilKilled adds keys from several connections and kills Caddy as soon as
// enough were acknowledged, while others are under way.
func (s *server) writeUntilKilled(round, enough int) (ids, secrets []string) {
	var mu sync.Mutex
	var writers sync.WaitGroup
	reached := make(chan struct{})
	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	for w := range 4 {
		writers.Go(func() {
			for n := 0; ; n++ {
				secret := fmt.Sprintf("kill-test-key-%d-%d-%d", round, w, n)
				if acked, _ := adminPost(client, s.site, "/admin/keys/gemini", fmt.Sprintf(`{"key": %q}`, secret)); !acked {
					return
				}
				acked, answer := adminPost(client, s.site, "/admin/keys/user", `{"name": "kill", "unlimited": true}`)
				mu.Lock()
				ids = append(ids, balancer.KeyID(secret))
				if acked {
					_, rest, _ := strings.Cut(answer, `"key":"`)
					user, _, _ := strings.Cut(rest, `"`)
					secrets = append(secrets, user)
				}
				if len(ids) == enough {
					close(reached)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-reached:
	case <-time.After(20 * time.Second):
		s.t.Error("writing takes too long")
	}
	must(s.t, s.cmd.Process.Kill())
	_ = s.wait(10 * time.Second) // it was killed: an error
	writers.Wait()
	return ids, secrets
}

func adminPost(client *http.Client, site, path, body string) (acknowledged bool, answer string) {
	req, err := http.NewRequest(http.MethodPost, "http://"+site+path, bytes.NewBufferString(body))
	if err != nil {
		return false, ""
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return false, ""
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return err == nil && res.StatusCode == http.StatusCreated, string(data)
}
