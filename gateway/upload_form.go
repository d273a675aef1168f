// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bufio"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
)

const (
	// uploadChunk is how much of a file is held in memory: a multiple of Google's
	// granularity of 256 KiB. A file up to this size can move to another key whole.
	uploadChunk    = 4 << 20
	maxUploadParts = 64
	maxUploadField = 1 << 10 // bytes of a field's value
	maxFilename    = 512     // bytes; Google takes no longer display name
)

// uploadForm reads the form of POST /v1/files piece by piece. Clients put the
// fields before the file or behind it, so what is wrong with them may only turn
// out when the file has passed.
type uploadForm struct {
	parts  *multipart.Reader
	tail   io.Reader // what is behind the last boundary; nil where nothing depends on that
	limit  int64
	count  int
	within func(time.Duration) // sets when reading ends; 0 = never
	idle   time.Duration       // that the client may be silent

	file     *bufio.Reader // nil before the file's part
	filename string
	mime     string
	purpose  string
	life     time.Duration // 0 = as long as Google keeps it

	chunk   []byte // what was read last of the file
	size    int64  // bytes of the file that were read
	stalled bool   // the client sent nothing for too long, but is there
	whole   bool   // chunk is the file's end, and the fields behind it are read
}

// newUploadForm reads up to the first chunk of the file.
func (x *exchange) newUploadForm() (*uploadForm, *translate.Failure) {
	if f := x.openBody(); f != nil {
		return nil, f
	}
	parts, err := x.r.MultipartReader()
	if err != nil {
		return nil, &translate.Failure{
			Kind:    translate.UnsupportedMedia,
			Message: "This endpoint takes multipart/form-data with a boundary, not " + strconv.Quote(clipText(x.r.Header.Get("Content-Type"), 100)) + ".",
		}
	}
	u := &uploadForm{parts: parts, limit: x.site().maxRequestSize, within: x.readWithin, idle: x.site().timeouts.Idle}
	if contentEncoding(x.r) != "" { // whose checksum is at its end
		u.tail = x.r.Body
	}
	u.within(u.idle)
	if f := u.advance(); f != nil {
		return nil, f
	}
	if u.file == nil {
		return nil, translate.Invalid("file", "Missing required parameter: 'file'.")
	}
	// A declared length saves the growing. Whoever got here has a user key.
	size := int64(64 << 10)
	if n := x.r.ContentLength; n > 0 {
		size = min(n, uploadChunk)
	}
	u.chunk = make([]byte, 0, size)
	if f := u.next(); f != nil {
		return nil, f
	}
	if u.size == 0 {
		return nil, translate.Invalid("file", "The file is empty.")
	}
	u.mime = openai.FileType(u.mime, u.filename, u.chunk)
	return u, nil
}

// next reads the next chunk of the file, and what follows the file's end.
func (u *uploadForm) next() *translate.Failure {
	u.chunk = u.chunk[:0]
	for len(u.chunk) < uploadChunk {
		if len(u.chunk) == cap(u.chunk) {
			grown := make([]byte, len(u.chunk), min(2*cap(u.chunk), uploadChunk))
			copy(grown, u.chunk)
			u.chunk = grown
		}
		u.within(u.idle)
		n, err := u.file.Read(u.chunk[len(u.chunk):cap(u.chunk)])
		u.chunk = u.chunk[:len(u.chunk)+n]
		if err != nil && err != io.EOF {
			return u.broken(err)
		}
		if err == io.EOF {
			break
		}
	}
	u.size += int64(len(u.chunk))
	switch _, err := u.file.Peek(1); {
	case err == nil:
		return nil
	case err != io.EOF:
		return u.broken(err)
	}
	u.whole = true
	if f := u.advance(); f != nil {
		return f
	}
	// Nothing must come in time any more: net/http takes the deadline of a connection
	// that is silent while Google is at work for a client that left.
	u.within(0)
	return openai.FilePurpose(u.purpose)
}

// advance reads fields up to the file, or up to the end.
func (u *uploadForm) advance() *translate.Failure {
	for {
		part, err := u.parts.NextRawPart()
		if err == io.EOF {
			return u.end()
		}
		if err != nil {
			return u.broken(err)
		}
		if u.count++; u.count > maxUploadParts {
			return translate.Invalid("", "A form can have at most %d parts.", maxUploadParts)
		}
		name := part.FormName()
		if name == "file" {
			if u.file != nil {
				return translate.Invalid("file", "A request can upload one file.")
			}
			u.file = bufio.NewReader(part)
			u.filename, u.mime = clipText(part.FileName(), maxFilename), part.Header.Get("Content-Type")
			if u.filename == "" {
				u.filename = "file"
			}
			return nil
		}
		value, err := io.ReadAll(io.LimitReader(part, maxUploadField+1))
		if err != nil {
			return u.broken(err)
		}
		if len(value) > maxUploadField {
			return translate.Invalid(clipText(name, 100), "The value of the field is longer than %d bytes.", maxUploadField)
		}
		if f := u.field(name, string(value)); f != nil {
			return f
		}
	}
}

// end reads what is behind the last boundary.
func (u *uploadForm) end() *translate.Failure {
	if u.tail == nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, u.tail); err != nil {
		return u.broken(err)
	}
	return nil
}

// field takes a field; others than these are ignored.
func (u *uploadForm) field(name, value string) *translate.Failure {
	value = strings.TrimSpace(value)
	switch name {
	case "purpose":
		u.purpose = value
		return openai.FilePurpose(value)
	case "expires_after[anchor]", "expires_after.anchor":
		if value != "created_at" {
			return translate.Invalid("expires_after.anchor", "'expires_after.anchor' must be created_at.")
		}
	case "expires_after[seconds]", "expires_after.seconds":
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || n < 3600 || n > 2_592_000 {
			return translate.Invalid("expires_after.seconds", "'expires_after.seconds' must be a number from 3600 to 2592000.")
		}
		u.life = time.Duration(n) * time.Second
	}
	return nil
}

// broken words that the body could not be read.
func (u *uploadForm) broken(err error) *translate.Failure {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(u.limit)
	}
	if errors.Is(err, errBrokenGzip) {
		return brokenEncoding()
	}
	if u.stalled = errors.Is(err, os.ErrDeadlineExceeded); u.stalled {
		return translate.Invalid("", "The upload stalled for longer than this gateway waits (timeouts.idle).")
	}
	return translate.Invalid("", "The form breaks off before its last boundary, or is not a form of that boundary.")
}
