// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// FuzzUploadForm: any body is a file within the limit or an error of the client's,
// and never held beyond a chunk.
func FuzzUploadForm(f *testing.F) {
	kind, body := form(f, "file", "a.txt", []byte("some text"), "purpose", "vision", "expires_after[seconds]", "3600")
	f.Add(kind, []byte(body))
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\ndata\r\n--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nevals\r\n--x--"))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		const limit = 64 << 10
		r := httptest.NewRequest(http.MethodPost, "http://gw/v1/files", bytes.NewReader(body))
		r.Header["Content-Type"] = []string{kind}
		x := &exchange{ctx: t.Context(), g: new(Gateway), settings: &site{maxRequestSize: limit}, r: r, out: newClientWriter(httptest.NewRecorder())}
		u, failure := x.newUploadForm()
		for failure == nil && !u.whole {
			failure = u.next()
		}
		if failure != nil {
			switch failure.Kind {
			case translate.InvalidRequest, translate.TooLarge, translate.UnsupportedMedia:
			default:
				t.Fatalf("%+v", failure)
			}
			return
		}
		if u.size == 0 || u.size > limit || cap(u.chunk) > uploadChunk || u.purpose == "" || u.mime == "" || u.filename == "" || len(u.filename) > maxFilename {
			t.Fatalf("%+v", u)
		}
	})
}
