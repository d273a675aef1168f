// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// repeat sends a creating request with an Idempotency-Key.
func (f *fixture) repeat(key, target, body string) *httptest.ResponseRecorder {
	f.t.Helper()
	r := request("POST", target, body)
	r.Header.Set("Authorization", adminKey)
	r.Header.Set("Idempotency-Key", key)
	return f.do(r)
}

const geminiBody = `{"key":"AIzaSyCanary-once-0000000000000000000000","name":"one"}`

func TestIdempotency_AnswersAsBefore(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	first := f.repeat("k1", "/admin/keys/gemini", geminiBody)
	again := f.repeat("k1", "/admin/keys/gemini", geminiBody)
	if first.Code != http.StatusCreated || again.Code != first.Code || again.Body.String() != first.Body.String() {
		t.Errorf("first %d %s\nagain %d %s", first.Code, first.Body, again.Code, again.Body)
	}
	if again.Header().Get("Idempotency-Replayed") != "true" || first.Header().Get("Idempotency-Replayed") != "" {
		t.Error("the repetition is not marked, or the first one is")
	}
	if n := f.pool.Stats().Keys; n != 1 {
		t.Errorf("%d keys", n)
	}
	if n := len(f.entries()); n != 1 {
		t.Errorf("%d entries in the audit log, want 1: a repetition does nothing", n)
	}
	if w := f.repeat("k2", "/admin/keys/gemini", geminiBody); w.Header().Get("Idempotency-Replayed") != "" {
		t.Error("another key is taken for the same")
	}
}

func TestIdempotency_Refuses(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	f.repeat("k1", "/admin/keys/gemini", geminiBody)
	for name, test := range map[string]struct {
		key, body, code string
		status          int
	}{
		"another body": {"k1", strings.Replace(geminiBody, "one", "two", 1), "repeated_differently", 409},
		"empty":        {"", geminiBody, "invalid_idempotency_key", 400},
		"too long":     {strings.Repeat("x", 129), geminiBody, "invalid_idempotency_key", 400},
		"control":      {"a\tb", geminiBody, "invalid_idempotency_key", 400},
		"umlaut":       {"schlüssel", geminiBody, "invalid_idempotency_key", 400},
	} {
		if w := f.repeat(test.key, "/admin/keys/gemini", test.body); w.Code != test.status || problemCode(w) != test.code {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// TestIdempotency_KeepsNoSecret: an answer with a user key is not kept, and the
// repetition says what to do.
func TestIdempotency_KeepsNoSecret(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	first := decoded(t, f.repeat("k1", "/admin/keys/user", `{"name":"alice"}`))
	again := f.repeat("k1", "/admin/keys/user", `{"name":"alice"}`)
	if again.Code != http.StatusConflict || problemCode(again) != "repeated" || strings.Contains(again.Body.String(), first["key"].(string)) {
		t.Errorf("%d %s", again.Code, again.Body)
	}
	if n, err := f.users.Count(); err != nil || n != 1 {
		t.Errorf("%d user keys, %v", n, err)
	}
	secret := first["key"].(string)
	_ = f.store.Scan("", "", func(key string, value []byte) bool {
		if strings.Contains(string(value), secret) || strings.Contains(string(value), secret[len(secret)-12:]) {
			t.Errorf("%s has the user key", key)
		}
		return true
	})
}

// TestIdempotency_OfWhatCannotBeTakenBack: a secret that was replaced stays replaced
// once, many keys are changed once, and one key for the playground is made.
func TestIdempotency_OfWhatCannotBeTakenBack(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	id, secret := f.createUserKey("alice")
	rotated := decoded(t, f.repeat("k1", "/admin/keys/user/"+id+"/rotate", `{"grace_s":0}`))["key"].(string)
	if w := f.repeat("k1", "/admin/keys/user/"+id+"/rotate", `{"grace_s":0}`); w.Code != http.StatusConflict || problemCode(w) != "repeated" || !strings.Contains(w.Body.String(), id) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if _, err := f.users.Authenticate(rotated); err != nil || rotated == secret {
		t.Errorf("the secret of the first rotation: %v", err)
	}
	other, _ := f.createUserKey("bob")
	if w := f.repeat("k1", "/admin/keys/user/"+other+"/rotate", ""); w.Code != http.StatusConflict || problemCode(w) != "repeated_differently" {
		t.Errorf("another key: %d %s", w.Code, w.Body)
	}
	body := `{"action":"disable","filter":{"q":"alice"}}`
	first := f.repeat("k2", "/admin/keys/user/bulk", body)
	f.must("POST", "/admin/keys/user/"+id+"/enable", "")
	if again := f.repeat("k2", "/admin/keys/user/bulk", body); again.Code != http.StatusOK || again.Body.String() != first.Body.String() || again.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("%d %s, first %s", again.Code, again.Body, first.Body)
	}
	if key, err := f.users.Get(id); err != nil || !key.Enabled {
		t.Errorf("the repetition disabled the key: %v", err)
	}
	if w := f.repeat("k3", "/admin/playground/token", ""); w.Code != http.StatusCreated {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := f.repeat("k3", "/admin/playground/token", ""); w.Code != http.StatusConflict || problemCode(w) != "repeated" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestIdempotency_FailuresMayBeRepeated(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	if w := f.repeat("k1", "/admin/keys/gemini", `{"key":""}`); w.Code != http.StatusBadRequest {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := f.repeat("k1", "/admin/keys/gemini", geminiBody); w.Code != http.StatusCreated {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestIdempotency_CrashInBetween: what was begun when the process ended is not done
// twice.
func TestIdempotency_CrashInBetween(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	rt, _, _ := match("POST", []string{"admin", "keys", "gemini"})
	r := request("POST", "/admin/keys/gemini", geminiBody)
	c := &call{Request: r, route: rt, body: []byte(geminiBody)}
	if err := f.state.once.save(onceKey(rt, "k1"), onceRecord{Request: onceRequest(c)}); err != nil {
		t.Fatal(err)
	}
	if w := f.repeat("k1", "/admin/keys/gemini", geminiBody); w.Code != http.StatusConflict || problemCode(w) != "repeated_unknown" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n := f.pool.Stats().Keys; n != 0 {
		t.Errorf("%d keys", n)
	}
	if err := f.store.Write(store.Batch{Ops: []store.Op{{Key: onceKey(rt, "k3"), Value: []byte("{")}}}); err != nil {
		t.Fatal(err)
	}
	if w := f.repeat("k3", "/admin/keys/gemini", geminiBody); w.Code != http.StatusInternalServerError {
		t.Errorf("a damaged record: %d %s", w.Code, w.Body)
	}
}

// TestIdempotency_AtTheSameTime: of many at once one is done.
func TestIdempotency_AtTheSameTime(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	var wg sync.WaitGroup
	codes := make([]int, 16)
	for i := range codes {
		wg.Go(func() { codes[i] = f.repeat("k1", "/admin/keys/user", `{"name":"alice"}`).Code })
	}
	wg.Wait()
	made := 0
	for _, code := range codes {
		switch code {
		case http.StatusCreated:
			made++
		case http.StatusConflict:
		default:
			t.Errorf("status %d", code)
		}
	}
	if n, err := f.users.Count(); made != 1 || n != 1 || err != nil {
		t.Errorf("made %d times, %d user keys", made, n)
	}
}
