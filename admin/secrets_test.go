// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// recorder keeps all answers, headers included.
type recorder struct {
	http.Handler
	all bytes.Buffer
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	inner := httptest.NewRecorder()
	rec.Handler.ServeHTTP(inner, r)
	_ = inner.Header().Write(&rec.all)
	rec.all.Write(inner.Body.Bytes())
	maps.Copy(w.Header(), inner.Header())
	w.WriteHeader(inner.Code)
	_, _ = w.Write(inner.Body.Bytes())
}

// TestSecrets_NeverComeBack does everything with marked secrets, faults
// included, and looks for them in all answers: whole, and the parts that would
// tell them apart. Only the answer that creates a user key has one.
func TestSecrets_NeverComeBack(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.pool.Declare([]balancer.NewKey{{Secret: "AIzaSyCanary-declared", Proxy: "http://canaryuser:canarypass@proxy.example:3128"}})
	userID, userSecret := f.createUserKey("alice") // before the recorder: the exception
	rec := &recorder{Handler: f.Handler}
	f.Handler = rec

	id := f.addGeminiKey(1)
	for _, secret := range []string{"AIzaSyCanary bad", "AIzaSyCanary-\u00e4", strings.Repeat("AIzaSyCanary", 100)} {
		for _, form := range []string{
			`{"key":%s}`, `{"keys":[%s]}`, `{"keys":[%s,"AIzaSyCanary-good"]}`, `{"keys":%s}`, `{"key":[%s]}`, `{"key":%s,"x":1}`,
			`{"name":%s}`, `{"key":"AIzaSyCanary-p","proxy":%s}`, `{"keys":[%s`, `{"key":{"a":%s}}`,
		} {
			encoded, _ := json.Marshal(secret)
			f.admin("POST", "/admin/keys/gemini", fmt.Sprintf(form, encoded))
			f.admin("POST", "/admin/config", fmt.Sprintf(form, encoded))
		}
	}
	f.admin("POST", "/admin/keys/gemini", `{"key":"AIzaSyCanary-p","proxy":"socks5://canaryuser:canarypass@proxy.example:1080"}`)
	f.admin("POST", "/admin/keys/gemini", `{"key":"AIzaSyCanary-p","proxy":"ftp://canaryuser:canarypass@proxy.example"}`)
	f.admin("POST", "/admin/keys/gemini", `{"key":"AIzaSyCanary-p","proxy":"http://canaryuser:canary pass@%zz"}`)
	f.admin("POST", "/admin/keys/user", `{"expires_at":"AIzaSyCanary","limits":{"rpm":"AIzaSyCanary","budget":"AIzaSyCanary"}}`)
	for _, rt := range routes {
		item := id
		if strings.Contains(rt.path, "/user/") {
			item = userID
		}
		if rt.method+rt.path == "POST/admin/keys/user" || rt.path == "/admin/keys/gemini/{id}/reveal" {
			continue // the exceptions
		}
		f.admin(rt.method, strings.ReplaceAll(rt.path, "{id}", item), operationBodies[rt.method+" "+rt.path])
		f.admin(rt.method, strings.ReplaceAll(rt.path, "{id}", userSecret), "")
		f.admin(rt.method, strings.ReplaceAll(rt.path, "{id}", geminiSecret(1)), "")
		f.do(request(rt.method, strings.ReplaceAll(rt.path, "{id}", item), ""))
	}

	if !strings.Contains(rec.all.String(), id) {
		t.Fatal("the answers were not recorded")
	}
	for _, secret := range []string{
		"Canary", adminKey, "canarypass", "canaryuser",
		userSecret, userSecret[len(userSecret)-12:],
	} {
		if at := strings.Index(rec.all.String(), secret); at >= 0 {
			t.Errorf("%q came back: …%s…", secret, rec.all.String()[max(0, at-200):min(rec.all.Len(), at+100)])
		}
	}
}

// FuzzDecode: no body makes the decoder panic or accept a name
// that is not a field.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"key":"k"}`, `{"keys":["a",null,1,{"x":[]}],"tags":[[]]}`, `{"name":"n","limits":{"rpm":1,"budget":{"day":1}},"expires_at":"2027-01-31T00:00:00Z"}`,
		`{"retry":{"wait":"10s","budget":1e400}}`, `{"retry":null,"strategy":null}`, `{"limits":{"limits":{"limits":{}}}}`, "{\"\u0000\":1}",
		`{"key":"a","key":"b"}`, `[`, `{"a":`, `{"keys":{"0":"x"}}`, "\ufeff{}", `{"limits":[[[[]]]]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, into := range []any{&addGeminiKeysForm{}, &users.Spec{}, &struct{}{}} {
			err := decode(body, into)
			if err == nil {
				var names map[string]json.RawMessage
				if json.Unmarshal(body, &names) != nil {
					t.Fatalf("%T: accepted what is no object: %q", into, body)
				}
				for name := range names {
					if _, known := fieldsOf(reflect.TypeOf(into).Elem())[name]; !known {
						t.Fatalf("%T: accepted the field %q", into, name)
					}
				}
				continue
			}
			p := asProblem(err)
			if p.Status != http.StatusBadRequest || p.Code == "" || p.Detail == "" || len(p.Errors) > maxFaults {
				t.Fatalf("%T: %q gives %+v", into, body, p)
			}
		}
	})
}
