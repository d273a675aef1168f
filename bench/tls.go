// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/pem"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
)

// Google is reached over TLS, where HTTP/2 can be had. Both systems then connect to
// the upstream so; reverse_proxy takes HTTP/2, the gateway what it is told.
var (
	overTLS   = flag.Bool("tls", false, "let the upstream speak TLS, and HTTP/2 to those who want it")
	overHTTP2 = flag.Bool("http2", false, "let the gateway use HTTP/2; with -tls")
)

// listen starts the upstream. Its certificate becomes the root of trust of this
// process and of those it starts.
func listen(h http.Handler) (*httptest.Server, error) {
	if !*overTLS {
		return httptest.NewServer(h), nil
	}
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	file := filepath.Join(os.TempDir(), "gb-bench-root.pem") // one, over and over
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, root, 0o600); err != nil {
		return nil, err
	}
	return s, os.Setenv("SSL_CERT_FILE", file)
}

// protocol is the gateway's option that -http2 stands for.
func protocol() string {
	if *overHTTP2 {
		return "\n\t\tupstream_http2 on"
	}
	return ""
}
