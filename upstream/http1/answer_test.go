// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// wire is a connection whose other side has said all it will say.
type wire struct {
	in     []byte
	size   int // bytes per read
	out    bytes.Buffer
	past   bool // the deadline
	closed bool
}

func (w *wire) Read(p []byte) (int, error) {
	n := copy(p, w.in[:min(len(w.in), w.size)])
	w.in = w.in[n:]
	switch {
	case n > 0:
		return n, nil
	case w.past:
		return 0, os.ErrDeadlineExceeded
	}
	return 0, io.EOF
}

func (w *wire) Write(p []byte) (int, error)       { return w.out.Write(p) }
func (w *wire) Close() error                      { w.closed = true; return nil }
func (*wire) LocalAddr() net.Addr                 { return nil }
func (*wire) RemoteAddr() net.Addr                { return nil }
func (*wire) SetDeadline(time.Time) error         { return nil }
func (*wire) SetWriteDeadline(time.Time) error    { return nil }
func (w *wire) SetReadDeadline(t time.Time) error { w.past = !t.IsZero(); return nil }

// over is a Transport over one wire.
func over(w *wire) *Transport {
	return New(Config{
		Addr: "google:80", Host: "google", MaxIdle: 1, IdleTimeout: time.Minute,
		Dial: func(context.Context, string, string) (net.Conn, error) { return w, nil },
	})
}

// read is an answer as a caller sees it.
type read struct {
	status int
	header http.Header
	length int64
	body   string
	err    string // "" after a whole body
	kept   bool   // the connection may be used again
}

// ask reads an answer that comes in parts of size bytes, into p.
func ask(t testing.TB, raw, method string, size int, p []byte) read {
	t.Helper()
	w := &wire{in: []byte(raw), size: size}
	transport := over(w)
	defer transport.CloseIdle()
	res, err := transport.Do(t.Context(), &Request{Method: method, Target: "/"})
	if err != nil {
		if !w.closed || opened(transport) != 0 {
			t.Errorf("the connection is open after %v", err)
		}
		return read{err: err.Error()}
	}
	r := read{status: res.StatusCode, header: res.Header, length: res.ContentLength}
	var body []byte
	for {
		n, err := res.Body.Read(p)
		body = append(body, p[:n]...)
		if err != nil && err != io.EOF {
			r.err = err.Error()
		}
		if err != nil {
			break
		}
	}
	r.body = string(body)
	if n, err := res.Body.Read(p); n != 0 || err == nil {
		t.Errorf("%d bytes after the end, %v", n, err)
	}
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	c := transport.pop()
	r.kept = c != nil && c.alive()
	if c == nil && (!w.closed || opened(transport) != 0) {
		t.Error("the connection is neither kept nor closed")
	}
	return r
}

