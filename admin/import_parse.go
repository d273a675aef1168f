// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// The formats that keys are imported from.
const (
	formatAuto          = "auto"
	formatText          = "text"           // whatever has keys in it, with any separators
	formatCSV           = "csv"            // a table with a line of names
	formatJSON          = "json"           // lists of keys or of objects with a key, also a line each
	formatGeminiBalance = "gemini-balance" // its settings: API_KEYS and PAID_KEY, as JSON, .env or table rows
	formatGPTLoad       = "gpt-load"       // its file of keys, its list of keys, or its table api_keys
	formatNewAPI        = "new-api"        // channels of one-api and new-api: JSON of the API or of the table
)

var importFormats = []string{formatAuto, formatText, formatCSV, formatJSON, formatGeminiBalance, formatGPTLoad, formatNewAPI}

// Bounds of an import. Source: specs/ui.md §3.4.
const (
	maxImportKeys  = 10_000
	maxImportLines = 4 * maxImportKeys // with duplicates and what is no key
	maxImportBytes = 5 << 20
)

// importLine is something in the text that is a key or should be one.
type importLine struct {
	line int             // where it is in the text, from 1; in JSON, which entry it is
	key  balancer.NewKey // what is known of it; Secret is what was found, key or not
	bad  string          // why it is no key; "" for a key. It tells nothing of the secret
}

// importText is a text that is being read.
type importText struct {
	format string
	lines  []importLine
	more   bool // there are more lines than are read
}

// parseImport finds the keys in a text. It says which format it took the text for.
func parseImport(format, text string) (*importText, error) {
	text = strings.TrimPrefix(text, "\ufeff")
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("is not UTF-8: save the file as UTF-8 and send it again")
	}
	if format == "" || format == formatAuto {
		format = guessFormat(text)
	}
	t := &importText{format: format}
	var err error
	switch format {
	case formatCSV:
		err = t.readCSV(text)
	case formatJSON, formatGeminiBalance, formatGPTLoad, formatNewAPI:
		// Each of them exists as text, too: .env files, lists of keys, dumps of tables.
		switch {
		case looksLikeJSON(text):
			err = t.readJSON(text)
		case format == formatGeminiBalance:
			t.readText(withoutOthers(text))
		default:
			t.readText(text)
		}
	default:
		t.readText(text)
	}
	return t, err
}

// guessFormat tells the format of a text by its looks.
func guessFormat(text string) string {
	switch {
	case looksLikeJSON(text):
		switch {
		case strings.Contains(text, `"API_KEYS"`):
			return formatGeminiBalance
		case strings.Contains(text, `"key_value"`):
			return formatGPTLoad
		case strings.Contains(text, `"base_url"`) && strings.Contains(text, `"type"`):
			return formatNewAPI
		}
		return formatJSON
	case looksLikeCSV(text):
		return formatCSV
	case strings.Contains(text, "API_KEYS"):
		return formatGeminiBalance
	}
	return formatText
}

