// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

// reached is an exchange whose client has used an address.
func reached(public string) *exchange {
	return &exchange{g: &Gateway{Config: Config{PublicURL: func(*http.Request) string { return public }}}, r: httptest.NewRequest(http.MethodGet, "/", nil)}
}

func TestPublicURL(t *testing.T) {
	for _, tc := range []struct {
		name, path, uri string
		secure          bool
		want            string
	}{
		{"plain", "/v1beta/files", "/v1beta/files?x=1", false, "http://gw.example:8080"},
		{"secure", "/v1beta/files", "/v1beta/files", true, "https://gw.example:8080"},
		{"prefix", "/v1beta/files", "/gem/v1beta/files?x=/v1beta/files", true, "https://gw.example:8080/gem"},
		{"rewritten", "/v1beta/files", "/other", true, "https://gw.example:8080"},
		{"slashes", "/v1beta/files", "//v1beta/files", true, "https://gw.example:8080"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "http://gw.example:8080"+tc.path, nil)
			if r.RequestURI = tc.uri; tc.secure {
				r.TLS = new(tls.ConnectionState)
			}
			if got := publicURL(r); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestPublicURI(t *testing.T) {
	const file = googleURL + "/v1beta/files/abc"
	for _, tc := range []struct{ name, public, google, want string }{
		{"https", "https://gw.example", file, "https://gw.example/v1beta/files/abc"},
		{"prefix", "https://gw.example/gem", file + ":download?alt=media", "https://gw.example/gem/v1beta/files/abc:download?alt=media"},
		{"download", "https://gw.example", googleURL + "/download/v1/files/a:download", "https://gw.example/download/v1/files/a:download"},
		{"plain http", "http://gw.example", file, file},
		{"a prefix that SDKs take for the file's", "https://gw.example/files/x", file, file},
		{"another host", "https://gw.example", "https://example.com/v1beta/files/abc", "https://example.com/v1beta/files/abc"},
		{"YouTube", "https://gw.example", "https://www.youtube.com/watch?v=x", "https://www.youtube.com/watch?v=x"},
		{"another path", "https://gw.example", googleURL + "/v1beta/models/abc", googleURL + "/v1beta/models/abc"},
		{"looks alike", "https://gw.example", googleURL + ".example.com/v1beta/files/a", googleURL + ".example.com/v1beta/files/a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := reached(tc.public).publicURI(tc.google); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestGoogleURI(t *testing.T) {
	const file = googleURL + "/v1beta/files/abc"
	for _, tc := range []struct{ name, own, want string }{
		{"own", "https://gw.example/gem/v1beta/files/abc", file},
		{"prefix lost", "https://gw.example/v1beta/files/abc", file},
		{"by http", "http://gw.example/gem/v1beta/files/abc", file},
		{"capitals", "HTTPS://GW.Example/gem/v1beta/files/abc", file},
		{"download", "https://gw.example/gem/v1beta/files/abc:download?alt=media", file + ":download?alt=media"},
		{"with a user key", "https://gw.example/gem/v1beta/files/abc:download?alt=media&key=gb-x", file + ":download?alt=media"},
		{"with a user key alone", "https://gw.example/gem/v1beta/files/abc?key=gb-x", file},
		{"Google's", file, file},
		{"another host", "https://example.com/v1beta/files/abc", "https://example.com/v1beta/files/abc"},
		{"own in a query", "https://example.com/?u=https://gw.example/v1beta/files/abc", "https://example.com/?u=https://gw.example/v1beta/files/abc"},
		{"own as a user", "https://gw.example@example.com/v1beta/files/abc", "https://gw.example@example.com/v1beta/files/abc"},
		{"another path", "https://gw.example/v1beta/models/abc", "https://gw.example/v1beta/models/abc"},
		{"deeper", "https://gw.example/v1beta/files/abc/def", "https://gw.example/v1beta/files/abc/def"},
		{"climbing", "https://gw.example/v1beta/files/..", "https://gw.example/v1beta/files/.."},
		{"a name", "files/abc", "files/abc"},
		{"none", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := reached("https://gw.example/gem").googleURI(tc.own); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestPublicBody(t *testing.T) {
	x := reached("https://h/gem")
	for name, tc := range map[string][2]string{
		"file":       {`{"file":{"uri": "` + googleURL + `/v1beta/files/a","x":1.0}}`, `{"file":{"uri": "https://h/gem/v1beta/files/a","x":1.0}}`},
		"video":      {`{"video":{"uri":"` + googleURL + `/v1beta/files/a:download?alt=media"}}`, `{"video":{"uri":"https://h/gem/v1beta/files/a:download?alt=media"}}`},
		"download":   {"{\"downloadUri\"\n:\t\"" + googleURL + `/v1beta/files/a:download"}`, "{\"downloadUri\"\n:\t\"" + `https://h/gem/v1beta/files/a:download"}`},
		"two":        {`[{"uri":"` + googleURL + `/v1/files/a"},{"uri":"` + googleURL + `/v1/files/b"}]`, `[{"uri":"https://h/gem/v1/files/a"},{"uri":"https://h/gem/v1/files/b"}]`},
		"in a text":  {`{"text":"{\"uri\":\"` + googleURL + `/v1/files/a\"}"}`, ""},
		"as a text":  {`{"displayName":"` + googleURL + `/v1beta/files/a"}`, ""},
		"as a name":  {`{"` + googleURL + `/v1beta/files/a":"uri"}`, ""},
		"no file":    {`{"uri":"` + googleURL + `/v1beta/models/a"}`, ""},
		"other host": {`{"uri":"https://example.com/v1beta/files/a"}`, ""},
		"empty":      {"", ""},
	} {
		want := tc[1]
		if want == "" {
			want = tc[0]
		}
		if got := string(x.publicBody([]byte(tc[0]))); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
