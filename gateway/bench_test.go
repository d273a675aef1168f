// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// BenchmarkServe is a request through the whole gateway, without the client's
// side of the network: authentication, translation, pool, upstream over
// loopback (its share included), conversion and books.
func BenchmarkServe(b *testing.B) {
	google := keys(8)
	google.Lean = true
	text := strings.Repeat("Tell me something about foxes and dogs. ", 18)
	image := strings.Repeat("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ", 1<<20/44)
	for name, body := range map[string]string{
		"small":  fmt.Sprintf(`{"model":"bench-small","messages":[{"role":"user","content":%q}]}`, text),
		"stream": fmt.Sprintf(`{"model":"bench-burst","stream":true,"messages":[{"role":"user","content":%q}]}`, text),
		"image":  fmt.Sprintf(`{"model":"bench-small","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}]}]}`, image),
	} {
		b.Run(name, func(b *testing.B) {
			w := &world{t: b, google: fakegemini.New(google)}
			must(b, w.google.Start())
			b.Cleanup(w.google.Close)
			w.assemble(google)
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(body))
				r.Header.Set("Authorization", "Bearer "+w.key)
				rec := httptest.NewRecorder()
				if w.gw.ServeHTTP(rec, r); rec.Code != http.StatusOK {
					b.Fatal(rec.Code, rec.Body)
				}
			}
		})
	}
}
