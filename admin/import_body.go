// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// importParams are the fields of an import but for its text, as query parameters.
var importParams = []string{"format", "tags", "name_prefix", "weight", "project", "paid", "enabled", "validate", "batch", "dry_run"}

// maxImportBody leaves room for what JSON writes of characters in two or six bytes.
const maxImportBody = 16 << 20

// importTypes are the bodies that an import takes beside JSON.
var importTypes = []string{"text/plain", "text/csv", "application/x-ndjson", "multipart/form-data"}

// readImport reads the form of an import from any of its bodies.
func readImport(c *call) (*keyImportForm, error) {
	mediaType, params, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	form := &keyImportForm{}
	switch {
	case err != nil || mediaType == "application/json":
		if len(c.query) > 0 {
			return nil, problem(http.StatusBadRequest, "invalid_query", "With a JSON body, everything is a field of the body; query parameters are for bodies of other types.")
		}
		return form, decode(c.body, form)
	case mediaType == "multipart/form-data":
		values := url.Values{}
		maps.Copy(values, c.query)
		if err := readParts(c.body, params["boundary"], values); err != nil {
			return nil, err
		}
		form.Text = values.Get("text")
		values.Del("text")
		return form, form.take(values)
	case mediaType == "application/x-ndjson" && !c.query.Has("format"):
		form.Format = formatJSON
	case mediaType == "text/csv" && !c.query.Has("format"):
		form.Format = formatCSV
	}
	form.Text = string(c.body)
	return form, form.take(c.query)
}

// readParts reads the parts of a form. Its files are the text.
func readParts(body []byte, boundary string, into url.Values) error {
	malformed := problem(http.StatusBadRequest, "invalid_form", "The multipart/form-data body is malformed.")
	if boundary == "" {
		return malformed
	}
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	var text strings.Builder
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return malformed
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return malformed
		}
		switch name := part.FormName(); {
		case name == "text" || part.FileName() != "":
			text.Write(content)
			text.WriteByte('\n')
		case !slices.Contains(importParams, name):
			return invalid("invalid_body", []fieldError{{clip(name), "unknown_field", "is not a field of this form"}})
		default:
			into[name] = append(into[name], string(content))
		}
	}
	into.Set("text", text.String())
	return nil
}

// take reads the fields from texts. Several tags are separated by commas.
func (f *keyImportForm) take(values url.Values) error {
	var faults []fieldError
	flag := func(name string, into *bool) {
		if !values.Has(name) {
			return
		}
		v, err := strconv.ParseBool(values.Get(name))
		if err != nil {
			faults = append(faults, fieldError{name, "wrong_type", "must be true or false"})
		}
		*into = v
	}
	if values.Has("format") {
		f.Format = values.Get("format")
	}
	f.NamePrefix, f.Project, f.Batch = values.Get("name_prefix"), values.Get("project"), values.Get("batch")
	for tag := range strings.SplitSeq(strings.Join(values["tags"], ","), ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			f.Tags = append(f.Tags, tag)
		}
	}
	if values.Has("weight") {
		n, err := strconv.Atoi(values.Get("weight"))
		if err != nil {
			faults = append(faults, fieldError{"weight", "wrong_type", "must be a whole number"})
		}
		f.Weight = &n
	}
	flag("paid", &f.Paid)
	flag("validate", &f.Validate)
	flag("dry_run", &f.DryRun)
	if values.Has("enabled") {
		f.Enabled = new(bool)
		flag("enabled", f.Enabled)
	}
	return invalid("invalid_body", faults)
}
