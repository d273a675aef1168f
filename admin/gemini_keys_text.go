// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// checkKeyTags refuses tags of a Gemini key that a row cannot show. It appends to
// faults.
func checkKeyTags(faults []fieldError, field string, tags []string) []fieldError {
	if len(tags) > balancer.MaxTags {
		faults = append(faults, fieldError{field, "too_many", fmt.Sprintf("are more than %d", balancer.MaxTags)})
	}
	for i, tag := range tags[:min(len(tags), balancer.MaxTags)] {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case strings.TrimSpace(tag) == "":
			faults = append(faults, fieldError{at, "invalid_value", "is empty"})
		case utf8.RuneCountInString(tag) > balancer.MaxTag:
			faults = append(faults, fieldError{at, "too_long", fmt.Sprintf("is longer than %d characters", balancer.MaxTag)})
		default:
			faults = checkText(faults, at, tag)
		}
	}
	return faults
}

func checkWeight(faults []fieldError, weight *int) []fieldError {
	if weight != nil && (*weight < 1 || *weight > balancer.MaxWeight) {
		faults = append(faults, fieldError{"weight", "invalid_value", fmt.Sprintf("must be a whole number from 1 to %d", balancer.MaxWeight)})
	}
	return faults
}

// checkNote is checkText for a note, which may have several lines.
func checkNote(faults []fieldError, note string) []fieldError {
	switch {
	case utf8.RuneCountInString(note) > balancer.MaxNote:
		return append(faults, fieldError{"note", "too_long", fmt.Sprintf("is longer than %d characters", balancer.MaxNote)})
	case strings.ContainsFunc(note, func(r rune) bool { return misleading(r) && r != '\n' && r != '\t' && r != '\r' }):
		return append(faults, fieldError{"note", "invalid_value", "has control or text direction characters"})
	}
	return faults
}
