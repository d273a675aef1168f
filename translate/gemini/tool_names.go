// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"strconv"
	"strings"
)

// maxName is the length of a function name every Gemini model takes.
const maxName = 64

// ToolNames maps a client's tool names to ones Gemini takes, and back, for one
// request. Names that need no change are not in the maps. The zero value is ready.
// Source: specs/openai.md §5.1.
type ToolNames struct {
	declared map[string]bool   // names that were declared, the client's
	sent     map[string]string // client → Gemini, where they differ
	original map[string]string // Gemini → client, where they differ
	suffixes map[string]int    // the last number given to a cleaned name
}

// Declared reports whether the client declared a tool of this name.
func (n *ToolNames) Declared(name string) bool { return n.declared[name] }

// Declare notes a tool of the client; false means it was there before.
func (n *ToolNames) Declare(name string) bool {
	if n.declared[name] {
		return false
	}
	if n.declared == nil {
		n.declared = map[string]bool{}
	}
	n.declared[name] = true
	return true
}

// Sent returns the name to send. All tools must have been declared before, so
// that an invented name never takes one that the client uses.
func (n *ToolNames) Sent(name string) string {
	if ValidToolName(name) {
		return name
	}
	if s, ok := n.sent[name]; ok {
		return s
	}
	clean := cleanName(name)
	unique := clean
	if n.sent == nil {
		n.sent, n.original, n.suffixes = map[string]string{}, map[string]string{}, map[string]int{}
	}
	for i := max(2, n.suffixes[clean]+1); n.declared[unique] || n.original[unique] != ""; i++ {
		suffix := "_" + strconv.Itoa(i)
		unique = clean[:min(len(clean), maxName-len(suffix))] + suffix
		n.suffixes[clean] = i
	}
	n.sent[name], n.original[unique] = unique, name
	return unique
}

// Client reverses Sent. Malformed answers prefix a name with the namespace
// Gemini declares functions in; it is cut where the bare name is a tool.
// Source: specs/openai.md §10.4.
func (n *ToolNames) Client(sent string) string {
	if name, ok := n.original[sent]; ok {
		return name
	}
	if n.declared[sent] {
		return sent
	}
	for _, prefix := range [...]string{"default_api:", "default_api."} {
		if bare, ok := strings.CutPrefix(sent, prefix); ok {
			if name, ok := n.original[bare]; ok {
				return name
			}
			if n.declared[bare] {
				return bare
			}
		}
	}
	return sent
}

// ValidToolName reports whether Gemini takes the name: a letter or underscore, then
// letters, digits, underscores, dots, colons and dashes.
func ValidToolName(name string) bool {
	if name == "" || len(name) > maxName || !nameStart(name[0]) {
		return false
	}
	for i := 1; i < len(name); i++ {
		if !nameByte(name[i]) {
			return false
		}
	}
	return true
}

func nameStart(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' }

func nameByte(c byte) bool {
	return nameStart(c) || '0' <= c && c <= '9' || c == '.' || c == ':' || c == '-'
}

func cleanName(name string) string {
	var b strings.Builder
	for _, r := range name {
		c := byte('_')
		if r < 0x80 && nameByte(byte(r)) {
			c = byte(r)
		}
		if b.Len() == 0 && !nameStart(c) {
			b.WriteByte('_')
		}
		if b.WriteByte(c); b.Len() >= maxName {
			break
		}
	}
	if b.Len() == 0 {
		return "_"
	}
	return b.String()[:min(b.Len(), maxName)]
}
