// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"strings"
	"testing"
)

// TestNative_FileURIs: however a file's address or name is spelled, another user's
// request with it does not reach Google. Other hosts' addresses are anybody's.
func TestNative_FileURIs(t *testing.T) {
	w := newWorld(t, keys(1))
	name := w.upload("mine", `{}`).File.Name
	id := strings.TrimPrefix(name, "files/")
	stranger := w.other()
	const host = "https://generativelanguage.googleapis.com"
	for _, tc := range []struct {
		name, uri       string
		owner, stranger bool // Google is asked
	}{
		{"as Google gives it", host + "/v1beta/" + name, true, false},
		{"by another version", host + "/v1/" + name, true, false},
		{"a download", host + "/download/v1beta/" + name + ":download?alt=media", true, false},
		{"host in capitals, and a port", "https://GENERATIVELANGUAGE.googleapis.com:443/v1beta/" + name, true, false},
		{"host with a last dot", host + "./v1beta/" + name, true, false},
		{"a region's host", "https://eu-generativelanguage.googleapis.com/v1beta/" + name, true, false},
		{"blanks around", " " + host + "/v1beta/" + name + "\\n", true, false},
		{"a name", name, true, false},
		{"a name, blanks around", " " + name + "\\t", true, false},
		{"bad escape in the path", host + "/%zz/v1beta/" + name, false, false},
		{"escaped host", "https://generativelanguag%65.googleapis.com/%zz/v1beta/" + name, false, false},
		{"control character in the path", host + "/\\u0009/v1beta/" + name, false, false},
		{"control character in the host", "https://generative\\tlanguage.googleapis.com/v1beta/" + name, false, false},
		{"blank behind the host", host + " /v1beta/" + name, false, false},
		{"climbing", host + "/v1beta/files/own/../v1beta/" + name, false, false},
		{"a user before the host", "https://u@generativelanguage.googleapis.com/v1beta/" + name, false, false},
		{"no slashes", "https:generativelanguage.googleapis.com/v1beta/" + name, false, false},
		{"no scheme", "//generativelanguage.googleapis.com/v1beta/" + name, false, false},
		{"a path", "/v1beta/" + name, false, false},
		{"a relative path", "v1beta/" + name, false, false},
		{"a name in capitals", "FILES/" + id, false, false},
		{"a name, escaped", "files%2F" + id, false, false},
		{"a name, escaped letter", "file%73/" + id, false, false},
		{"a generated file", "generatedFiles/" + id, false, false},
		{"another host's", "https://example.com/v1beta/" + name, true, true},
		{"another host's, unreadable", "http://[::1/v1beta/" + name, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, part := range []string{`{"fileData":{"fileUri":"%s"}}`, `{"functionResponse":{"name":"f","response":{},"parts":[{"file_data":{"file_uri":"%s"}}]}}`} {
				body := `{"contents":[{"role":"user","parts":[{"text":"x"},` + fmt.Sprintf(part, tc.uri) + `]}]}`
				for user, want := range map[string]bool{"Bearer " + w.key: tc.owner, stranger: tc.stranger} {
					w.google.Forget()
					a := w.post(generate, body, "Authorization", user)
					if asked := w.google.Count() > 0; asked != want || !want && a.status != 404 {
						t.Errorf("by its owner: %v: %d %s, Google asked: %v", user != stranger, a.status, a.body, asked)
					}
				}
			}
		})
	}
}

// TestNative_FileNames: likewise where a request names a file and not its address.
func TestNative_FileNames(t *testing.T) {
	w := newWorld(t, keys(1))
	name := w.upload("mine", `{}`).File.Name
	stranger := w.other()
	secret := strings.TrimPrefix(stranger, "Bearer ")
	w.key, secret = secret, w.key
	store := nameOf(t, "fileSearchStores", w.post("/v1beta/fileSearchStores", `{"displayName":"s"}`).body)
	for _, spelled := range []string{name, " " + name, name + `\n`, strings.ToUpper(name), strings.Replace(name, "/", "%2f", 1), "https://generativelanguage.googleapis.com/v1beta/" + name} {
		for path, body := range map[string]string{
			"/v1beta/" + store + ":importFile":                    `{"fileName":"` + spelled + `"}`,
			"/v1beta/models/" + model + ":batchGenerateContent":   `{"batch":{"displayName":"b","inputConfig":{"file_name":"` + spelled + `"}}}`,
			"/v1beta/models/" + model + ":asyncBatchEmbedContent": `{"batch":{"displayName":"b","inputConfig":{"fileName":"` + spelled + `"}}}`,
		} {
			w.google.Forget()
			if a := w.post(path, body); a.status != 404 || w.google.Count() > 0 {
				t.Errorf("%s of %q: %d %s, asked %d times", path, spelled, a.status, a.body, w.google.Count())
			}
		}
	}
	w.key = secret
	if a := w.post("/v1beta/models/"+model+":batchGenerateContent", `{"batch":{"displayName":"b","inputConfig":{"fileName":"`+name+`"}}}`); w.google.Count() == 0 {
		t.Errorf("the owner: %d %s", a.status, a.body)
	}
}
