// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// fileOf streams lines, which are JSON objects, as a download: "ndjson", or "csv"
// with these columns, nil for the fields of the first line. name is without its
// ending. lines calls write for each and returns its error.
func fileOf(format, name string, columns []string, lines func(write func(json.RawMessage) error) error) stream {
	return func(w http.ResponseWriter) error {
		mediaType := "application/x-ndjson"
		if format == "csv" {
			mediaType = "text/csv; charset=utf-8"
		}
		asFile(w.Header(), mediaType, name+"."+format)
		if format == "ndjson" {
			return lines(func(line json.RawMessage) error {
				_, err := w.Write(append(bytes.Clone(line), '\n'))
				return err
			})
		}
		out := &csvWriter{out: csv.NewWriter(w)}
		if columns != nil {
			if err := out.begin(columns); err != nil {
				return err
			}
		}
		if err := lines(out.write); err != nil {
			return err
		}
		out.out.Flush()
		return out.out.Error()
	}
}

// asFile has a browser save the answer. name has letters, digits, dots and dashes
// only.
func asFile(h http.Header, mediaType, name string) {
	h.Set("Content-Type", mediaType)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
}

// csvWriter writes JSON objects as lines of a table.
type csvWriter struct {
	out     *csv.Writer
	columns []string // nil before the first line
}

func (w *csvWriter) write(line json.RawMessage) error {
	names, values, err := fieldsInOrder(line)
	if err != nil {
		return err
	}
	if w.columns == nil {
		if err := w.begin(names); err != nil {
			return err
		}
	}
	row := make([]string, len(w.columns))
	for i, name := range w.columns {
		row[i] = values[name]
	}
	return w.out.Write(row)
}

// begin writes the line of names.
func (w *csvWriter) begin(columns []string) error {
	w.columns = columns
	header := make([]string, len(columns))
	for i, name := range columns {
		header[i] = cell(name)
	}
	return w.out.Write(header)
}

// columnsOf are the fields of all lines, in the order of their first appearance;
// never nil.
func columnsOf(lines []json.RawMessage) []string {
	columns, seen := []string{}, map[string]bool{}
	for _, line := range lines {
		names, _, err := fieldsInOrder(line)
		if err != nil {
			continue // writing it tells
		}
		for _, name := range names {
			if !seen[name] {
				seen[name] = true
				columns = append(columns, name)
			}
		}
	}
	return columns
}

// fieldsInOrder cuts a JSON object into its fields, as cells.
func fieldsInOrder(object json.RawMessage) (names []string, values map[string]string, err error) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, nil, fmt.Errorf("a line of the file is no JSON object: %w", err)
	}
	values = make(map[string]string)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, nil, err
		}
		name, _ := token.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, nil, err
		}
		names = append(names, name)
		values[name] = cellOf(value)
	}
	return names, values, nil
}

// cellOf is a JSON value as a cell: text as it is, null as nothing, numbers as
// numbers, lists of text with spaces between, all else as JSON.
func cellOf(value json.RawMessage) string {
	switch value[0] {
	case '"':
		var text string
		if json.Unmarshal(value, &text) == nil {
			return cell(text)
		}
	case '[':
		var list []string
		if json.Unmarshal(value, &list) == nil {
			return cell(strings.Join(list, " "))
		}
	case 'n': // null
		return ""
	}
	return string(value)
}

// cell keeps spreadsheets from taking text for a formula.
// Source: specs/ui.md §5; OWASP, CSV injection.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(text)[0]) {
		return "'" + text
	}
	return text
}
