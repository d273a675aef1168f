// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// openBody bounds the request body and takes its encoding away while it is read:
// neither what comes nor what it unpacks to can be more than MaxRequestSize.
// The length of an encoded body is unknown from here on.
func (x *exchange) openBody() *translate.Failure {
	limit := x.site().maxRequestSize
	if x.r.ContentLength > limit {
		return tooLarge(limit)
	}
	encoding := contentEncoding(x.r)
	switch encoding {
	case "", "identity", "gzip", "x-gzip":
	default:
		return unacceptable(encoding, "gzip it, or send it uncompressed")
	}
	x.r.Body = http.MaxBytesReader(x.out.w, x.r.Body, limit)
	if strings.HasSuffix(encoding, "gzip") {
		x.r.Body = http.MaxBytesReader(x.out.w, &gunzip{wire: x.r.Body}, limit)
		x.r.ContentLength = -1
	}
	return nil
}

// unencoded refuses bodies that are not as they are, where they are passed on.
func (x *exchange) unencoded() *translate.Failure {
	if encoding := contentEncoding(x.r); encoding != "" && encoding != "identity" {
		return unacceptable(encoding, "send it uncompressed")
	}
	return nil
}

func contentEncoding(r *http.Request) string {
	return strings.ToLower(strings.TrimSpace(strings.Join(r.Header.Values("Content-Encoding"), ", ")))
}

func unacceptable(encoding, instead string) *translate.Failure {
	return &translate.Failure{
		Kind:    translate.UnsupportedMedia,
		Message: "A request body of Content-Encoding " + strconv.Quote(clipText(encoding, 100)) + " is not accepted here; " + instead + ".",
	}
}

// gunzip unpacks a body. It holds a window of it, some 40 kB, and starts at the
// first Read.
type gunzip struct {
	wire   io.ReadCloser
	reader *gzip.Reader // nil before the first Read
}

// Read implements io.Reader. A body without a byte is an empty one.
func (g *gunzip) Read(p []byte) (n int, err error) {
	if g.reader == nil {
		if g.reader, err = gzip.NewReader(g.wire); err != nil {
			return 0, brokenGzip(err)
		}
	}
	n, err = g.reader.Read(p)
	return n, brokenGzip(err)
}

// Close implements io.Closer.
func (g *gunzip) Close() error { return g.wire.Close() }

var errBrokenGzip = errors.New("no gzip, or not whole")

// brokenGzip tells what is wrong with the encoding from what is wrong with reading.
func brokenGzip(err error) error {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	if corrupt || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errBrokenGzip
	}
	return err
}

// readBody reads the request body.
func (x *exchange) readBody() ([]byte, *translate.Failure) {
	if f := x.openBody(); f != nil {
		return nil, f
	}
	room := x.r.ContentLength
	if lendable(room + 1) {
		room, _ = sized(room + 1)
	}
	if f := x.hold(room); f != nil {
		return nil, f
	}
	// A declared length saves the growing. Whoever got here has a user key, so it
	// is trusted up to 4 MiB before bytes came.
	limit := x.site().maxRequestSize
	var buf []byte
	if x.lent = lend(x.r.ContentLength + 1); x.lent != nil {
		buf = x.lent.b[:0]
	} else {
		buf = make([]byte, 0, max(512, min(x.r.ContentLength+1, 4<<20)))
	}
	for {
		if len(buf) == cap(buf) {
			size := min(2*int64(cap(buf)), limit+1)
			if left := x.r.ContentLength + 1; left > int64(cap(buf)) {
				size = min(left, 32*int64(cap(buf)))
			}
			if f := x.hold(size); f != nil {
				return nil, f
			}
			grown := make([]byte, len(buf), size)
			copy(grown, buf)
			buf = grown
		}
		n, err := x.r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, x.unread(err)
		}
	}
}

// unread words why the body could not be read.
func (x *exchange) unread(err error) *translate.Failure {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(x.site().maxRequestSize)
	}
	if errors.Is(err, errBrokenGzip) {
		return brokenEncoding()
	}
	if x.ctx.Err() != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return x.gone().failure
	}
	return translate.Invalid("", "The request body broke off or is not framed well; it could not be read whole.")
}

func brokenEncoding() *translate.Failure {
	return translate.Invalid("", "The request body says Content-Encoding gzip, but is no gzip, or not all of it; it could not be unpacked.")
}

func tooLarge(limit int64) *translate.Failure {
	return &translate.Failure{
		Kind:    translate.TooLarge,
		Message: "The request body is larger than this gateway's limit of " + strconv.FormatInt(limit, 10) + " bytes. Send less, or ask the operator to raise max_request_size.",
	}
}
