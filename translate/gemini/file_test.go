// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"testing"
	"time"
)

func TestDecodeFile(t *testing.T) {
	want := File{
		Name: "files/abc-1", DisplayName: "a.mp4", MIMEType: "video/mp4", URI: "https://generativelanguage.googleapis.com/v1beta/files/abc-1",
		Size: 123, Created: time.Date(2026, 11, 25, 1, 2, 3, 456789000, time.UTC), Expires: time.Date(2026, 11, 27, 1, 2, 3, 0, time.UTC),
		SHA256: "eA==", State: FileFailed, Error: "broken",
	}
	const doc = `{"name":"files/abc-1","displayName":"a.mp4","mimeType":"video/mp4","sizeBytes":"123","createTime":"2026-11-25T01:02:03.456789Z",
		"expirationTime":"2026-11-27T01:02:03Z","sha256Hash":"eA==","uri":"https://generativelanguage.googleapis.com/v1beta/files/abc-1","state":"FAILED","error":{"code":3,"message":"broken"},"future":[]}`
	for name, doc := range map[string]string{"bare": doc, "of an upload": `{"file":` + doc + `}`} {
		if got, ok := DecodeFile([]byte(doc)); !ok || got != want {
			t.Errorf("%s: %+v %v", name, got, ok)
		}
	}
	for _, doc := range []string{``, `{`, `[]`, `{}`, `{"file":{}}`, `{"name":"files/"}`, `{"name":"files/../x"}`, `{"name":"models/x"}`, `{"name":"files/A"}`, `{"name":7}`} {
		if got, ok := DecodeFile([]byte(doc)); ok {
			t.Errorf("%s: %+v", doc, got)
		}
	}
}

// FuzzDecodeFile: a name that is read may stand in a path.
func FuzzDecodeFile(f *testing.F) {
	f.Add([]byte(`{"file":{"name":"files/abc","sizeBytes":"1","createTime":"2026-11-25T01:02:03Z"}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if got, ok := DecodeFile(doc); ok != ValidFileName(got.Name) {
			t.Fatalf("%+v", got)
		}
	})
}
