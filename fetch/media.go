// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
)

// read takes the file that an answer holds. Its type is known from the first
// bytes, so that no more is read of what is not wanted.
func (f *Fetcher) read(u *url.URL, res *http.Response, left *atomic.Int64) (Media, error) {
	refuse := func(format string, args ...any) (Media, error) {
		return Media{}, &Error{u.Hostname(), fmt.Sprintf(format, args...)}
	}
	limit := f.o.MaxBytes
	switch encoding := res.Header.Get("Content-Encoding"); {
	case res.StatusCode != http.StatusOK:
		return refuse("the host answered with status %d.", res.StatusCode)
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return refuse("the host sent it compressed.")
	case res.ContentLength > limit:
		return refuse("it is larger than %d bytes.", limit)
	}
	m := Media{Data: make([]byte, 0, max(sniffed, min(res.ContentLength+1, 64<<10)))}
	for {
		if len(m.Data) == cap(m.Data) {
			m.Data = slices.Grow(m.Data, 1)
		}
		n, err := res.Body.Read(m.Data[len(m.Data):cap(m.Data)])
		m.Data = m.Data[:len(m.Data)+n]
		if left != nil && left.Add(-int64(n)) < 0 {
			return refuse("all files of the request together are larger than %d bytes.", f.o.MaxTotal)
		}
		if int64(len(m.Data)) > limit {
			return refuse("it is larger than %d bytes.", limit)
		}
		if m.Type == "" && (len(m.Data) >= sniffed || err == io.EOF) {
			if m.Type = sniff(m.Data); !slices.Contains(f.o.Types, m.Type) {
				return refuse("%s", notTaken(m))
			}
		}
		if err == io.EOF {
			return m, nil
		}
		if err != nil {
			return Media{}, err
		}
	}
}

// notTaken says what a file is instead of media that is read.
func notTaken(m Media) string {
	found := m.Type
	switch guess, _, _ := strings.Cut(http.DetectContentType(m.Data), ";"); {
	case len(m.Data) == 0:
		return "it is empty."
	case found == "":
		found = guess
	}
	if found == "application/octet-stream" {
		return "it is not of a type that is taken: an image (PNG, JPEG, WebP, HEIC, HEIF), PDF, audio or video."
	}
	return "it is " + found + ", not of a type that is taken: an image (PNG, JPEG, WebP, HEIC, HEIF), PDF, audio or video."
}
