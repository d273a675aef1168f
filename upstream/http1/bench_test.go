// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkDo is a small request and its answer, by this package and by net/http, with
// a server that allocates nothing.
func BenchmarkDo(b *testing.B) {
	body := strings.Repeat("Tell me something about foxes. ", 40)
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nVary: Origin\r\nVary: X-Origin\r\nVary: Referer\r\n" +
		"Date: Thu, 26 Nov 2026 09:00:00 GMT\r\nServer: scaffolding on HTTPServer2\r\nX-XSS-Protection: 0\r\nX-Frame-Options: SAMEORIGIN\r\n" +
		"X-Content-Type-Options: nosniff\r\nServer-Timing: gfet4t7; dur=614\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"2bc\r\n" + strings.Repeat("lorem ipsum ", 58) + "....\r\n0\r\n\r\n")
	for _, secure := range []bool{false, true} {
		s := serve(b, secure, func(c net.Conn) {
			in := make([]byte, 16<<10)
			for n := 0; ; {
				m, err := c.Read(in[n:])
				if err != nil {
					return
				}
				if n += m; bytes.HasSuffix(in[:n], []byte("foxes. ")) {
					_, _ = c.Write(answer)
					n = 0
				}
			}
		})
		transport := s.client(b)
		r := post(body)
		r.Fields = []Field{{"User-Agent", "bench"}, {"X-Goog-Api-Key", "key"}, {"Content-Type", "application/json"}}
		out := make([]byte, 4<<10)
		read := func(b *testing.B, res *http.Response) {
			n, err := 0, error(nil)
			for err == nil {
				var m int
				m, err = res.Body.Read(out[n:])
				n += m
			}
			if err != io.EOF || n != 700 {
				b.Fatalf("%d bytes, %v", n, err)
			}
			_ = res.Body.Close()
		}
		name := map[bool]string{false: "plain", true: "tls"}[secure]
		b.Run(name+"/http1", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				res, err := transport.Do(b.Context(), r)
				must(b, err)
				read(b, res)
			}
		})
		standard := &http.Transport{TLSClientConfig: transport.config.TLS, DisableCompression: true}
		url := map[bool]string{false: "http://", true: "https://"}[secure] + s.Addr().String() + "/"
		b.Run(name+"/net-http", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, strings.NewReader(body))
				must(b, err)
				req.Header = http.Header{"User-Agent": {"bench"}, "X-Goog-Api-Key": {"key"}, "Content-Type": {"application/json"}}
				res, err := standard.RoundTrip(req)
				must(b, err)
				read(b, res)
			}
		})
		standard.CloseIdleConnections()
	}
}
