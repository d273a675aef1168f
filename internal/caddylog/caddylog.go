// SPDX-License-Identifier: Apache-2.0

// Package caddylog shortens Caddy's log to what a failed test shows of it.
package caddylog

import (
	"encoding/json"
	"slices"
	"strings"
)

const (
	maxLines = 20
	maxCrash = 40  // lines of a panic or a data race: the first ones say where
	maxWidth = 300 // bytes of a line
)

// End is the last lines of a log that are no debug or info, from the first one of a
// crash where there is one; of a log that has none of either, the last of all.
func End(log string) string {
	lines := strings.Split(strings.TrimRight(log, "\n"), "\n")
	crash := slices.IndexFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.Contains(line, "DATA RACE")
	})
	if crash >= 0 {
		return join(lines[crash:min(len(lines), crash+maxCrash)])
	}
	told := slices.DeleteFunc(slices.Clone(lines), quiet)
	if len(told) == 0 {
		told = lines
	}
	return join(told[max(0, len(told)-maxLines):])
}

// quiet reports whether a line is of the levels debug and info.
func quiet(line string) bool {
	var entry struct{ Level string }
	return json.Unmarshal([]byte(line), &entry) == nil && (entry.Level == "debug" || entry.Level == "info")
}

func join(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		if len(line) > maxWidth {
			line = line[:maxWidth] + "…"
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
