// SPDX-License-Identifier: Apache-2.0

package caddylog

import (
	"fmt"
	"strings"
	"testing"
)

func TestEnd(t *testing.T) {
	line := func(level, msg string) string { return fmt.Sprintf("{\"level\":%q,\"msg\":%q}\n", level, msg) }
	lines := func(level string, n int) (s string) {
		for i := range n {
			s += line(level, fmt.Sprint(level, i))
		}
		return s
	}
	for name, c := range map[string]struct{ log, want string }{
		"nothing":    {"", "\n"},
		"only quiet": {lines("debug", 30), strings.TrimPrefix(lines("debug", 30), lines("debug", 10))},
		"warnings":   {lines("warn", 2) + lines("info", 50) + lines("error", 1) + lines("debug", 50), lines("warn", 2) + lines("error", 1)},
		"many":       {lines("warn", 70), strings.TrimPrefix(lines("warn", 70), lines("warn", 50))},
		"a crash":    {lines("info", 9) + "panic: boom\n\ngoroutine 1\n" + strings.Repeat("frame\n", 99), "panic: boom\n\ngoroutine 1\n" + strings.Repeat("frame\n", 37)},
		"wide":       {strings.Repeat("x", 301), strings.Repeat("x", 300) + "…\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := End(c.log); got != c.want {
				t.Errorf("%q\nwant %q", got, c.want)
			}
		})
	}
}