func looksLikeJSON(text string) bool {
	text = strings.TrimSpace(text)
	return strings.HasPrefix(text, "{") || strings.HasPrefix(text, `["`) || strings.HasPrefix(text, "[{") ||
		strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") && strings.Contains(text, `"`)
}

// add notes a key, or what should be one.
func (t *importText) add(line int, k balancer.NewKey, sure bool) {
	l := importLine{line: line, key: k}
	switch {
	case !keyLike(k.Secret, sure):
		l.bad = notAKey(k.Secret)
	default:
		if err := k.Check(); err != nil {
			l.bad = err.Error()
		}
	}
	t.keep(l)
}

// keep notes a line. A text of nothing but junk must not fill the memory: beyond
// maxImportLines it is read no further.
func (t *importText) keep(l importLine) {
	if len(t.lines) >= maxImportLines {
		t.more = true
		return
	}
	t.lines = append(t.lines, l)
}

// Lengths that tell keys from words. Today's keys have 39 to 53 characters.
const (
	leastKey      = 20 // of one that begins like a key
	leastOdd      = 30 // of one that does not, where nothing else can be meant
	mostPlausible = 256
)

// keyPrefixes begin Gemini keys. Sources: specs/peers.md §4b, specs/gateways.md K5.
var keyPrefixes = []string{balancer.OldTypePrefix, "AQ."}

// foreignPrefixes begin credentials that are for somebody else.
var foreignPrefixes = []string{"sk-", "gb-", "ya29.", "ghp_", "xai-", "gsk_", "Bearer", "http://", "https://", "socks5://"}

// keyLike reports whether a word is a key by its looks. Where it is sure that one is
// meant, any other than today's prefix will do.
func keyLike(word string, sure bool) bool {
	if len(word) < leastKey || len(word) > mostPlausible || strings.IndexFunc(word, notOfKey) >= 0 {
		return false
	}
	if beginsLikeKey(word) {
		return true
	}
	return sure && len(word) >= leastOdd && !foreign(word)
}

// foreign reports whether a word begins as credentials for others do.
func foreign(word string) bool {
	return slices.ContainsFunc(foreignPrefixes, func(p string) bool { return strings.HasPrefix(word, p) })
}

func beginsLikeKey(word string) bool {
	return slices.ContainsFunc(keyPrefixes, func(p string) bool { return strings.HasPrefix(word, p) })
}

// notOfKey reports whether a character ends a key.
func notOfKey(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
}

// notAKey words why something is no key.
func notAKey(word string) string {
	switch {
	case word == "":
		return "it is empty"
	case foreign(word):
		return "it is something else than a Gemini key"
	case beginsLikeKey(word) && len(word) < leastKey:
		return "it is too short for a Gemini key; was it cut off?"
	case len(word) > mostPlausible:
		return "it is too long for a Gemini key"
	}
	return "it does not look like a Gemini key"
}

// readText finds keys in any text. What stands beside keys is taken for their names
// and passed over, unless it looks like a key that was spoiled.
func (t *importText) readText(text string) {
	text = unescape(text)
	var line string
	for number := 1; text != "" && !t.more; number++ {
		line, text, _ = strings.Cut(text, "\n")
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, "//") || strings.HasPrefix(trimmed, "--") {
			continue
		}
		t.readLine(number, trimmed)
	}
}

func (t *importText) readLine(number int, line string) {
	words := strings.FieldsFunc(line, notOfKey)
	alone := len(words) == 1
	any := false
	for _, w := range words {
		w = strings.Trim(w, ".")
		if keyLike(w, alone) {
			any = true
			t.add(number, balancer.NewKey{Secret: w}, alone)
		} else if beginsLikeKey(w) {
			any = true
			t.add(number, balancer.NewKey{Secret: w}, false) // spoiled
		}
	}
	if !any {
		t.keep(importLine{line: number, key: balancer.NewKey{Secret: line}, bad: notAKey(strings.TrimSpace(line))})
	}
}

// assignment is a line of an .env file.
var assignment = regexp.MustCompile(`^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)$`)

// withoutOthers empties the lines of an .env file that set something else than keys, or
// no key at all: they are not malformed, and may hold passwords.
func withoutOthers(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		m := assignment.FindStringSubmatch(strings.TrimRight(line, "\r"))
		if m != nil && (m[1] != "API_KEYS" && m[1] != "PAID_KEY" || strings.Trim(m[2], ` \t[]"',`) == "") {
			lines[i] = ""
		}
	}
	return strings.Join(lines, "\n")
}

// unescape makes line ends of those that are written as in a string: keys of one
// channel are in one cell of a table.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	// The same length, so that nothing else moves, and no new lines.
	return strings.NewReplacer(`\n`, "  ", `\r`, "  ", `\t`, "  ").Replace(text)
}

// verdicts of an import's lines.
const (
	lineNew       = "new"
	lineAdded     = "added"
	lineInPool    = "in_pool"
	lineDuplicate = "duplicate"
	lineMalformed = "malformed"
)

// sorted tells of each line what it is: new, in the pool, there twice, or malformed.
func (t *importText) judge(inPool func(id, secret string) bool) (verdicts []string, fresh int) {
	seen := make(map[string]bool, len(t.lines))
	verdicts = make([]string, len(t.lines))
	for i, l := range t.lines {
		switch {
		case l.bad != "":
			verdicts[i] = lineMalformed
			continue
		case seen[l.key.Secret]:
			verdicts[i] = lineDuplicate
		case inPool(balancer.KeyID(l.key.Secret), l.key.Secret):
			verdicts[i] = lineInPool
		default:
			verdicts[i] = lineNew
			fresh++
		}
		seen[l.key.Secret] = true
	}
	return verdicts, fresh
}

// hintOf is what may be shown of a line.
func (l *importLine) hint() string {
	return balancer.Mask(string(bytes.ToValidUTF8([]byte(l.key.Secret), nil)))
}