func TestAnswer(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, tc := range []struct {
		name, raw, method string // method "" is POST
		status            int
		body              string
		kept              bool
	}{
		{"sized", ok + "Content-Length: 5\r\n\r\nhello", "", 200, "hello", true},
		{"no reason", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", "", 200, "x", true},
		{"empty reason", "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx", "", 200, "x", true},
		{"empty", ok + "Content-Length: 0\r\n\r\n", "", 200, "", true},
		{"length said twice alike", ok + "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", "", 200, "x", true},
		{"spaces around a value", ok + "Content-Length: \t1 \r\n\r\nx", "", 200, "x", true},
		{"more than its length", ok + "Content-Length: 4\r\n\r\nhello", "", 200, "hell", false},
		{"another answer", ok + "Content-Length: 0\r\n\r\n" + ok + "\r\n", "", 200, "", false},
		{"wants to close", ok + "Connection: foo, Close\r\nContent-Length: 1\r\n\r\nx", "", 200, "x", false},
		{"chunked", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "", 200, "hello world", true},
		{"upper case", ok + "TRANSFER-ENCODING: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", "", 200, "0123456789", true},
		{"leading zeros", ok + "Transfer-Encoding: chunked\r\n\r\n0001\r\nx\r\n000\r\n\r\n", "", 200, "x", true},
		{"extensions", ok + "Transfer-Encoding: chunked\r\n\r\n1;a=b;c=\"d\"\r\nx\r\n0;e\r\n\r\n", "", 200, "x", true},
		{"trailer", ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", "", 200, "x", true},
		{"after the chunks", ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nHTTP", "", 200, "x", false},
		{"to the end", ok + "\r\nhello", "", 200, "hello", false},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", "", 200, "hello", false},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", "", 204, "", true},
		{"no content, but some", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nhi", "", 204, "", false},
		{"not modified", "HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n", "", 304, "", true},
		{"HEAD", ok + "Content-Length: 5\r\n\r\n", "HEAD", 200, "", true},
		{"HEAD, chunked", ok + "Transfer-Encoding: chunked\r\n\r\n", "HEAD", 200, "", true},
		{"interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + ok + "Content-Length: 1\r\n\r\nx", "", 200, "x", true},
		{"an error", "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 1\r\n\r\nx", "", 429, "x", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			method := tc.method
			if method == "" {
				method = http.MethodPost
			}
			for size := 1; size <= len(tc.raw); size++ {
				got := ask(t, tc.raw, method, size, make([]byte, 1+size%40))
				if got.status != tc.status || got.body != tc.body || got.err != "" || got.kept != tc.kept {
					t.Fatalf("by %d bytes: %+v", size, got)
				}
			}
		})
	}
}

func TestAnswer_Malformed(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	const chunked = ok + "Transfer-Encoding: chunked\r\n\r\n"
	for name, raw := range map[string]string{
		"nothing":                "",
		"half a header":          ok + "Content-Le",
		"another protocol":       "SSH-2.0-OpenSSH\r\n\r\n",
		"HTTP/2":                 "HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.2":               "HTTP/1.2 200 OK\r\n\r\n",
		"lower case":             "http/1.1 200 OK\r\n\r\n",
		"a status of two digits": "HTTP/1.1 20 OK\r\n\r\n",
		"of four":                "HTTP/1.1 2000 OK\r\n\r\n",
		"a status with a sign":   "HTTP/1.1 +20 OK\r\n\r\n",
		"a status below 100":     "HTTP/1.1 099 OK\r\n\r\n",
		"an empty first line":    "\r\n" + ok + "Content-Length: 0\r\n\r\n",
		"a bare LF":              "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"a bare LF in a field":   ok + "A: b\nContent-Length: 0\r\n\r\n",
		"a bare CR in a field":   ok + "A: b\rContent-Length: 5\r\nContent-Length: 0\r\n\r\n",
		"NUL in a field":         ok + "A: b\x00\r\nContent-Length: 0\r\n\r\n",
		"a folded line":          ok + "A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
		"a folded first line":    ok + " A: b\r\nContent-Length: 0\r\n\r\n",
		"no name":                ok + ": b\r\nContent-Length: 0\r\n\r\n",
		"no colon":               ok + "A b\r\nContent-Length: 0\r\n\r\n",
		"a space before a colon": ok + "Content-Length : 0\r\n\r\n",
		"a space in a name":      ok + "Content Length: 0\r\n\r\n",
		"two lengths":            ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		"a list of lengths":      ok + "Content-Length: 5, 5\r\n\r\nhello",
		"a length with a sign":   ok + "Content-Length: +5\r\n\r\nhello",
		"a negative length":      ok + "Content-Length: -5\r\n\r\nhello",
		"a hexadecimal length":   ok + "Content-Length: 0x5\r\n\r\nhello",
		"an empty length":        ok + "Content-Length:\r\n\r\nhello",
		"a length too large":     ok + "Content-Length: 99999999999999999999\r\n\r\nhello",
		"length and chunks":      ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunks and length":      ok + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"gzip and chunks":        ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"chunks twice":           ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"identity":               ok + "Transfer-Encoding: identity\r\n\r\nhello",
		"an empty coding":        ok + "Transfer-Encoding:\r\n\r\nhello",
		"chunks in HTTP/1.0":     "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"another protocol now":   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n",
		"an interim body":        "HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nhi" + ok + "\r\n",
		"interim without end":    strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 9) + ok + "\r\n",
		"too many fields":        ok + strings.Repeat("A: b\r\n", maxFields+1) + "\r\n",
		"too large a header":     ok + "A: " + strings.Repeat("b", maxHead) + "\r\n\r\n",
		"a short body":           ok + "Content-Length: 5\r\n\r\nhell",
		"no last chunk":          chunked + "5\r\nhello\r\n",
		"half a chunk":           chunked + "5\r\nhel",
		"no end of the trailer":  chunked + "0\r\n",
		"no size":                chunked + "\r\nhello\r\n0\r\n\r\n",
		"a size that is none":    chunked + "x\r\nhello\r\n0\r\n\r\n",
		"a negative size":        chunked + "-1\r\nhello\r\n0\r\n\r\n",
		"a size with 0x":         chunked + "0x5\r\nhello\r\n0\r\n\r\n",
		"a space after a size":   chunked + "5 \r\nhello\r\n0\r\n\r\n",
		"a size too large":       chunked + "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
		"a size with LF":         chunked + "5\nhello\r\n0\r\n\r\n",
		"a chunk too long":       chunked + "5\r\nhello!\r\n0\r\n\r\n",
		"a chunk with LF":        chunked + "5\r\nhello\n0\r\n\r\n",
		"a chunk with two CR":    chunked + "5\r\nhello\r\r\n0\r\n\r\n",
		"CR in an extension":     chunked + "5;a\rb\r\nhello\r\n0\r\n\r\n",
		"too many extensions":    chunked + "5;" + strings.Repeat("a", maxExtensions+1) + "\r\nhello\r\n0\r\n\r\n",
		"a trailer with LF":      chunked + "0\r\nA: b\n\r\n",
		"a folded trailer":       chunked + "0\r\nA: b\r\n c\r\n\r\n",
		"a trailer without name": chunked + "0\r\nhello\r\n\r\n",
		"too large a trailer":    chunked + "0\r\nA: " + strings.Repeat("b", maxTrailer) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			sizes := []int{1, 2, 3, 7, 100, 4096, len(raw) + 1}
			for _, size := range sizes {
				if got := ask(t, raw, http.MethodPost, size, make([]byte, 16)); got.err == "" || got.kept {
					t.Fatalf("by %d bytes: %.200q kept %v, error %q", size, got.body, got.kept, got.err)
				}
			}
		})
	}
}

