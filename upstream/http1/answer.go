// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Bounds of what is read before a body.
const (
	maxHead    = 64 << 10 // of a header, interim answers apart
	maxFields  = 256
	maxInterim = 8 // answers before the answer
)

// malformed is the error of an answer that is none. What was read is not repeated.
type malformed string

func (m malformed) Error() string { return "the answer is malformed: " + string(m) }

// answer is an answer with its body, made at once.
type answer struct {
	http.Response
	body body
}

// read reads the header, and interim answers before it.
func (a *answer) read(method string) error {
	b := buffers.Get().(*buffer)
	b.b = b.b[:0]
	a.body.buf = b // whoever ends the body gives it back
	for i := range maxInterim {
		end, err := a.body.c.readHead(b)
		if err != nil && i == 0 && len(b.b) == 0 {
			return &lostError{err: err}
		} else if err != nil {
			return err
		}
		a.Response = http.Response{}
		err = a.parse(string(b.b[:end]), method)
		a.body.start = end
		switch {
		case err != nil:
			return err
		case a.StatusCode == http.StatusSwitchingProtocols:
			return malformed("a change of protocol that nobody asked for")
		case a.StatusCode/100 > 1:
			a.Body = &a.body
			a.body.begin()
			return nil
		}
		b.b = b.b[:copy(b.b, b.b[end:])]
	}
	return malformed("too many interim answers")
}

// readHead reads until b has a whole header, and returns where that ends.
func (c *conn) readHead(b *buffer) (end int, err error) {
	for line, seen := 0, 0; ; {
		for {
			i := bytes.IndexByte(b.b[seen:], '\n')
			if i < 0 {
				break
			}
			at := seen + i
			if at == 0 || b.b[at-1] != '\r' {
				return 0, malformed("a line without a return")
			}
			if at == line+1 {
				return at + 1, nil
			}
			line, seen = at+1, at+1
		}
		seen = len(b.b)
		if seen >= maxHead {
			return 0, malformed("its header is too large")
		}
		if seen == cap(b.b) {
			b.b = append(b.b, 0)[:seen]
		}
		n, err := c.read(b.b[seen:min(cap(b.b), maxHead)])
		b.b = b.b[:seen+n]
		if n == 0 && err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
}

// parse takes a header apart, its last empty line included. Values are parts of s.
func (a *answer) parse(s, method string) error {
	s = s[:len(s)-2]
	line, rest, _ := strings.Cut(s, "\r\n")
	if err := a.status(line); err != nil {
		return err
	}
	header, err := parseFields(rest)
	if err != nil {
		return err
	}
	a.Header = header
	return a.frame(method)
}

// status takes the first line apart.
func (a *answer) status(line string) error {
	if len(line) < len("HTTP/1.1 200") || line[:len("HTTP/1.")] != "HTTP/1." || line[8] != ' ' ||
		len(line) > 12 && line[12] != ' ' || !isValue(line) {
		return malformed("its first line is no status")
	}
	switch line[7] {
	case '1':
		a.Proto, a.ProtoMajor, a.ProtoMinor = "HTTP/1.1", 1, 1
	case '0':
		a.Proto, a.ProtoMajor, a.ProtoMinor = "HTTP/1.0", 1, 0
	default:
		return malformed("its version is not known")
	}
	code, ok := digits(line[9:12])
	if !ok || code < 100 {
		return malformed("its status is no number")
	}
	a.StatusCode, a.Status = int(code), line[9:]
	return nil
}

// parseFields takes the fields of a header or a trailer apart.
func parseFields(s string) (http.Header, error) {
	count := strings.Count(s, "\n")
	if count > maxFields {
		return nil, malformed("it has too many fields")
	}
	header := make(http.Header, count)
	values := make([]string, count)
	for s != "" {
		line, rest, _ := strings.Cut(s, "\r\n")
		s = rest
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) { // a folded line among them
			return nil, malformed("a field has no name")
		}
		value = strings.Trim(value, " \t")
		if !isValue(value) {
			return nil, malformed("a field has control characters")
		}
		name = http.CanonicalHeaderKey(name)
		if before, ok := header[name]; ok {
			header[name] = append(slices.Grow(before, 3), value) // Google says Vary three times
			continue
		}
		// Each has room for one, so that more of a name move elsewhere.
		values[0] = value
		header[name] = values[:1:1]
		values = values[1:]
	}
	return header, nil
}

// frame finds out how the body ends, which must be clear.
// Source: RFC 9112 §6.3.
func (a *answer) frame(method string) error {
	length, known, err := contentLength(a.Header["Content-Length"])
	if err != nil {
		return err
	}
	coding, chunked := a.Header["Transfer-Encoding"]
	switch {
	case !chunked:
	case len(coding) != 1 || !strings.EqualFold(coding[0], "chunked"):
		return malformed("its transfer coding is not known")
	case known:
		return malformed("it has a length and a transfer coding")
	case a.ProtoMinor == 0:
		return malformed("it has a transfer coding in HTTP/1.0")
	}
	delete(a.Header, "Transfer-Encoding") // as net/http does; it is not about the content
	b := &a.body
	a.ContentLength = -1
	a.Close = a.ProtoMinor == 0 || hasToken(a.Header["Connection"], "close")
	switch {
	case a.StatusCode/100 == 1:
		if chunked || known {
			return malformed("an interim answer has a body")
		}
	case method == http.MethodHead:
		if known {
			a.ContentLength = length
		}
	case a.StatusCode == http.StatusNoContent || a.StatusCode == http.StatusNotModified:
		// What some send nevertheless would be taken for the next answer.
		a.ContentLength, a.Close = 0, a.Close || chunked || length > 0
	case chunked:
		b.kind = chunkedBody
	case known:
		a.ContentLength = length
		b.kind, b.left = sizedBody, length
	default:
		b.kind, a.Close = endlessBody, true
	}
	b.last = b.last || a.Close
	return nil
}

// contentLength reads the length, which may be said more than once but not in two ways.
func contentLength(values []string) (n int64, known bool, err error) {
	for i, v := range values {
		m, ok := digits(v)
		if !ok || i > 0 && m != n {
			return 0, false, malformed("its length is not clear")
		}
		n = m
	}
	return n, len(values) > 0, nil
}

// digits reads a number that has no sign, and not too many digits.
func digits(s string) (int64, bool) {
	if s == "" || len(s) > 18 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// hasToken reports whether a list has a token, in any case.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.Trim(part, " \t"), token) {
				return true
			}
		}
	}
	return false
}

var errClosed = errors.New("the body was closed")

var errBroken = fmt.Errorf("the connection broke before the answer was complete: %w", io.ErrUnexpectedEOF)
