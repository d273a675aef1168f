// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what operators write. Source: specs/ui.md §1.2, §5.
const (
	maxText = 64 // characters of a name, project or tag
	maxTags = 32
)

// checkText refuses names that a list cannot show honestly: too long, or with
// characters that hide or turn text around. It appends to faults.
func checkText(faults []fieldError, field, text string) []fieldError {
	switch {
	case utf8.RuneCountInString(text) > maxText:
		return append(faults, fieldError{field, "too_long", fmt.Sprintf("is longer than %d characters", maxText)})
	case strings.ContainsFunc(text, misleading):
		return append(faults, fieldError{field, "invalid_value", "has control or text direction characters"})
	}
	return faults
}

func misleading(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) ||
		r == '\u2028' || r == '\u2029' || r == '\ufeff'
}

func checkTags(faults []fieldError, tags []string) []fieldError {
	if len(tags) > maxTags {
		faults = append(faults, fieldError{"tags", "too_many", fmt.Sprintf("are more than %d", maxTags)})
	}
	for i, tag := range tags[:min(len(tags), maxTags)] {
		field := fmt.Sprintf("tags[%d]", i)
		if strings.TrimSpace(tag) == "" {
			faults = append(faults, fieldError{field, "invalid_value", "is empty"})
		}
		faults = checkText(faults, field, tag)
	}
	return faults
}

// noBody refuses a body with anything in it where an operation takes none.
func noBody(c *call) error {
	if len(c.body) == 0 {
		return nil
	}
	return decode(c.body, &struct{}{})
}

// megabytes words a bound of a body.
func megabytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
