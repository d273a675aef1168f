// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"bytes"
	"cmp"
	"net/http"
	"strings"
)

// download answers files/ID:download. Videos are elsewhere: the first answer is
// a redirect, and what it leads to needs the key again.
// Source: specs/native-anthropic.md A.7.
func (x *exchange) download() {
	name, _, _ := strings.Cut(x.rest, ":")
	f, a := x.file(name)
	switch {
	case f == nil:
		x.error(a)
	case !f.generated:
		x.error(failure(400, "The File "+strings.TrimPrefix(name, "files/")+" cannot be downloaded. Only generated files can be downloaded."))
	case x.r.URL.Query().Get("alt") != "media":
		x.json([]byte("{}\n"))
	case strings.HasPrefix(f.mime, "video/") && !strings.HasPrefix(x.e.Path, "/download/"):
		x.w.Header().Set("Location", cmp.Or(x.s.cfg.DownloadURL, x.origin())+"/download"+x.r.URL.RequestURI())
		x.header(http.StatusFound, "text/html; charset=UTF-8")
		x.write([]byte("<HTML><HEAD><TITLE>Moved Temporarily</TITLE></HEAD><BODY>The document has moved.</BODY></HTML>\n"))
	default:
		x.media(f)
	}
}

// media sends a file's bytes, or the range of them that is asked for.
func (x *exchange) media(f *file) {
	if x.steer.Break == ResetEvent {
		x.header(http.StatusOK, f.mime)
		x.write(f.content[:len(f.content)/2])
		_ = x.rc.Flush() // the reset follows anyway
		x.reset()
		return
	}
	x.w.Header().Set("Content-Type", f.mime)
	http.ServeContent(counted{x}, x.r, "", f.created, bytes.NewReader(f.content))
}

// counted books what is written past the exchange.
type counted struct{ x *exchange }

func (c counted) Header() http.Header { return c.x.w.Header() }

func (c counted) WriteHeader(status int) { c.x.header(status, c.x.w.Header().Get("Content-Type")) }

func (c counted) Write(b []byte) (int, error) {
	if !c.x.wrote {
		c.WriteHeader(http.StatusOK)
	}
	n, err := c.x.w.Write(b)
	c.x.s.books.update(func() { c.x.e.Bytes += int64(n) })
	return n, err
}

// origin is the scheme and host of the request.
func (x *exchange) origin() string {
	scheme := "http"
	if x.r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + x.r.Host
}
