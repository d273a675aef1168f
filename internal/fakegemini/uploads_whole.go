// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"mime"
	"mime/multipart"
)

// uploadWhole answers an upload in one request: its bytes alone, or after their
// metadata as multipart/related.
func (x *exchange) uploadWhole(protocol string) {
	metadata, content, kind := []byte(nil), x.e.Body, x.r.Header.Get("Content-Type")
	if protocol == "multipart" {
		var err error
		if metadata, content, kind, err = related(kind, x.e.Body); err != nil {
			x.error(failure(400, "Invalid multipart request: "+err.Error()))
			return
		}
	}
	u, bad := x.newUpload(metadata)
	if bad.status != 0 {
		x.error(bad)
		return
	}
	u.mime = cmp.Or(u.mime, kind)
	x.s.mu.Lock()
	u.take(content)
	x.s.finishUpload(u)
	made := pretty(u.made)
	x.s.mu.Unlock()
	x.json(made)
}

// related reads the two parts of multipart/related: JSON, and what it is about.
func related(contentType string, body []byte) (metadata, content []byte, kind string, err error) {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, nil, "", err
	}
	if media != "multipart/related" {
		return nil, nil, "", errors.New("Content-Type is not multipart/related")
	}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	first, err := parts.NextRawPart()
	if err != nil {
		return nil, nil, "", err
	}
	if metadata, err = io.ReadAll(first); err != nil {
		return nil, nil, "", err
	}
	second, err := parts.NextRawPart()
	if err != nil {
		return nil, nil, "", err
	}
	content, err = io.ReadAll(second)
	return metadata, content, second.Header.Get("Content-Type"), err
}
