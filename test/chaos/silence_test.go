// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// TestSilence_Wires: Google says nothing for ten minutes before its first event, and again
// before its last. Whatever the client speaks, in clear or over TLS, its answer is
// whole, although Caddy's timeouts for idle connections are shorter. Over HTTP/3 the
// heartbeat keeps the connection; a client in a dialect that has none must do that.
func TestSilence_Wires(t *testing.T) {
	silence, heartbeat, idle := by(5*time.Second, 10*time.Minute), by(500*time.Millisecond, 15*time.Second), by(3*time.Second, 30*time.Second)
	s := newServer(t, 2)
	roots, cert, key := s.certificate()
	secure := freeAddress(t)
	timeouts := ""
	if !long { // else those that Caddy has
		timeouts = "servers {\n timeouts {\n read_body_idle 1s\n write_idle 1s\n }\n}\n"
	}
	s.start(s.config(timeouts, "store badger "+filepath.Join(s.dir, "store")+"\ntimeouts {\n first_output 15m\n idle 15m\n total 1h\n}\n") +
		fmt.Sprintf("https://%s {\n tls %s %s\n gemini_balance\n}\n", secure, cert, key))
	s.addUser()
	if status := s.call(http.MethodPost, "/admin/config", fmt.Sprintf(`{"heartbeat":%q}`, heartbeat), nil); status != http.StatusOK {
		t.Fatalf("setting the heartbeat: %d", status)
	}

	var all sync.WaitGroup
	for _, wire := range []struct {
		proto, url string
		via        func(quiet bool) http.RoundTripper // quiet: whether only heartbeats keep the connection
	}{
		{"HTTP/1.1", "http://" + s.site, func(bool) http.RoundTripper { return new(http.Transport) }},
		{"HTTP/1.1", "https://" + secure, func(bool) http.RoundTripper { return &http.Transport{TLSClientConfig: roots.Clone()} }},
		{"HTTP/2.0", "https://" + secure, func(bool) http.RoundTripper {
			return &http.Transport{TLSClientConfig: roots.Clone(), ForceAttemptHTTP2: true}
		}},
		{"HTTP/3.0", "https://" + secure, func(quiet bool) http.RoundTripper {
			config := &quic.Config{MaxIdleTimeout: idle}
			if !quiet {
				config.KeepAlivePeriod = idle / 2
			}
			return &http3.Transport{TLSClientConfig: roots.Clone(), QUICConfig: config}
		}},
	} {
		for _, d := range silenceDialects {
			all.Go(func() {
				via := wire.via(d.beat != "")
				defer via.(interface{ CloseIdleConnections() }).CloseIdleConnections()
				s.outlast(t, via, wire.proto, wire.url, d, silence, heartbeat)
			})
		}
	}
	all.Wait()
	if t.Failed() {
		return
	}
	tell(t, "U10", "silence of %s before the first event and before the last, heartbeat %s, over HTTP/1.1 with and without TLS, HTTP/2 and HTTP/3: %d answers, all whole",
		silence, heartbeat, 4*len(silenceDialects))
}

// silenceDialects are the ways to ask, what shows that an answer is whole, and the
// heartbeat, where there is one.
var silenceDialects = []struct{ name, path, body, end, beat string }{
	{"openai", "/v1/chat/completions", `{"model":"MODEL","stream":true,"messages":[{"role":"user","content":"PROMPT"}]}`, "data: [DONE]", ": keepalive\n"},
	{"anthropic", "/v1/messages", `{"model":"MODEL","stream":true,"max_tokens":100,"messages":[{"role":"user","content":"PROMPT"}]}`, `"type":"message_stop"`, "event: ping\n"},
	{"gemini", "/v1beta/models/MODEL:streamGenerateContent?alt=sse", `{"contents":[{"parts":[{"text":"PROMPT"}]}]}`, `"finishReason":"STOP"`, ""},
	{"openai, not streamed", "/v1/chat/completions", `{"model":"MODEL","messages":[{"role":"user","content":"PROMPT"}]}`, `"finish_reason":"stop"`, ""},
}

// outlast asks and looks at the answer.
func (s *server) outlast(t *testing.T, via http.RoundTripper, proto, url string, d struct{ name, path, body, end, beat string }, silence, heartbeat time.Duration) {
	prompt := fmt.Sprintf("<delay %s> <events 2> <pace %s>", silence, silence)
	path, body := strings.ReplaceAll(d.path, "MODEL", model), strings.NewReplacer("MODEL", model, "PROMPT", prompt).Replace(d.body)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader(body))
	must(t, err)
	req.Header.Set("X-Api-Key", s.user)
	req.Header.Set("Content-Type", "application/json")
	name := fmt.Sprintf("%s over %s of %s", d.name, proto, url)
	res, err := via.RoundTrip(req)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || res.Proto != proto || !bytes.Contains(answer, []byte(d.end)) {
		t.Errorf("%s: %d over %s, %v: %s", name, res.StatusCode, res.Proto, err, answer)
	}
	if d.beat == "" {
		return
	}
	if n, least := bytes.Count(answer, []byte(d.beat)), int(silence/heartbeat); n < least {
		t.Errorf("%s: %d heartbeats, want at least %d", name, n, least)
	}
}

// certificate makes one for 127.0.0.1 that signs itself: what clients believe, and the
// files for Caddy.
func (s *server) certificate() (client *tls.Config, cert, key string) {
	s.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(s.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(s.t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	must(s.t, err)
	cert, key = filepath.Join(s.dir, "cert.pem"), filepath.Join(s.dir, "key.pem")
	signed := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public})
	must(s.t, os.WriteFile(cert, signed, 0o600))
	must(s.t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	client = &tls.Config{RootCAs: x509.NewCertPool()}
	client.RootCAs.AppendCertsFromPEM(signed)
	return client, cert, key
}
