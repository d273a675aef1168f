// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// columnNames are the names that columns have here and elsewhere, by what they hold.
var columnNames = map[string][]string{
	"key":     {"key", "api_key", "apikey", "key_value", "secret", "gemini_key", "密钥"},
	"name":    {"name", "title", "label", "名称"},
	"tags":    {"tags", "tag", "标签"},
	"weight":  {"weight", "权重"},
	"note":    {"note", "notes", "remark", "comment", "备注"},
	"project": {"project", "项目"},
	"paid":    {"paid"},
	"proxy":   {"proxy", "proxy_url"},
	"models":  {"models", "allowed_models"},
	"status":  {"status", "state", "状态"},
	"enabled": {"enabled"},
}

// columnOf tells what a column or field holds, by its name; "" for nothing of use.
func columnOf(name string) string {
	name = strings.ToLower(strings.TrimSpace(strings.Trim(name, "\ufeff\"'")))
	for column, names := range columnNames {
		if slices.Contains(names, name) {
			return column
		}
	}
	return ""
}

// csvCommas are what separates cells.
var csvCommas = []string{",", ";", "\t", "，"}

// looksLikeCSV reports whether the first line names a column of keys.
func looksLikeCSV(text string) bool {
	_, ok := csvComma(text)
	return ok
}

func csvComma(text string) (comma rune, ok bool) {
	line, _, _ := strings.Cut(strings.TrimLeft(text, "\r\n"), "\n")
	line = strings.TrimSpace(line)
	if columnOf(line) == "key" {
		return ',', true
	}
	for _, c := range csvCommas {
		names := strings.Split(line, c)
		if len(names) > 1 && slices.ContainsFunc(names, func(n string) bool { return columnOf(n) == "key" }) {
			return []rune(c)[0], true
		}
	}
	return 0, false
}

// readCSV reads a table whose first line has the names of the columns.
func (t *importText) readCSV(text string) error {
	comma, ok := csvComma(text)
	if !ok {
		return errors.New("has no line of names with a column named key at its top; send it as text, or add one")
	}
	in := csv.NewReader(strings.NewReader(text))
	in.Comma, in.LazyQuotes, in.FieldsPerRecord, in.ReuseRecord = comma, true, -1, true
	var columns []string
	for !t.more {
		record, err := in.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("is no table that can be read: %w", withoutText(err))
		case columns == nil:
			for _, name := range record {
				columns = append(columns, columnOf(name))
			}
			continue
		}
		line, _ := in.FieldPos(0)
		if swallows(record, columns) {
			return fmt.Errorf("has a quote in line %d that is not closed there, so that the keys of the lines after it would be lost; close it, or send the file as text", line)
		}
		cells := map[string]string{}
		for i, cell := range record[:min(len(record), len(columns))] {
			if columns[i] != "" && cells[columns[i]] == "" {
				cells[columns[i]] = plain(cell)
			}
		}
		t.addCells(line, cells)
	}
	return nil
}

// swallows reports whether a cell that is no key's goes on over lines with keys in them.
func swallows(record, columns []string) bool {
	for i, cell := range record {
		if i < len(columns) && columns[i] == "key" {
			continue
		}
		_, below, _ := strings.Cut(cell, "\n")
		if slices.ContainsFunc(strings.FieldsFunc(below, notOfKey), func(word string) bool { return beginsLikeKey(word) && keyLike(word, false) }) {
			return true
		}
	}
	return false
}

// withoutText keeps what stands in a table out of an error.
func withoutText(err error) error {
	if at, ok := errors.AsType[*csv.ParseError](err); ok {
		return fmt.Errorf("line %d: %w", at.Line, at.Err)
	}
	return err
}

// plain takes off what keeps spreadsheets from taking a cell for a formula.
func plain(cell string) string {
	cell = strings.TrimSpace(cell)
	if rest, ok := strings.CutPrefix(cell, "'"); ok && rest != "" && strings.ContainsRune("=+-@\t\r", rune(rest[0])) {
		return rest
	}
	return cell
}

// addCells makes a key of named texts. A cell with several keys is several keys.
func (t *importText) addCells(line int, cells map[string]string) {
	if strings.Join(mapValues(cells), "") == "" {
		return // an empty line
	}
	k := balancer.NewKey{
		Name: cells["name"], Project: cells["project"], Proxy: cells["proxy"], Note: cells["note"],
		Tags: wordsOf(cells["tags"]), Models: wordsOf(cells["models"]), Paid: yes(cells["paid"]), Disabled: off(cells["status"]) || no(cells["enabled"]),
	}
	var bad string
	k.Weight, bad = weightOf(cells["weight"])
	secrets := strings.FieldsFunc(unescape(cells["key"]), notOfKey)
	if len(secrets) == 0 {
		secrets = []string{cells["key"]}
	}
	for _, s := range secrets {
		if k.Secret = s; bad != "" {
			t.keep(importLine{line: line, key: k, bad: bad})
			continue
		}
		t.add(line, k, len(secrets) == 1)
	}
}

// weightOf reads a weight, or says why it is none. 0 and nothing leave it open: other
// programs write 0 for what nobody set. What is no number is not told, because in a
// column that slipped it may be a key.
func weightOf(cell string) (weight int, bad string) {
	if cell == "" {
		return 0, ""
	}
	n, err := strconv.ParseFloat(cell, 64)
	switch {
	case err != nil:
		return 0, fmt.Sprintf("weight is no number; want a whole number from 1 to %d", balancer.MaxWeight)
	case n < 0 || n > balancer.MaxWeight || n != math.Trunc(n):
		return 0, fmt.Sprintf("weight is %g; want a whole number from 1 to %d", n, balancer.MaxWeight)
	}
	return int(n), ""
}

func mapValues(m map[string]string) []string {
	values := make([]string, 0, len(m))
	for _, v := range m {
		values = append(values, v)
	}
	return values
}

// wordsOf cuts a cell with several words.
func wordsOf(cell string) []string {
	return strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune(",;|，；、 \t\n", r) })
}

func yes(word string) bool {
	return slices.Contains([]string{"true", "yes", "1", "y", "x"}, strings.ToLower(word))
}

func no(word string) bool {
	return slices.Contains([]string{"false", "no", "0", "n"}, strings.ToLower(word))
}

// off reports whether a status says that somebody switched the key off. That another
// program thinks a key invalid says little: it may have blamed it for a full minute.
func off(status string) bool { return strings.EqualFold(status, "disabled") }
