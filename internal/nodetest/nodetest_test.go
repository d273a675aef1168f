// SPDX-License-Identifier: Apache-2.0

package nodetest

import (
	"slices"
	"strings"
	"testing"
)

// What node 20 prints, shortened.
const tap = `TAP version 13
# a word of the test's
# Subtest: good
ok 1 - good
  ---
  duration_ms: 1.058096
  ...
# Subtest: bad
not ok 2 - bad
  ---
  duration_ms: 4.142309
  location: '/x/a.test.mjs:4:1'
  failureType: 'testCodeFailure'
  error: |-
    Expected values to be strictly deep-equal:
    ...
    not ok 7 - no result, part of a message
  code: 'ERR_ASSERTION'
  expected:
    a: 2
  stack: |-
    TestContext.<anonymous> (file:///x/a.test.mjs:4:56)
    Test.run (node:internal/test_runner/test:796:25)
  ...
# Subtest: nested
    # Subtest: inner
    not ok 1 - inner
      ---
      error: 'no more'
      ...
    1..1
not ok 3 - nested
  ---
  error: '1 subtest failed'
  ...
1..3
# tests 4
# pass 1
# skipped 0
# todo 0
# duration_ms 369.661348
`

func TestParse(t *testing.T) {
	want := []result{
		{name: "good", ok: true},
		{name: "bad", why: "location: '/x/a.test.mjs:4:1'\nerror: |-\n  Expected values to be strictly deep-equal:\n  ...\n  not ok 7 - no result, part of a message\n  TestContext.<anonymous> (file:///x/a.test.mjs:4:56)"},
		{name: "inner", why: "error: 'no more'"},
		{name: "nested", why: "error: '1 subtest failed'"},
	}
	if got := parse(tap); !slices.Equal(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if got := printed(tap); !slices.Equal(got, []string{"# a word of the test's"}) {
		t.Errorf("printed %q", got)
	}
	for _, cut := range []string{"ok 1 - good", "ok 1 - good\n  ---", "ok 1 - good\n  ---\n  duration_ms: 1", "ok 1 - good\nok"} {
		if got := parse(cut); len(got) != 1 || got[0] != want[0] {
			t.Errorf("%q: %+v", cut, got)
		}
	}
	if got := parse(strings.Replace(tap, "    Expected", strings.Repeat("    more\n", 100)+"    Expected", 1)); strings.Count(got[1].why, "\n") > maxLines+2 {
		t.Errorf("a long message: %q", got[1].why)
	}
}