// TestAnswer_Fields: names are canonical, values without the space around them, in
// their order, and none has room for what is appended to another.
func TestAnswer_Fields(t *testing.T) {
	got := ask(t, "HTTP/1.1 200 OK\r\nx-a: 1\r\nX-B:2\r\nX-A: \t3 \r\nx-empty:\r\nX-a: 4\r\nContent-Length: 0\r\n\r\n", "GET", 1000, make([]byte, 1))
	want := http.Header{"X-A": {"1", "3", "4"}, "X-B": {"2"}, "X-Empty": {""}, "Content-Length": {"0"}}
	if !reflect.DeepEqual(got.header, want) {
		t.Errorf("%v", got.header)
	}
	_ = append(got.header["X-B"], "spilled")
	if got.header.Get("X-Empty") != "" {
		t.Error("a value has another's room")
	}
}

// standard reads an answer as net/http does, interim ones left out.
func standard(raw, method string) (r read, rest int, trailers bool) {
	in := bufio.NewReader(strings.NewReader(raw))
	for {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return read{err: err.Error()}, 0, false
		}
		if res.StatusCode/100 == 1 && res.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		trailers = res.Trailer != nil
		body, err := io.ReadAll(res.Body)
		r = read{status: res.StatusCode, header: res.Header, length: res.ContentLength, body: string(body)}
		if err != nil {
			r.err = err.Error()
		}
		left, _ := io.Copy(io.Discard, in)
		return r, int(left), trailers
	}
}

// differ compares what we make of an answer with what net/http makes of it: what we
// take it takes, and sees the same in it.
func differ(t *testing.T, raw, method string, size int) {
	t.Helper()
	ours := ask(t, raw, method, len(raw)+1, make([]byte, 512))
	for _, s := range []int{1, size} {
		if split := ask(t, raw, method, s, make([]byte, s)); !reflect.DeepEqual(split, ours) {
			t.Fatalf("by %d bytes: %+v\nat once: %+v", s, split, ours)
		}
	}
	if ours.err != "" {
		return
	}
	theirs, rest, trailers := standard(raw, method)
	if trailers { // which net/http puts elsewhere
		theirs.header, ours.header = nil, nil
	}
	if ours.kept && rest > 0 {
		t.Errorf("the connection is kept with %d bytes of something else", rest)
	}
	for _, name := range []string{"Content-Length", "Connection"} { // of which net/http keeps less
		delete(ours.header, name)
		delete(theirs.header, name)
	}
	theirs.kept = ours.kept
	if ours.status == http.StatusNoContent || ours.status == http.StatusNotModified {
		theirs.length = ours.length
	}
	if !reflect.DeepEqual(ours, theirs) {
		t.Errorf("ours: %+v\ntheirs: %+v", ours, theirs)
	}
}

func FuzzResponse(f *testing.F) {
	for _, raw := range []string{
		"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nno",
		"HTTP/1.0 200 OK\r\n\r\nto the end",
		"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\nTrailer: A\r\n\r\nx",
		"HTTP/1.1 304\r\nA: b\r\n c\r\n\r\n",
	} {
		for size := range 3 {
			f.Add(raw, uint8(size), size == 1)
		}
	}
	f.Fuzz(func(t *testing.T, raw string, size uint8, head bool) {
		method := http.MethodPost
		if head {
			method = http.MethodHead
		}
		differ(t, raw, method, 1+int(size))
	})
}
