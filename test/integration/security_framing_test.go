// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// smuggled stands in bodies for a second request, which nobody has sent.
const smuggled = "GET /admin/status HTTP/1.1\r\nHost: SITE\r\n\r\n"

// framings are requests whose end one server may see elsewhere than another. HEAD is the
// request line, Host and a good key. refused: the request is answered with an error or
// nothing, and what follows is not taken for a request, which would be told 401. Otherwise the framing is good
// by RFC 9112, and what follows is a request of its own, which has no key.
var framings = []struct {
	name, request string
	refused       bool
}{
	{"two lengths", "HEADContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}   \n" + smuggled, true},
	{"two lengths in one", "HEADContent-Length: 5, 6\r\n\r\n{}   \n" + smuggled, true},
	{"signed length", "HEADContent-Length: +2\r\n\r\n{}" + smuggled, true},
	{"negative length", "HEADContent-Length: -2\r\n\r\n{}" + smuggled, true},
	{"length in hex", "HEADContent-Length: 0x2\r\n\r\n{}" + smuggled, true},
	{"length with a space within", "HEADContent-Length: 1 0\r\n\r\n{}" + smuggled, true},
	{"space before the colon", "HEADContent-Length : 2\r\n\r\n{}" + smuggled, true},
	{"tab before the colon", "HEADTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + smuggled, true},
	{"unknown coding", "HEADTransfer-Encoding: xchunked\r\nContent-Length: 2\r\n\r\n{}" + smuggled, true},
	{"gzip, chunked", "HEADTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + smuggled, true},
	{"chunked, identity", "HEADTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + smuggled, true},
	{"chunked twice", "HEADTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, true},
	{"chunked with a vertical tab", "HEADTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + smuggled, true},
	{"NUL in a value", "HEADX-A: a\x00b\r\nContent-Length: 2\r\n\r\n{}" + smuggled, true},
	{"CR in a value", "HEADX-A: a\rTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}" + smuggled, true},
	{"no name", "HEAD: a\r\nContent-Length: 2\r\n\r\n{}" + smuggled, true},
	{"two hosts", "HEADHost: other\r\nContent-Length: 2\r\n\r\n{}" + smuggled, true},
	{"no chunk size", "HEADTransfer-Encoding: chunked\r\n\r\n\r\n" + smuggled, true},
	{"chunk size in words", "HEADTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" + smuggled, true},
	{"chunk size with 0x", "HEADTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n" + smuggled, true},
	{"chunk size beyond 64 bits", "HEADTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n" + smuggled, true},
	{"chunk that ends late", "HEADTransfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n" + smuggled, true},
	{"length and chunked", "HEADContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, false},
	{"length with an underscore", "HEADContent_Length: 100\r\nContent-Length: 2\r\n\r\n{}" + smuggled, false},
	{"body of a GET", "GET /health HTTP/1.1\r\nHost: SITE\r\nContent-Length: 2\r\n\r\n{}" + smuggled, false},
}

// TestFraming_Smuggling sends them to the gateway itself, and by a reverse proxy in
// front that keeps connections to it. Source: specs/gateways.md W3.
func TestFraming_Smuggling(t *testing.T) {
	s := newServer(t, 1)
	front := freeAddress(t)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\n", s.guardedSite()+fmt.Sprintf("http://%s {\n\treverse_proxy %s\n}\n", front, s.site)))
	s.addUser()
	for _, way := range []struct{ name, address string }{{"gateway", s.site}, {"proxy", front}} {
		for _, f := range framings {
			t.Run(way.name+"/"+f.name, func(t *testing.T) {
				asked := s.google.Count()
				answers := s.sendRaw(t, way.address, f.request)
				if n := s.google.Count() - asked; n > 0 {
					t.Errorf("Google was asked %d times", n)
				}
				if f.refused {
					if slices.ContainsFunc(answers, func(status int) bool { return status < 400 || status == http.StatusUnauthorized }) {
						t.Errorf("answered with %d", answers)
					}
				} else if len(answers) != 2 || answers[1] != http.StatusUnauthorized {
					t.Errorf("answered with %d, want two, the second to a stranger", answers)
				}
				// Whoever comes next gets what they asked for.
				for range 5 {
					res, err := s.client.Get("http://" + way.address + "/health")
					must(t, err)
					body, err := io.ReadAll(res.Body)
					must(t, errors.Join(err, res.Body.Close()))
					if res.StatusCode != http.StatusOK || !strings.Contains(string(body), `"status"`) {
						t.Fatalf("the next request: %d %s", res.StatusCode, body)
					}
				}
			})
		}
	}
}

// sendRaw sends bytes and returns the status of each answer until the connection ends.
func (s *server) sendRaw(t *testing.T, address, request string) (answers []int) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	must(t, err)
	defer conn.Close()
	head := "POST /v1/chat/completions HTTP/1.1\r\nHost: SITE\r\nAuthorization: Bearer KEY\r\nContent-Type: application/json\r\n"
	request = strings.NewReplacer("SITE", address, "KEY", s.user).Replace(strings.Replace(request, "HEAD", head, 1))
	if _, err := io.WriteString(conn, request); err != nil {
		return nil
	}
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	in := bufio.NewReader(conn)
	for len(answers) < 2 {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection stays open")
			}
			return answers
		}
		answers = append(answers, res.StatusCode)
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return answers
		}
	}
	return answers
}

// TestHeaders_ToGoogle: of what a client sends, Google sees what its API knows; what is
// about the connection to us, or names somebody, stays here. On every surface.
// Source: specs/gateways.md W3.
func TestHeaders_ToGoogle(t *testing.T) {
	s := newServer(t, 1)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\n", s.guardedSite()))
	s.addUser()
	allowed := map[string]bool{
		"Accept-Encoding": true, "Content-Length": true, "Content-Type": true, "User-Agent": true, "X-Goog-Api-Key": true, "X-Goog-Api-Client": true, "Accept": true,
	}
	for path, body := range map[string]string{
		"/v1/chat/completions": `{"model":"` + model + `","messages":[{"role":"user","content":"hi"}]}`,
		"/v1/responses":        `{"model":"` + model + `","input":"hi"}`,
		"/v1/messages":         `{"model":"` + model + `","max_tokens":50,"messages":[{"role":"user","content":"hi"}]}`,
		"/v1beta/models/" + model + ":generateContent": `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`,
	} {
		before := s.google.Count()
		req, err := http.NewRequest(http.MethodPost, "http://"+s.site+path, strings.NewReader(body))
		must(t, err)
		req.Header = http.Header{
			"Authorization": {"Bearer " + s.user}, "Content-Type": {"application/json"}, "Cookie": {"session=canary"}, "Connection": {"x-canary-hop, keep-alive"},
			"X-Canary-Hop": {"canary"}, "Keep-Alive": {"timeout=5"}, "Te": {"trailers"}, "Proxy-Authorization": {"Basic canary"}, "Proxy-Connection": {"keep-alive"},
			"Upgrade": {"canary"}, "X-Forwarded-For": {"203.0.113.9"}, "X-Forwarded-Host": {"canary"}, "Forwarded": {"for=203.0.113.9"}, "X-Real-Ip": {"203.0.113.9"},
			"Via": {"canary"}, "Referer": {"https://canary"}, "Origin": {"https://canary"}, "X-Api-Key_": {"canary"}, "X_goog_api_key": {"canary"}, "X-Goog-User-Project": {"canary"},
		}
		if strings.HasPrefix(path, "/v1/messages") {
			req.Header["X-Api-Key"] = []string{s.user}
		}
		res, err := s.client.Do(req)
		must(t, err)
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
		entries := s.google.Entries()[before:]
		if len(entries) == 0 {
			t.Errorf("%s: nothing reached Google", path)
		}
		for _, e := range entries {
			for name, values := range e.Header {
				if !allowed[name] || strings.Contains(strings.Join(values, " "), "canary") || strings.Contains(strings.Join(values, " "), s.user) {
					t.Errorf("%s: Google saw %s: %q", path, name, values)
				}
			}
		}
	}
}
